"""The structure of the label noise: how much in all, in which classes, between which pairs of classes."""

from typing import Any

import numpy as np

from aumclean.verdict.threshold import bootstrap_quantiles, interval

MEDIAN = 0.5
Z95 = 1.959964  # standard normal, two-sided 95 %


def noise_rate(aum: np.ndarray, is_indicator: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Estimate which share of the samples is mislabeled, with a 95 % bootstrap interval.

    If mislabeled samples have AUMs like indicator samples, half of them lie below the indicators' median, where
    correctly labeled ones are rare: so the share is twice that found there (after Storey's estimate of the
    share of true null hypotheses, 2002). Averaged over the draws.

    Args:
        aum: float64 [draws, n].
        is_indicator: bool [draws, n].
        rng: source of chance.

    Returns:
        `estimate`, `low` and `high`, each 0..1.
    """
    replicates, estimates = [], []
    for draw, indicator in zip(aum, is_indicator, strict=True):
        judged, known_wrong = np.sort(draw[~indicator]), draw[indicator]
        estimates.append(_share_below(judged, np.quantile(known_wrong, MEDIAN)) / MEDIAN)
        share = _share_below(judged, bootstrap_quantiles(known_wrong, MEDIAN, rng))
        replicates.append(rng.binomial(len(judged), share) / len(judged) / MEDIAN)
    low, high = interval(np.mean(replicates, axis=0).clip(0, 1))
    return {"estimate": float(np.mean(estimates).clip(0, 1)), "low": low, "high": high}


def _share_below(ordered: np.ndarray, cut: np.ndarray | float) -> np.ndarray:
    return np.asarray(np.searchsorted(ordered, cut, side="right") / len(ordered))


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
