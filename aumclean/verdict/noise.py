"""The structure of the label noise: in which classes, between which pairs of classes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aumclean.verdict.estimate import Z95


def wilson(hits: ArrayLike, trials: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """95% intervals of shares (Wilson 1927), 0 to 1 of none: lower and upper ends."""
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
        share = float(hits[index] / max(samples[index], 1))
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
