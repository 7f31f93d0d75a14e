"""The shapes of the page's pictures: numbers in, the `d` of an SVG path out."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from aumclean.verdict.summary import Histogram

CURVE_WIDTH, CURVE_HEIGHT = 100, 40
CURVE_POINTS = 60  # more epochs than this are thinned out evenly: the curve is some 100 pixels wide
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 600, 160


def curves(margins: np.ndarray, threshold: float) -> tuple[list[str], int]:
    """One line per sample, all on one scale, so that the threshold is at the same height in every picture.

    Args:
        margins: float32 [samples, epochs].
        threshold: of the draw.

    Returns:
        A path per sample, and the height of the threshold, in a picture of 100 by 40 with y downwards.
    """
    epochs = np.unique(np.linspace(0, margins.shape[1] - 1, CURVE_POINTS).round().astype(int))
    low, high = np.quantile(margins, (0.02, 0.98)) if margins.size else (0.0, 0.0)
    low, high = min(low, threshold), max(high, threshold)
    room = 0.08 * (high - low) or 0.5

    def height(values: Any) -> Any:
        share = (values - (low - room)) / (high - low + 2 * room)
        return (CURVE_HEIGHT * (1 - share)).round().clip(0, CURVE_HEIGHT).astype(int)

    across = np.linspace(0, CURVE_WIDTH, margins.shape[1]).round().astype(int)[epochs].tolist()
    if len(across) == 1:  # one epoch: a level line
        across, epochs = [0, CURVE_WIDTH], np.array([0, 0])
    heights = height(margins[:, epochs]).tolist()
    return [_line(across, row) for row in heights], int(height(np.float64(threshold)))


def _line(across: list[int], heights: Iterable[int]) -> str:
    points = [f"{x} {y}" for x, y in zip(across, heights, strict=True)]
    return f"M{points[0]}L{' '.join(points[1:])}"


def histogram(counted: Histogram, threshold: float) -> dict[str, Any]:
    """The outlines of two histograms, each scaled to its own total, and where the threshold stands.

    Args:
        counted: of one draw.
        threshold: of the draw.

    Returns:
        `samples` and `indicator_samples`, closed paths in a picture of 600 by 160; `threshold`, its x; `ticks`, five
        round AUMs evenly spaced from left to right.
    """
    counts_of = {"samples": counted.samples, "indicator_samples": counted.indicator_samples}
    shares = {name: np.array(counts) / max(sum(counts), 1) for name, counts in counts_of.items()}
    top = max(float(share.max()) for share in shares.values()) or 1.0
    ticks = _round_ticks(counted.low, counted.high)

    def across(aum: float) -> float:
        return float(round(HISTOGRAM_WIDTH * (aum - ticks[0]) / (ticks[-1] - ticks[0]), 1))

    edges = [across(edge) for edge in np.linspace(counted.low, counted.high, len(counted.samples) + 1)]
    return {
        **{name: _steps(edges, share / top) for name, share in shares.items()},
        "threshold": across(threshold),
        "ticks": ticks,
    }


def _round_ticks(low: float, high: float) -> list[float]:
    """Five, around both ends, as close together as round numbers allow."""
    size = 10.0 ** np.floor(np.log10((high - low) / 4))
    for step in size * np.array([1, 2, 2.5, 5, 10, 20]):
        first = step * np.floor(low / step)
        if first + 4 * step >= high:
            break
    return [float(round(first + step * number, 9)) for number in range(5)]


def _steps(edges: list[float], share: np.ndarray) -> str:
    heights = (HISTOGRAM_HEIGHT - 0.96 * HISTOGRAM_HEIGHT * share).round(1).tolist()
    steps = "".join(f"V{height:g}H{edge:g}" for height, edge in zip(heights, edges[1:], strict=True))
    return f"M{edges[0]:g} {HISTOGRAM_HEIGHT}{steps}V{HISTOGRAM_HEIGHT}Z"
