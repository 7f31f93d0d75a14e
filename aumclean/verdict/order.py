"""In which order samples are suspect: by final and closing margins, or by AUM where those were memorised."""

from itertools import permutations
from typing import NamedTuple

import numpy as np

MEMORISED = 0.1  # share of the indicator samples that are memorised, from which on AUM may rank
FEWEST = 3  # held-out margins that a correlation can be taken of


class Order(NamedTuple):
    """Distances from the mean in units of the deviation of each draw's margins; low is suspect.

    Attributes:
        distance: float64 [n], the mean over the draws.
        draws: float64 [draws, n], of each.
        memorised: whether it is by AUM, since the networks ended up knowing their labels by heart.
    """

    distance: np.ndarray
    draws: np.ndarray
    memorised: bool


def order_of(
    final: np.ndarray, closing: np.ndarray, aum: np.ndarray, is_indicator: np.ndarray, memorised: float
) -> Order:
    """Rank by final and closing margins, or by AUM where labels were memorised.

    A sample's final margins include that of the draw in which it is an indicator sample: its network was not taught the
    label, and judges it all the same. The closing epochs saw each image in several versions and before all of it was
    memorised; the final network knows the classes best. Together they rank better than either, and than AUM
    (docs/benchmarks.md), unless the training went on until labels were memorised: then a wrong label has as high a
    margin as a right one in the end, and only AUM remembers that it was learned late. That is so when indicator samples
    were memorised, and AUM is nearer to what networks say of labels that they were not taught; where these are few,
    either alone may be chance.

    Args:
        final: float32 [draws, n], see `aumclean.margins.final`, corrected for errors that have a direction.
        closing: float32 [draws, n], mean margin over the closing epochs, see `aumclean.verdict.aum`.
        aum: float64 [draws, n].
        is_indicator: bool [draws, n]; these do not count towards mean and deviation, nor with their AUM.
        memorised: share of the indicator samples that were taken for the indicator class before the closing epochs.
    """
    judges = ~is_indicator
    nearness = [held_out_correlation(margins, final, is_indicator) for margins in (aum, final, closing)]
    if memorised >= MEMORISED and nearness[0] > max(nearness[1:]):
        by_aum = standardised(aum, judges)
        return Order(_mean_of_judges(by_aum, judges), by_aum, True)
    by_final, by_closing = standardised(final, judges), standardised(closing, judges)
    distance = (by_final.mean(0) + _mean_of_judges(by_closing, judges)) / 2
    return Order(distance, (by_final + by_closing) / 2, False)


def held_out_correlation(margins: np.ndarray, final: np.ndarray, is_indicator: np.ndarray) -> float:
    """How well margins of labels that were taught foretell what a network says that was not taught them.

    A draw's network never saw the labels of its indicator samples, which the other draws were taught; its final margins
    of them cannot be memorised. Both arguments are float [draws, n].

    Returns:
        Pearson's correlation, the mean over ordered pairs of draws; NaN where there is none.
    """
    found = []
    for untaught, taught in permutations(range(len(final)), 2):
        common = is_indicator[untaught] & ~is_indicator[taught]
        pair = margins[taught, common].astype(np.float64), final[untaught, common].astype(np.float64)
        if common.sum() >= FEWEST and all(values.std() > 0 for values in pair):
            found.append(np.corrcoef(*pair)[0, 1])
    return float(np.mean(found)) if found else float("nan")


def mean_and_deviation(margins: np.ndarray, judges: np.ndarray) -> np.ndarray:
    """Of each draw's margins of samples that it judges: float64 [2, draws, 1]."""
    taught = [draw[judge].astype(np.float64) for draw, judge in zip(margins, judges, strict=True)]
    return np.array([(margin.mean(), margin.std() or 1.0) for margin in taught]).T[..., None]


def standardised(margins: np.ndarray, judges: np.ndarray) -> np.ndarray:
    """Margins less their draw's mean, in units of its deviation: float64 [draws, n]."""
    mean, scale = mean_and_deviation(margins, judges)
    return np.asarray((margins - mean) / scale)


def _mean_of_judges(distances: np.ndarray, judges: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(judges, distances, 0).sum(0) / np.maximum(judges.sum(0), 1))
