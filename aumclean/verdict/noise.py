"""The structure of the label noise: how much in all, in which classes, between which pairs of classes."""

from typing import Any

import numpy as np

from aumclean.verdict.threshold import BOOTSTRAP, interval

LEVELS = np.linspace(0.5, 0.99, 50)  # below the indicators' median too few samples are left to count
Z95 = 1.959964  # standard normal, two-sided 95 %


def noise_rate(aum: np.ndarray, is_indicator: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Estimate which share of the samples is mislabeled, with a 95 % bootstrap interval.

    If a share p of the samples behaves like indicator samples, then at every cut at least p times as many samples
    lie below it as indicator samples do. So the smallest ratio of the two distribution functions bounds p, and
    estimates it where some cut has hardly any correctly labeled sample below it (Blanchard, Lee, Scott 2010,
    mixture proportion estimation). Averaged over the draws.

    Args:
        aum: float64 [draws, n].
        is_indicator: bool [draws, n].
        rng: source of chance.

    Returns:
        `estimate`, `low` and `high`, each 0..1.
    """
    estimates, replicates = [], []
    for draw, indicator in zip(aum, is_indicator, strict=True):
        cuts = np.quantile(draw[indicator], LEVELS)
        judged, known_wrong = (_counts_between(cuts, draw[chosen]) for chosen in (~indicator, indicator))
        estimates.append(_smallest_ratio(judged, known_wrong))
        replicates.append(_smallest_ratio(*(_resampled(counts, rng) for counts in (judged, known_wrong))))
    estimate = float(np.mean(estimates))
    low, high = interval(np.mean(replicates, axis=0))
    return {"estimate": estimate, "low": min(low, estimate), "high": max(high, estimate)}


def mixture_share(mixed: np.ndarray, known_wrong: np.ndarray) -> float:
    """Which share of some values are of the kind of others, 0..1: the estimate of `noise_rate`, of any two samples."""
    cuts = np.quantile(known_wrong, LEVELS)
    return float(_smallest_ratio(*(_counts_between(cuts, values) for values in (mixed, known_wrong))))


def _counts_between(cuts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many values lie in each gap between the cuts, the outer gaps included: int [cuts + 1]."""
    return np.bincount(np.searchsorted(cuts, values, side="left"), minlength=len(cuts) + 1)


def _resampled(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(counts.sum(), counts / counts.sum(), BOOTSTRAP)


def _smallest_ratio(judged: np.ndarray, known_wrong: np.ndarray) -> np.ndarray:
    """min over cuts of F_judged / F_known_wrong, from counts [..., cuts + 1]; at most 1."""
    below, wrong_below = (
        counts.cumsum(-1)[..., :-1] / counts.sum(-1, keepdims=True) for counts in (judged, known_wrong)
    )
    return np.asarray((below / np.maximum(wrong_below, 1e-12)).min(-1).clip(0, 1))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if trials == 0:
        return 0.0, 1.0
    share, z = hits / trials, Z95
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def per_class(
    labels: np.ndarray, flagged: np.ndarray, judged: np.ndarray, class_names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Flagged samples per class, the highest share first; classes that are not judged come last, with nulls."""
    samples = np.bincount(labels, minlength=len(class_names))
    hits = np.bincount(labels[flagged], minlength=len(class_names))
    is_judged = np.bincount(labels[judged], minlength=len(class_names)) > 0
    rows = []
    for index, name in enumerate(class_names):
        low, high = wilson(int(hits[index]), int(samples[index]))
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
