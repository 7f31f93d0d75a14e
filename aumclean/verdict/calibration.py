"""From the margins of samples a network was not taught the label of, to a threshold for new images.

A network never saw the labels of its own indicator samples: it was taught the indicator class instead. Among the real
classes it therefore judges them as it judges new images. Their margins for the labels they have are those of given
labels, nearly all right; their margins for any other label are those of wrong labels. Where the two distribution
functions lie furthest apart is the threshold (Youden's index). That point does not depend on how many of the given
labels are wrong, since those only mix some of the second distribution into the first.
"""

from dataclasses import dataclass

import numpy as np

from aumclean.margins import margins
from aumclean.verdict.threshold import BOOTSTRAP, interval

WRONG_LABELS = 20  # per indicator sample at most


@dataclass(frozen=True)
class HeldOut:
    """Margins of the indicator samples of one draw among the real classes.

    Attributes:
        given: float32 [m], for the label each sample has.
        wrong: float32 [m, k], for k other labels.
    """

    given: np.ndarray
    wrong: np.ndarray


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


def held_out(logits: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> HeldOut:
    """Margins for the given and for wrong labels.

    Args:
        logits: float32 [m, classes], of the real classes only.
        labels: int64 [m].
        rng: chooses the wrong labels where there are more than 20 others.
    """
    m, n_classes = logits.shape
    given, _ = margins(logits, labels)
    count = min(n_classes - 1, WRONG_LABELS)
    steps = rng.permuted(np.tile(np.arange(1, n_classes), (m, 1)), axis=1)[:, :count]
    wrong = [margins(logits, (labels + steps[:, k]) % n_classes)[0] for k in range(count)]
    return HeldOut(given.astype(np.float32), np.stack(wrong, axis=1).astype(np.float32))


def calibrate(held: HeldOut, noise_rate: float, rng: np.random.Generator) -> Calibration:
    """The threshold, and how often it is wrong.

    Args:
        held: margins of at least one indicator sample.
        noise_rate: share of the given labels that are wrong, as the scan estimates it, 0..1.
        rng: of the bootstrap, which resamples indicator samples.
    """
    threshold = youden(held.given, held.wrong.ravel())
    is_low, wrong_low = held.given <= threshold, (held.wrong <= threshold).mean(1)
    detected, at_most = float(wrong_low.mean()), float(is_low.mean())
    share = min(noise_rate, 0.99)
    resampled = rng.integers(0, len(is_low), (BOOTSTRAP, len(is_low)), dtype=np.int32)
    return Calibration(
        threshold=threshold,
        scale=float(held.given.std()) or 1.0,
        detected=detected,
        false_alarms=float(np.clip((at_most - share * detected) / (1 - share), 0, at_most)),
        false_alarms_at_most=at_most,
        detected_interval=interval(wrong_low[resampled].mean(1)),
        false_alarms_interval=interval(is_low[resampled].mean(1)),
    )


def youden(given: np.ndarray, wrong: np.ndarray) -> float:
    """The cut at which the share of wrong labels at or below it most exceeds that of given labels.

    Halfway to the next larger margin, so that a repetition of the computation does not turn on rounding.
    """
    values = np.unique(np.concatenate([given, wrong]).astype(np.float64))
    gap = np.searchsorted(np.sort(wrong), values, "right") / len(wrong)
    gap -= np.searchsorted(np.sort(given), values, "right") / len(given)
    best = int(gap.argmax())
    return float((values[best] + values[min(best + 1, len(values) - 1)]) / 2)
