"""One probability per sample that its label is wrong, by all the evidence there is; rates and intervals are its sums.

Evidence is of two kinds. *Held-out*: what a witness says that was not taught the label, which `label_noise` turns into
a posterior. *Taught*: margins of networks that were taught it, which tell much, but not on a scale that can be trusted.
The two meet in the held-out samples of one draw that other draws were taught: there a logistic regression learns what
margins mean, with the held-out posterior as its target. It carries the posterior to all samples. A sample that has both
has the mean of the two log odds.

That is done for each kind of witness, networks and features, with the margins of its own. What both kinds say together
is the mean of their log odds, each counting for what it knows of the true classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special  # not scipy.stats, which takes long to load in every command

from aumclean.files import mapped
from aumclean.verdict.combine import repeat_deviation
from aumclean.verdict.estimate import Estimate, estimate
from aumclean.verdict.label_noise import NO_PEERS, TINY, Anchors, LabelNoise, Peers, fit

EXPECTED_WEIGHTS = (1.0, 1.0, 0.5)  # of final, closing and mean margins in deviations, where nothing else is known
BELIEF = 1.0  # precision of the prior of the weights around these: that of about four doubtful samples
LARGEST = 30.0  # log odds; beyond it probabilities are 0 or 1 in any case
BY_CHANCE = 0.01  # how probable it may be that a witness without knowledge predicts the labels as well


@dataclass(frozen=True)
class Witness:
    """What something says of samples whose labels it was not taught.

    Attributes:
        name: of the source, such as `network`.
        sample: int64 [m], sample ids, each once.
        log_probs: float32 [m, classes], or [voices, m, classes] where it has several ways of saying it.
        peers: others of its kind, taught or not.
        anchors: how the samples are labeled that one can be surest of; None where nobody knows.
        knows: what it counts for beside others (`LabelNoise.knowledge`), by the likelihood of the labels alone.
    """

    name: str
    sample: np.ndarray
    log_probs: np.ndarray
    peers: Peers = NO_PEERS
    anchors: Anchors | None = None
    knows: float = 0.0

    @property
    def voices(self) -> np.ndarray:
        """Float32 [voices, m, classes]."""
        return self.log_probs if self.log_probs.ndim == 3 else self.log_probs[None]


@dataclass(frozen=True)
class Posterior:
    """What is known of every label.

    Attributes:
        log_odds: float64 [n], that the label is wrong rather than right; NaN where nothing is known.
        by: per witness the same by what it was not taught alone, NaN where it says nothing.
        noise: per witness the likelihood that was fitted.
        knows: what the best witness counts for, see `Witness`.
        trained: whether the witnesses predict labels better than chance; else nothing is known.
        repeat_deviation: standard deviation of the difference of a sample's log odds in two scans of the same data.
        slopes: float32 [n, terms], of the log odds in the regression's weights.
        covariance: float64 [terms, terms], of these weights.
        doubt: standard deviation of the overall rate that the choice of the scale's evidence leaves.
    """

    log_odds: np.ndarray
    by: dict[str, np.ndarray]
    noise: dict[str, LabelNoise]
    knows: float
    trained: bool
    repeat_deviation: float
    slopes: np.ndarray
    covariance: np.ndarray
    doubt: float

    def at(self, samples: np.ndarray) -> "Posterior":
        """What is known of some labels, int [k]."""
        by = {name: told[samples] for name, told in self.by.items()}
        return replace(self, log_odds=self.log_odds[samples], by=by, slopes=self.slopes[samples])

    @property
    def wrong_probability(self) -> np.ndarray:
        """Float64 [n], NaN where nothing is known."""
        return np.asarray(scipy.special.expit(self.log_odds))

    def share(self, chosen: np.ndarray) -> Estimate:
        """The share of the chosen samples (bool [n]) whose labels are wrong; of none, that it is unknown."""
        p = mapped.taken(self.log_odds, chosen)
        if not len(p):
            return Estimate(0.0, 0.0, 1.0)
        scipy.special.expit(p, out=p)
        spread = mapped.empty(p.shape, np.float64)
        for here in mapped.blocks(len(p)):
            spread[here] = p[here] * (1 - p[here])
        slope = np.array([spread @ mapped.taken(term, chosen, np.float64) for term in self.slopes.T]) / len(p)
        doubtful = spread.mean() / max(1e-12, self._spread())
        variance = spread.sum() / len(p) ** 2 + slope @ self.covariance @ slope + (self.doubt * min(1, doubtful)) ** 2
        return estimate(float(p.mean()), float(variance), len(p))

    def recall(self, flagged: np.ndarray) -> Estimate:
        """The share of the wrong labels that are flagged (bool [n]): from what is expected among either kind."""
        known = ~np.isnan(self.log_odds)
        inside, outside = self.share(flagged & known), self.share(~flagged & known)
        many, few = (flagged & known).sum(), (~flagged & known).sum()

        def of(found: float, missed: float) -> float:
            return float(found * many / max(found * many + missed * few, 1e-12))

        return Estimate(
            of(inside.estimate, outside.estimate), of(inside.low, outside.high), of(inside.high, outside.low)
        )

    def _spread(self) -> float:
        """The mean variance of a label's being wrong, over those of which something is known."""
        spread, known = mapped.empty(self.log_odds.shape, np.float64), 0
        for here in mapped.blocks(len(spread)):
            p = scipy.special.expit(self.log_odds[here])
            spread[here] = np.nan_to_num(p * (1 - p))
            known += len(p) - int(np.isnan(p).sum())
        return float(spread.sum() / known)


