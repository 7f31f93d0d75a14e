"""Where flags begin: a least probability that the label is wrong, by what a miss costs against a false alarm."""

from dataclasses import dataclass

import numpy as np
import scipy.special


@dataclass(frozen=True)
class Cut:
    """Flagged is what is likelier to be wrong than this.

    Attributes:
        probability: 0..1.
        log_odds: of it.
        why: the rule, in words.
    """

    probability: float
    log_odds: float
    why: str


def find_cut(log_odds: np.ndarray, target_precision: float | None = None, target_recall: float | None = None) -> Cut:
    """One half, where a miss costs as much as a false alarm, or the cut that is expected to reach a target.

    Args:
        log_odds: float64 [n], finite, that each label is wrong.
        target_precision: flag as many as let this share of the flags be wrong labels, 0..1.
        target_recall: flag as few as hold this share of the wrong labels, 0..1.
    """
    if target_precision is None and target_recall is None:
        return Cut(0.5, 0.0, "more probably wrong than right")
    descending = np.sort(log_odds)[::-1]
    found = scipy.special.expit(descending).cumsum()
    if target_precision is not None:
        enough = found >= target_precision * np.arange(1, len(found) + 1)
        count, why = int(enough.sum()), f"target precision {target_precision:g}"  # the mean falls, so they come first
    else:
        assert target_recall is not None
        count = int(np.searchsorted(found, target_recall * found[-1])) + 1 if len(found) else 0
        why = f"target recall {target_recall:g}"
    above, below = ([np.inf, *descending, -np.inf][at] for at in (count, count + 1))
    cut = float(above) if above == below and target_precision is not None else _between(above, below)
    return Cut(float(scipy.special.expit(cut)), cut, why)


def _between(above: float, below: float) -> float:
    """Halfway, so that a repetition of the computation does not turn on rounding; finite where one end is."""
    if np.isinf(above) and np.isinf(below):
        return 0.0
    if np.isinf(above):
        return float(below)
    return float(np.nextafter(above, -np.inf)) if np.isinf(below) or above == below else float((above + below) / 2)
