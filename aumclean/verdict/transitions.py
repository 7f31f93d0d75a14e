"""Which classes are labeled as which others: label errors that have a direction.

Where a network is surest, a label that contradicts it is an error, or the network confuses two classes. Errors that
fall on any class alike, and confusion of two classes that look alike, go both ways between two classes; trucks labeled
as cars, and no cars labeled as trucks, do not. So what goes one way more often than the other is taken for errors of
that kind, once the table of all such labels is less symmetric than chance would have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.special

from aumclean.files import mapped
from aumclean.margins.final import Final, read_final
from aumclean.margins.log import ROW_GROUP, read_block

SURE = 0.3  # share of the samples that are taken for a class, the surest ones
SYMMETRIC = 0.01  # p-value from which on contradicting labels are taken to go both ways


@dataclass(frozen=True)
class Transitions:
    """How much likelier than errors on any class alike it is that one class is labeled as a given other one.

    Attributes:
        n_classes: number of classes.
        pair: int64, ascending, true class * n_classes + label; the others are no likelier.
        log_ratio: float32, above 0, of each of these pairs.
    """

    n_classes: int
    pair: np.ndarray
    log_ratio: np.ndarray

    def of(self, true: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The log ratio of each true class and label, float32; true classes and labels are int and broadcast."""
        if not len(self.pair):
            return np.zeros(1, np.float32)
        pair = true.astype(np.int64) * self.n_classes + label
        at = np.minimum(self.pair.searchsorted(pair), len(self.pair) - 1)
        return np.where(self.pair[at] == pair, self.log_ratio[at], np.float32(0))


NO_DIRECTION = Transitions(1, np.empty(0, np.int64), np.empty(0, np.float32))


