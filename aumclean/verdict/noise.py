"""The structure of the label noise: how much in all, in which classes, between which pairs of classes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from aumclean.verdict.held_out import HeldOut, rank_among_predicted
from aumclean.verdict.threshold import interval

SURE = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0])  # shares of the held-out samples, the surest ones
LEVELS = np.linspace(0.5, 0.99, 50)  # below the median of wrong labels too few given ones are left to count
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


def noise_rate(held: Sequence[HeldOut], rng: np.random.Generator) -> Estimate:
    """Estimate which share of the labels is wrong, of whatever kind the wrong ones are.

    `random_rate` rests on all held-out samples and so varies least, but sees only labels that are wrong at random;
    `contradicted_rate` sees every kind, on few samples. So the first is taken when it lies in the interval of the
    second: then wrong labels look as if drawn at random. Else the second is.

    Args:
        held: held-out margins of every draw.
        rng: of the bootstrap, which resamples indicator samples.
    """
    random, contradicted = random_rate(held, rng), contradicted_rate(held, rng)
    return random if contradicted.low <= random.estimate <= contradicted.high else contradicted


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