def posterior_of(log_odds: np.ndarray) -> Posterior:
    """What is known where log odds by held-out evidence, float64 [n] with NaN where there is none, are all there is."""
    n = len(log_odds)
    return Posterior(log_odds, {}, {}, 0.0, True, 0.0, np.zeros((n, 1)), np.zeros((1, 1)), 0.0)


def nothing_known(n: int) -> Posterior:
    """What is known of n samples without a witness: their margins may be low, but nothing says what that means."""
    return replace(posterior_of(np.full(n, np.nan)), trained=False)


def posterior(
    labels: np.ndarray,
    n_classes: int,
    witnesses: Sequence[Witness],
    margins: Sequence[np.ndarray] | None = None,
    taught: np.ndarray | None = None,
    expected: np.ndarray | None = None,
) -> Posterior:
    """Weigh the evidence of one kind of witness.

    Args:
        labels: int [n], given.
        n_classes: number of classes.
        witnesses: what was not taught the labels, at least one.
        margins: float32 [draws, n] each, of networks that were taught them: final, closing and mean margins.
        taught: bool [draws, n], which draw was taught which label.
        expected: float [classes, classes], which errors to expect, see `label_noise.fit`.
    """
    n = len(labels)
    noise = {one.name: fit(one.voices, labels[one.sample], one.peers, expected, one.anchors) for one in witnesses}
    by = {one.name: mapped.empty((n,), np.float64) for one in witnesses}
    for one in witnesses:
        by[one.name].fill(np.nan)
        by[one.name][one.sample] = noise[one.name].log_odds(one.voices, labels[one.sample])
    held_out = _together(labels, witnesses, by, expected)
    held_out.clip(-LARGEST, LARGEST, out=held_out)
    trained = any(one.gain * 2 > scipy.special.chdtri(n_classes, BY_CHANCE) for one in noise.values())
    slopes, covariance, log_odds, deviation = np.zeros((n, 1)), np.zeros((1, 1)), held_out, 0.0
    is_taught = np.zeros(n, bool) if taught is None else np.asarray(taught.any(0))
    both = is_taught & ~np.isnan(held_out)
    if margins is not None and taught is not None and both.any():  # else nothing says what the margins mean
        terms, some = _standardised(margins, taught), np.flatnonzero(both)
        weights, covariance = _regression(
            _means(terms[:, :, some], taught[:, some]), scipy.special.expit(held_out[some])
        )
        slopes, log_odds = mapped.empty((n, len(weights)), np.float32), mapped.empty((n,), np.float64)
        draws = mapped.empty(taught.shape, np.float64)
        for here in mapped.blocks(n):
            slope = _means(terms[:, :, here], taught[:, here])
            slopes[here], by_margins = slope, slope @ weights
            by_both = np.where(both[here], (by_margins + held_out[here]) / 2, by_margins)
            log_odds[here] = np.where(is_taught[here], by_both, held_out[here])
            of_draws = np.einsum("t,tdn->dn", weights[1:], terms[:, :, here]) + weights[0]
            draws[:, here] = np.where(taught[:, here], of_draws, np.nan)
        deviation = _repeat_deviation(held_out, draws)
    one = max(witnesses, key=lambda witness: len(witness.sample))  # which the rate rests on most
    share_of = labels[one.sample]
    covariance = covariance / max(0.01, noise[one.name].information(one.voices, share_of))
    doubt = _doubt(one, share_of, noise[one.name], expected)
    knows = max(one.knows for one in witnesses)
    return Posterior(log_odds, by, noise, knows, trained, deviation, slopes.astype(np.float32), covariance, doubt)


