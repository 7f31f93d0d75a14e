"""From the margins of samples a network was not taught the label of, to a threshold for new images.

A network never saw the labels of its own indicator samples: it was taught the indicator class instead. Among the real
classes it therefore judges them as it judges new images. Their margins for any other label than theirs are those of
wrong labels; their margins for the labels they have are those of given labels, most of them right. How many are wrong
follows from the two distributions (`aumclean.verdict.noise`), and with it the distribution of right labels. The
threshold is the cut where the share of wrong labels below it exceeds the share of right ones most, the latter counted
one and a half times: right labels are many, and each false alarm takes a person's time. (Counted once, this is Youden's
index.)
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from aumclean.verdict.held_out import HeldOut
from aumclean.verdict.threshold import BOOTSTRAP, interval

FALSE_ALARM_WEIGHT = 1.5
LARGEST_RATE = 0.9  # of noise; beyond it next to nothing is known of right labels

Share = TypeVar("Share", float, np.ndarray)


@dataclass(frozen=True)
class Calibration:
    """How new images are judged by one draw's network.

    Attributes:
        threshold: a margin at or below it is suspect.
        scale: standard deviation of the margins of given labels.
        detected: share of wrong labels at or below the threshold, if any other label is as likely.
        false_alarms: share of right labels there, estimated: given labels there, less the wrong ones among them.
        false_alarms_at_most: the same if every given label were right.
        detected_interval, false_alarms_interval: 95 % bootstrap intervals of `detected` and `false_alarms_at_most`.
    """

    threshold: float
    scale: float
    detected: float
    false_alarms: float
    false_alarms_at_most: float
    detected_interval: tuple[float, float]
    false_alarms_interval: tuple[float, float]


def calibrate(held: HeldOut, noise_rate: float, rng: np.random.Generator) -> Calibration:
    """The threshold, and how often it is wrong.

    Args:
        held: margins of at least one indicator sample.
        noise_rate: share of the given labels that are wrong, 0..1, see `aumclean.verdict.noise`.
        rng: of the bootstrap, which resamples indicator samples.
    """
    threshold = best_cut(held.given, held.wrong.ravel(), noise_rate)
    is_low, wrong_low = held.given <= threshold, (held.wrong <= threshold).mean(1)
    detected, at_most = float(wrong_low.mean()), float(is_low.mean())
    resampled = rng.integers(0, len(is_low), (BOOTSTRAP, len(is_low)), dtype=np.int32)
    return Calibration(
        threshold=threshold,
        scale=float(held.given.std()) or 1.0,
        detected=detected,
        false_alarms=float(np.clip(_among_right(at_most, detected, noise_rate), 0, at_most)),
        false_alarms_at_most=at_most,
        detected_interval=interval(wrong_low[resampled].mean(1)),
        false_alarms_interval=interval(is_low[resampled].mean(1)),
    )


def best_cut(given: np.ndarray, wrong: np.ndarray, noise_rate: float) -> float:
    """The cut at which the share of wrong labels at or below it most exceeds 1.5 times that of right ones.

    Halfway to the next larger margin, so that a repetition of the computation does not turn on rounding.

    Args:
        given: float [m], margins of given labels.
        wrong: float [k], margins of wrong labels.
        noise_rate: share of the given labels that are wrong, 0..1.
    """
    values = np.unique(np.concatenate([given, wrong]).astype(np.float64))
    below_wrong, below_given = (
        np.searchsorted(np.sort(margin), values, "right") / len(margin) for margin in (wrong, given)
    )
    gain = below_wrong - FALSE_ALARM_WEIGHT * _among_right(below_given, below_wrong, noise_rate)
    best = int(gain.argmax())
    return float((values[best] + values[min(best + 1, len(values) - 1)]) / 2)


def _among_right(given: Share, wrong: Share, noise_rate: float) -> Share:
    """Share of the right labels, where it is `given` of the given ones and `wrong` of the wrong ones."""
    rate = min(noise_rate, LARGEST_RATE)
    return (given - rate * wrong) / (1 - rate)
