"""The structure of the label noise: how much in all, in which classes, between which pairs of classes."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from aumclean.verdict.held_out import HeldOut, rank_among_predicted
from aumclean.verdict.threshold import interval

SURE = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0])  # shares of the held-out samples, the surest ones
LEVELS = np.linspace(0.5, 0.99, 50)  # below the median of wrong labels too few given ones are left to count
PROVED = 0.01  # share of the labels that must surely be wrong before agreement counts
REPLICATES = 200  # of the bootstrap
Z95 = 1.959964  # standard normal, two-sided 95 %


class Estimate(NamedTuple):
    """A share, 0..1, with its 95 % bootstrap interval."""

    estimate: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Estimate":
        """From the estimate and, after it, that of every resample."""
        estimate = float(values[0])
        low, high = interval(values[1:])
        return cls(estimate, min(low, estimate), max(high, estimate))


def noise_rate(
    held: Sequence[HeldOut], rng: np.random.Generator, agreed: float | None = None, *, directed: bool = False
) -> Estimate:
    """Estimate which share of the labels is wrong, of whatever kind the wrong ones are.

    Of several draws `agreed_rate` is taken: it rests on all samples and is least misled by what the networks do not
    know. Where errors have a direction the networks agree on some of them, and it is too low; `contradicted_rate` is
    then too high as a rule, and the middle is taken. The interval holds the estimates and intervals of all kinds.

    One draw has none to agree with, and where `contradicted_rate` does not prove that labels are wrong, networks may
    agree by mistake. Then `random_rate`, which varies least but sees only labels that are wrong at random, is taken
    when it lies in the interval of `contradicted_rate`, which sees every kind, on few samples; else the latter.

    Args:
        held: held-out margins of every draw.
        rng: of the bootstrap, which resamples indicator samples.
        agreed: the estimate of `agreed_rate`, of several draws.
        directed: whether errors have a direction, see `aumclean.verdict.transitions`.
    """
    random, contradicted = random_rate(held, rng), contradicted_rate(held, rng)
    if agreed is None or contradicted.low < PROVED:
        return random if contradicted.low <= random.estimate <= contradicted.high else contradicted
    estimate = (agreed + contradicted.estimate) / 2 if directed else agreed
    known = [agreed, *contradicted] if directed else [agreed, *contradicted, *random]
    return Estimate(estimate, min(known), max(known))


def agreed_rate(predicted: np.ndarray, labels: np.ndarray, is_indicator: np.ndarray) -> float | None:
    """The share of labels that networks contradict, less what they contradict each other.

    Two networks that were trained alike disagree as often as each is wrong (Jiang et al. 2022). So of the labels that a
    network contradicts, as many as it disagrees on with another one are its own mistakes: with c the share that is
    contradicted and d the share of disagreement, (c - d) / (1 - d) is wrong.

    Too low where networks agree on labels that are wrong, since they learned them; too high where they agree on labels
    that are right, since they make the same mistakes.

    Args:
        predicted: int [draws, n].
        labels: int [n].
        is_indicator: bool [draws, n]; only what all draws were taught is counted, which all know alike.

    Returns:
        The estimate, 0..1; None of one draw.
    """
    taught = ~is_indicator.any(0)
    pairs = list(combinations(range(len(predicted)), 2))
    if not pairs or not taught.any():
        return None
    contradicted = float(np.mean([(draw != labels)[taught].mean() for draw in predicted]))
    disagreed = float(np.mean([(predicted[one] != predicted[other])[taught].mean() for one, other in pairs]))
    return max(0.0, (contradicted - disagreed) / (1 - disagreed)) if disagreed < 1 else 0.0


def contradicted_rate(held: Sequence[HeldOut], rng: np.random.Generator) -> Estimate:
    """The share of labels that the networks contradict where they are surest.

    What a network says of samples whose labels it was not taught is hardly ever wrong where it is surest, so that a
    label which contradicts it there is wrong (anchor points: Liu and Tao 2016; Patrini et al. 2017). The surest samples
    are taken from each predicted class, so that every class counts as often as it is predicted. The fewer they are the
    more is chance, the more they are the more often it is the network that is wrong; so of `SURE` that share is taken
    of which the upper end of the contradicted part's interval is lowest.

    Too high when the network is wrong even where it is sure; too low when labels are wrong on doubtful images mostly.
    Arguments as of `noise_rate`.
    """
    counts = sum(resampled_means(_contradicted(draw), rng) * len(draw.given) for draw in held)
    contradicted, sure = np.asarray(counts)
    share = contradicted / np.maximum(sure, 1e-12)
    _, at_most = wilson(contradicted, sure)
    found = Estimate.of(np.take_along_axis(share, at_most.argmin(-1, keepdims=True), -1)[..., 0])
    return found._replace(high=max(found.high, float(at_most[0].min())))  # the smallest of several is low by chance


def _contradicted(held: HeldOut) -> np.ndarray:
    """Whether each sample is among the surest and contradicted, and whether it is among the surest: [m, 2, shares]."""
    sure = rank_among_predicted(held.predicted, held.lead)[:, None] <= SURE
    return np.stack([sure & (held.given < held.lead)[:, None], sure], axis=1)


def random_rate(held: Sequence[HeldOut], rng: np.random.Generator) -> Estimate:
    """The share of labels that are as low as labels drawn at random.

    If a share p of the given labels is wrong, then at every cut at least p times as many given labels lie below it as
    wrong ones do. So the smallest ratio of the two distribution functions bounds p, and estimates it where some cut has
    hardly any right label below it (Blanchard, Lee, Scott 2010, mixture proportion estimation). Among many ratios the
    smallest is small by chance too, most of all where few labels are counted; so that cut is taken whose ratio plus
    two standard errors is smallest.

    Wrong labels that are easily taken for right, such as the same mistake again and again, are not counted. Arguments
    as of `noise_rate`.
    """
    given, wrong = np.mean([resampled_means(_below_quantiles(draw), rng) for draw in held], axis=0)
    return Estimate.of(_share(given, wrong, sum(len(draw.given) for draw in held)))


def random_share(held: Sequence[HeldOut]) -> float:
    """The estimate of `random_rate` without its interval."""
    given, wrong = np.mean([_below_quantiles(draw).mean(0) for draw in held], axis=0)
    return float(_share(given, wrong, sum(len(draw.given) for draw in held)))


def _below_quantiles(held: HeldOut) -> np.ndarray:
    """Of each sample the share of given and of wrong labels below each quantile of wrong ones: [m, 2, cuts]."""
    cuts = np.quantile(held.wrong, LEVELS)
    return np.stack([below(cuts, held.given[:, None]), below(cuts, held.wrong)], axis=1)


def below(cuts: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Share of each sample's margins [m, k] at or below each cut: float64 [m, cuts]."""
    return np.stack([(margins <= cut).mean(1) for cut in cuts], axis=1)


def resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mean over the samples, after it that of each of the bootstrap's resamples: [..., 1 + replicates, cuts]."""
    m, flat = len(values), values.reshape(len(values), -1)
    weights = [np.bincount(rng.integers(0, m, m), minlength=m) for _ in range(REPLICATES)]
    means = np.stack([flat.mean(0), *(weight @ flat / m for weight in weights)])
    return np.moveaxis(means.reshape(-1, *values.shape[1:]), 0, -2)


def _share(given: np.ndarray, wrong: np.ndarray, m: int) -> np.ndarray:
    """The ratio of two distribution functions [..., cuts], of m values the first, at the cut that says most; 0..1."""
    error = np.sqrt(np.maximum(given, 1 / m) * (1 - given) / m)
    best = ((given + 2 * error) / wrong).argmin(-1, keepdims=True)
    return np.asarray(np.take_along_axis(given / wrong, best, -1)[..., 0].clip(0, 1))


def wilson(hits: ArrayLike, trials: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of shares (Wilson 1927), 0 to 1 of none: lower and upper ends."""
    trials = np.asarray(trials)
    share, extra = np.asarray(hits) / np.maximum(trials, 1e-12), Z95**2
    centre, half = share * trials + extra / 2, Z95 * np.sqrt(share * (1 - share) * trials + extra / 4)
    low, high = (((centre + sign * half) / (trials + extra)).clip(0, 1) for sign in (-1, 1))
    return low, high


def per_class(
    labels: np.ndarray, flagged: np.ndarray, judged: np.ndarray, class_names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Flagged samples per class, the highest share first; classes that are not judged come last, with nulls."""
    samples = np.bincount(labels, minlength=len(class_names))
    hits = np.bincount(labels[flagged], minlength=len(class_names))
    is_judged = np.bincount(labels[judged], minlength=len(class_names)) > 0
    rows = []
    for index, name in enumerate(class_names):
        low, high = map(float, wilson(hits[index], samples[index]))
        share = float(hits[index] / samples[index])
        row = {"label": name, "samples": int(samples[index]), "judged": bool(is_judged[index])}
        known = {"flagged": int(hits[index]), "flagged_share": share, "low": low, "high": high}
        rows.append(row | (known if is_judged[index] else dict.fromkeys(known)))
    return sorted(rows, key=lambda row: (not row["judged"], -(row["flagged_share"] or 0), row["label"]))


def per_pair(
    labels: np.ndarray, suggested: np.ndarray, flagged: np.ndarray, class_names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Flagged samples per (label, suggested_label), the most frequent pair first."""
    chosen = flagged & (suggested >= 0)
    pairs, counts = np.unique(np.stack([labels[chosen], suggested[chosen]]), axis=1, return_counts=True)
    rows = [
        {"label": class_names[label], "suggested_label": class_names[other], "flagged": int(count)}
        for (label, other), count in zip(pairs.T, counts, strict=True)
    ]
    return sorted(rows, key=lambda row: (-row["flagged"], row["label"], row["suggested_label"]))
