"""How the AUMs of a draw are spread, beside those of its indicator samples: counts, for a picture."""

from typing import Any

import numpy as np

BINS = 60
TAIL = 0.001  # share of the AUMs at either end that the outer bins take in, so that one outlier does not set the scale


def histogram(aum: np.ndarray, is_indicator: np.ndarray, threshold: float) -> dict[str, Any]:
    """Count the AUMs of one draw in bins of equal width; what lies outside goes into the outer bins.

    Args:
        aum: float64 [n].
        is_indicator: bool [n].
        threshold: always inside the range; NaN where there is none.

    Returns:
        `low` and `high`, where the bins begin and end; the counts `samples` and `indicator_samples`.
    """
    low, high = (float(edge) for edge in np.quantile(aum, (TAIL, 1 - TAIL)))
    if not np.isnan(threshold):
        low, high = min(low, threshold), max(high, threshold)
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = {
        name: np.histogram(aum[chosen].clip(low, high), BINS, (low, high))[0].tolist()
        for name, chosen in (("samples", ~is_indicator), ("indicator_samples", is_indicator))
    }
    return {"low": low, "high": high, **counts}
