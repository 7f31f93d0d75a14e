"""Several draws, one verdict: which samples are flagged, and how suspect each is."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aumclean.verdict.threshold import Rule, below_threshold

Combine = Literal["all", "any", "mean"]


@dataclass(frozen=True)
class Combined:
    """The draws' joint verdict, arrays of length n."""

    flagged: np.ndarray  # bool
    distance: np.ndarray  # float64: mean over the judging draws of (AUM - threshold) / deviation of AUM
    repeat_deviation: float  # standard deviation of what another scan of the same data adds to `distance`


def combine_draws(
    aum: np.ndarray, is_indicator: np.ndarray, thresholds: np.ndarray, how: Combine, rule: Rule = "percentile"
) -> Combined:
    """Combine the draws; an indicator sample of a draw is judged by the other draws only.

    `all`: flagged by every draw that judges the sample, as the published code does; `any`: by at least one;
    `mean`: the mean distance to the threshold is at most zero. Distances are in units of the deviation of the
    draw's AUMs, since raw AUMs of different trainings have different scales.

    Args:
        aum: float64 [draws, n].
        is_indicator: bool [draws, n].
        thresholds: float64 [draws].
        how: the rule above.
        rule: whether a sample at the threshold is flagged, see `below_threshold`.
    """
    judges = ~is_indicator
    votes = np.stack([below_threshold(draw, threshold, rule) for draw, threshold in zip(aum, thresholds, strict=True)])
    scale = np.array([draw[judge].std() or 1.0 for draw, judge in zip(aum, judges, strict=True)])
    distances = (aum - thresholds[:, None]) / scale[:, None]
    distance = np.where(judges, distances, 0).sum(0) / np.maximum(judges.sum(0), 1)
    if how == "all":
        flagged = (votes | is_indicator).all(0)
    elif how == "any":
        flagged = (votes & judges).any(0)
    else:
        flagged = below_threshold(distance, 0.0, rule)
    return Combined(flagged & judges.any(0), distance, repeat_deviation(distances, judges))


def combine_final(final: np.ndarray, is_indicator: np.ndarray, judged: np.ndarray, share: float) -> Combined:
    """Flag the given share of samples, those with the lowest final margins.

    A sample's margins under the draws' networks are averaged in units of the deviation of each draw's. That includes
    the draw in which it is an indicator sample: its network was not taught the label, and judges it all the same.

    Args:
        final: float32 [draws, n], see `aumclean.margins.final`.
        is_indicator: bool [draws, n]; these do not count towards mean and deviation.
        judged: bool [n]; the others are never flagged.
        share: of the judged samples, 0..1.
    """
    taught = [margin[~indicator].astype(np.float64) for margin, indicator in zip(final, is_indicator, strict=True)]
    mean, scale = np.array([(margin.mean(), margin.std() or 1.0) for margin in taught]).T[..., None]
    distances = (final - mean) / scale
    score = distances.mean(0)
    ascending, count = np.sort(score[judged]), round(share * int(judged.sum()))
    if 0 < count < len(ascending):
        cut = (ascending[count - 1] + ascending[count]) / 2
    else:
        cut = ascending[-1] if count else np.nextafter(ascending[0], -np.inf)
    everywhere = np.ones_like(is_indicator)
    return Combined((score <= cut) & judged, score - cut, repeat_deviation(distances, everywhere))


def repeat_deviation(distances: np.ndarray, judges: np.ndarray) -> float:
    """By how much the mean distance of a sample differs between two scans of the same data, as a standard deviation.

    Draws are trained apart, so the spread of a sample's distances over the draws that judge it, [draws, n], is that
    of trainings; a mean over k of them has 1/k of the variance, the difference of two such means twice that.
    """
    count = judges.sum(0)
    several = count > 1
    if not several.any():
        return 0.0
    kept = np.where(judges, distances, 0)[:, several]
    mean = kept.sum(0) / count[several]
    squares = (np.where(judges[:, several], kept - mean, 0) ** 2).sum(0) / (count[several] - 1)
    return float(np.sqrt(2 * squares.mean() / len(distances)))


def label_score(distance: np.ndarray) -> np.ndarray:
    """Distance to the threshold as a score in [0, 1]: 0.5 at the threshold, lower is more suspect."""
    return np.asarray(1 / (1 + np.exp(-distance)))