def together(kinds: Sequence[Posterior]) -> Posterior:
    """What several kinds of witnesses say of the same samples; those that know nothing are left out beside others."""
    if len(kinds) == 1:
        return kinds[0]
    known = [kind for kind in kinds if kind.trained] or kinds
    told = np.stack([kind.log_odds.clip(-LARGEST, LARGEST) for kind in known])
    counts = shares([kind.knows for kind in known])[:, None] * ~np.isnan(told)
    with np.errstate(invalid="ignore"):  # none speaks of some
        counts /= counts.sum(0)
    average = counts.mean(1, where=~np.isnan(counts))
    return Posterior(
        log_odds=(counts * np.nan_to_num(told)).sum(0),
        by={name: alone for kind in kinds for name, alone in kind.by.items()},
        noise={name: noise for kind in kinds for name, noise in kind.noise.items()},
        knows=max(kind.knows for kind in kinds),
        trained=any(kind.trained for kind in kinds),
        repeat_deviation=float(np.linalg.norm(average * [kind.repeat_deviation for kind in known])),
        slopes=np.column_stack(
            [(count * kind.slopes.T).T for count, kind in zip(counts.astype(np.float32), known, strict=True)]
        ),
        covariance=scipy.linalg.block_diag(*(kind.covariance for kind in known)),
        doubt=float(average @ [kind.doubt for kind in known]),
    )


def shares(knows: Sequence[float]) -> np.ndarray:
    """What each of several kinds of witnesses counts, by what it knows: float64, together 1."""
    known = np.maximum(knows, TINY)
    return np.asarray(known / known.sum())


def _together(
    labels: np.ndarray, witnesses: Sequence[Witness], by: dict[str, np.ndarray], expected: np.ndarray | None
) -> np.ndarray:
    """Held-out log odds by all witnesses: by one likelihood where all speak, elsewhere the mean of those that do."""
    mean, spoken_by_all = mapped.empty((len(labels),), np.float64), []
    for here in mapped.blocks(len(labels)):
        told = np.stack([one[here] for one in by.values()])
        spoken = ~np.isnan(told)
        mean[here] = np.where(spoken, told, 0).sum(0) / np.maximum(spoken.sum(0), 1)
        mean[here][~spoken.any(0)] = np.nan
        spoken_by_all.append(np.flatnonzero(spoken.all(0)) + here.start)
    everyone = np.concatenate([np.empty(0, np.int64), *spoken_by_all])
    if len(witnesses) > 1 and len(everyone):
        rows = [np.argsort(one.sample)[np.searchsorted(np.sort(one.sample), everyone)] for one in witnesses]
        log_probs = np.concatenate([one.voices[:, row] for one, row in zip(witnesses, rows, strict=True)])
        taken = [took[row] for one, row in zip(witnesses, rows, strict=True) for took in one.peers.taken]
        peers = replace(witnesses[0].peers, taken=taken)
        joint = fit(log_probs, labels[everyone], peers, expected, witnesses[0].anchors)
        mean[everyone] = joint.log_odds(log_probs, labels[everyone])
    return mean