def read_predictions(files: Sequence[Path], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the networks of all draws take each sample for, int32 [draws, n], and how sure they are, float32 [draws, n].

    Args:
        files: of every draw, see `aumclean.margins.final`.
        labels: int [n].

    Raises:
        RunError: as `read_final` does.
    """
    shape = len(files), len(labels)
    predicted, sureness = mapped.empty(shape, np.int32), mapped.empty(shape, np.float32)
    for draw, file in enumerate(files):
        for block, final in read_final(file, len(labels)):
            predicted[draw, block], sureness[draw, block] = taken_for(final, labels[block])
    return predicted, sureness


def last_predictions(
    folder: Path, labels: np.ndarray, n_classes: int, epochs_done: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The same by the last recorded epoch, where there are no final margins.

    A sample that was not seen then, or was taught or taken for the indicator class, is taken for nothing but its label,
    and not surely.

    Args:
        folder: the margin log.
        labels: int [n].
        n_classes: number of classes without the indicator class.
        epochs_done: of every draw.
    """
    shape = len(epochs_done), len(labels)
    predicted, sureness = mapped.empty(shape, np.int32), mapped.empty(shape, np.float32)
    predicted[:], sureness[:] = labels, -np.inf
    for draw, done in enumerate(epochs_done):
        for start in range(0, len(labels), ROW_GROUP):
            here = slice(start, min(start + ROW_GROUP, len(labels)))
            last = range(done - 1, done)
            margin, runner_up, is_indicator = read_block(folder, draw, last, here.start, here.stop, whole=False)
            known = ~is_indicator & (runner_up[0] >= 0) & (runner_up[0] < n_classes)
            other = known & (margin[0] < 0)
            predicted[draw, here][other] = runner_up[0, other]
            sureness[draw, here][known] = -np.exp(-abs(margin[0, known]))
    return predicted, sureness


def labels_of_surest(
    predicted: np.ndarray, sureness: np.ndarray, labels: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """How the samples are labeled of which networks are surest, by the class that these take them for.

    Args:
        predicted, sureness: of all draws, see `read_predictions`.
        labels: int [n].
        n_classes: number of classes.

    Returns:
        Pairs of classes that occur, int64, ascending, predicted class * n_classes + label; and how many samples there
        are of each, float64, in the mean of the draws.
    """
    pairs = []
    for taken, surely in zip(predicted, sureness, strict=True):
        sure = surest(taken, surely)
        pairs.append(taken[sure] * np.int64(n_classes) + labels[sure])
    pair, count = np.unique(np.concatenate(pairs), return_counts=True)
    return pair, count / len(predicted)


def surest(predicted: np.ndarray, sureness: np.ndarray) -> np.ndarray:
    """Which samples are among the surest of those that are taken for the same class: bool [n]."""
    order = np.lexsort((-sureness, predicted))
    of_class, chosen = np.bincount(predicted), np.zeros(len(predicted), bool)
    for first, count in zip(of_class.cumsum() - of_class, of_class, strict=True):
        share = (np.arange(count) + 0.5) / max(count, 1)
        chosen[order[first : first + np.count_nonzero(share <= SURE)]] = True
    return chosen


def taken_for(final: Final, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class each sample is taken for, int [n], and minus the odds that it is another one, float32 [n]."""
    margin = final.margins[:, 0]
    odds = np.exp(-abs(margin)) + np.exp(np.minimum(margin, 0)[:, None] - final.margins[:, 1:]).sum(1)
    return np.where(margin > 0, labels, final.rivals[:, 0]), -odds


def transitions(pair: np.ndarray, count: np.ndarray, n_classes: int) -> Transitions:
    """Transitions from how often each predicted class has each label.

    Between two classes the shares that are labeled as the other one are compared; the excess of the greater is
    shrunk by the size it has by chance. How likely an error on any class alike is, is the mean of what is left.
    Whether there is any direction at all is tested by the sum of squares of all differences (Bowker 1948, for classes
    of unequal size).

    Args:
        pair: int64, ascending, predicted class * n_classes + label.
        count: float64, above 0, of each pair.
        n_classes: number of classes.
    """
    predicted, label = np.divmod(pair, n_classes)
    of_class = np.bincount(predicted, count, n_classes)
    off = predicted != label
    predicted, label, count = predicted[off], label[off], count[off]
    pair, back = pair[off], label * n_classes + predicted
    reverse = np.zeros(len(pair))
    if len(pair):
        at = np.minimum(pair.searchsorted(back), len(pair) - 1)
        reverse = np.where(pair[at] == back, count[at], 0.0)
    size, other_size = of_class[predicted], np.maximum(of_class[label], 1)
    excess = count / size - reverse / other_size
    pooled = (count + reverse) / (size + other_size)
    squared = excess**2 / (pooled * (1 - pooled) * (1 / size + 1 / other_size)).clip(1e-12)
    once = (reverse == 0) | (predicted < label)  # of the two directions between two classes
    if not once.any() or scipy.special.chdtrc(once.sum(), squared[once].sum()) >= SYMMETRIC:
        return NO_DIRECTION
    excess = excess.clip(0) * (1 - 1 / squared.clip(1))
    base = max((count / size - excess).sum() / (n_classes * (n_classes - 1)), 1 / of_class.sum())
    directed = excess > 0
    return Transitions(n_classes, pair[directed], np.log1p(excess[directed] / base).astype(np.float32))


def main_directions(transition: np.ndarray, may: np.ndarray) -> Transitions:
    """Those on which most errors of a class fall, by how likely each true class (row) is to get each label.

    Args:
        transition: float64 [classes, classes], rows sum to 1, see `aumclean.verdict.label_noise`.
        may: bool [classes, classes], which errors may have a direction.
    """
    n_classes = len(transition)
    errors = transition - np.diag(np.diag(transition))
    most = may & (errors > errors.sum(1, keepdims=True) / 2)
    if n_classes < 3 or not most.any():
        return NO_DIRECTION
    base = max(errors[~most].sum() / (n_classes * (n_classes - 1)), 1e-6)
    return Transitions(n_classes, np.flatnonzero(most), np.log1p(errors[most] / base).astype(np.float32))


def read_corrected(files: Sequence[Path], labels: np.ndarray, directed: Transitions) -> np.ndarray:
    """Final margins, with each rival's logit raised by how likely its class is to be given the label.

    A margin is the log odds of two classes as labels; corrected it is that of the label being right against its being
    an error, and a sample is as suspect as the likeliest error makes it.

    Returns:
        float32 [draws, n].
    """
    corrected = mapped.empty((len(files), len(labels)), np.float32)
    for draw, file in enumerate(files):
        for block, found in read_final(file, len(labels)):
            corrected[draw, block] = (found.margins - directed.of(found.rivals, labels[block, None])).min(1)
    return corrected
