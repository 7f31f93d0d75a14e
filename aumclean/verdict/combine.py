"""Several draws, one verdict: which samples are flagged, and how suspect each is."""

from dataclasses import dataclass

import numpy as np

from aumclean.config.presets import Combine, Rule
from aumclean.files import mapped
from aumclean.verdict.threshold import below_threshold


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


def repeat_deviation(distances: np.ndarray, judges: np.ndarray) -> float:
    """By how much the mean distance of a sample differs between two scans of the same data, as a standard deviation.

    Draws are trained apart, so the spread of a sample's distances over the draws that judge it, [draws, n], is that
    of trainings; a mean over k of them has 1/k of the variance, the difference of two such means twice that.
    """
    count = judges.sum(0, dtype=np.int32)
    several = count > 1
    if not several.any():
        return 0.0
    squares, done = mapped.empty((int(several.sum()),), np.float64), 0
    for here in mapped.blocks(len(several)):
        judge, times = judges[:, here][:, several[here]], count[here][several[here]]
        kept = np.where(judge, distances[:, here][:, several[here]], 0)
        off = np.where(judge, kept - kept.sum(0) / times, 0)
        squares[done : done + len(times)] = (off**2).sum(0) / (times - 1)
        done += len(times)
    return float(np.sqrt(2 * squares.mean() / len(distances)))


def standing(aum: np.ndarray, judges: np.ndarray) -> np.ndarray:
    """Where nothing says at which AUM suspicion begins: AUM itself, in deviations, as the mean over judging draws.

    Args:
        aum: float64 [draws, n].
        judges: bool [draws, n].

    Returns:
        float64 [n]; NaN where no draw judges.
    """
    scale = np.array([draw[judge].std() or 1.0 for draw, judge in zip(aum, judges, strict=True)])
    total = np.where(judges, aum / scale[:, None], 0).sum(0)
    return np.asarray(np.where(judges.any(0), total / np.maximum(judges.sum(0), 1), np.nan))


def label_score(distance: np.ndarray) -> np.ndarray:
    """Distance to the threshold as a score in [0, 1]: 0.5 at the threshold, lower is more suspect."""
    score = mapped.empty(distance.shape, np.float64)
    for here in mapped.blocks(len(score)):
        score[here] = 1 / (1 + np.exp(-distance[here]))
    return score