def _repeat_deviation(held_out: np.ndarray, draws: np.ndarray) -> float:
    """How much log odds differ between two scans: by the trainings, and by which samples are held out.

    Trainings differ as the draws of this scan do. Other samples are held out in another scan, whose log odds then are,
    or are no longer, the mean of two; where a witness says something of every sample, all are such means.

    Args:
        held_out: float64 [n], log odds; NaN where there are none.
        draws: float64 [draws, n], log odds by the margins of each draw; NaN where it was not taught.
    """
    taught, held = ~np.isnan(draws), ~np.isnan(held_out)
    both = taught.any(0) & held
    trained = repeat_deviation(draws, taught)
    if held.all():
        return trained / 2
    half = (held_out[both] - np.nanmean(draws[:, both], axis=0)) / 2
    return float(np.sqrt(trained**2 + 2 * both.mean() * (half**2).mean()))


def _standardised(margins: Sequence[np.ndarray], taught: np.ndarray) -> np.ndarray:
    """By how many deviations below the mean of a draw's taught samples: float32 [terms, draws, n]."""
    found = mapped.empty((len(margins), *taught.shape), np.float32)
    for term, of_draws in enumerate(margins):
        for draw, (margin, own) in enumerate(zip(of_draws, taught, strict=True)):
            known = mapped.taken(margin, own, np.float64)
            mean, deviation = known.mean(), known.std() or 1.0
            for here in mapped.blocks(len(margin)):
                found[term, draw, here] = (mean - margin[here]) / deviation
    return found


def _means(terms: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """One, and every term's mean over the draws that were taught a sample: float64 [n, 1 + terms]."""
    means = np.where(taught, terms, 0).sum(1) / np.maximum(taught.sum(0), 1)
    return np.column_stack([np.ones(means.shape[1]), *means])


def _regression(terms: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression on probabilities (float [m]), no weight but the first below zero: weights and covariance."""
    expected = np.array([0.0, *EXPECTED_WEIGHTS])
    belief = np.array([1e-3, *np.full(len(EXPECTED_WEIGHTS), BELIEF)])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds, off = terms @ weights, weights - expected
        value = (np.logaddexp(0, log_odds) - target * log_odds).sum() + belief @ off**2 / 2
        return float(value), terms.T @ (scipy.special.expit(log_odds) - target) + belief * off

    start = expected - 3.0 * (np.arange(len(expected)) == 0)
    bounds = [(None, None)] + [(0, None)] * (len(expected) - 1)
    weights = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    p = scipy.special.expit(terms @ weights)
    return weights, np.linalg.inv((terms * (p * (1 - p))[:, None]).T @ terms + np.diag(belief))


def _doubt(one: Witness, labels: np.ndarray, found: LabelNoise, expected: np.ndarray | None) -> float:
    """By how much the rate depends on what peers count, without anchors: half the way from nothing to twice as much."""
    if not one.peers.taken:
        return 0.0
    rates = []
    for weight in (0.0, 2 * one.peers.weight):
        starts = (float(found.scale[0]),)
        other = fit(one.voices, labels, replace(one.peers, weight=weight), expected, starts=starts)
        rates.append(scipy.special.expit(other.log_odds(one.voices, labels)).mean())
    return float(abs(rates[1] - rates[0]) / 2)
