"""Linear discriminant analysis of features, in folds: how likely each class is, by what was not taught the label.

Every class has a mean; all share one covariance, shrunk towards a multiple of the identity. It needs no training, and
wrong labels move a mean less than a boundary that is fitted to them: linear heads that are trained on the same features
rank worse (docs/lab/features.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse

from aumclean.margins.held_out import log_softmax

FOLDS = 5
SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9)  # from which the one is taken that the labels are likeliest by
BLOCK = 4096  # samples that are in memory in double precision


@dataclass(frozen=True)
class Discriminant:
    """A fitted discriminant.

    Attributes:
        weights: float32 [width, classes].
        bias: float32 [classes].
    """

    weights: np.ndarray
    bias: np.ndarray

    def log_probs(self, rows: np.ndarray) -> np.ndarray:
        """Log-probabilities of the classes, float32 [n, classes], of features [n, width]."""
        return log_softmax(rows @ self.weights + self.bias)


@dataclass(frozen=True)
class _Moments:
    """Sums over some samples: how many of each class, of their features, and of products of features."""

    count: np.ndarray  # float64 [classes]
    total: np.ndarray  # float64 [classes, width]
    square: np.ndarray  # float64 [width, width]

    def __sub__(self, other: "_Moments") -> "_Moments":
        return _Moments(self.count - other.count, self.total - other.total, self.square - other.square)

    def discriminants(self, shrinkages: Sequence[float]) -> Iterator[Discriminant]:
        """One for each shrinkage."""
        n = max(1.0, float(self.count.sum()))  # of a few images some folds are empty
        mean = self.total / np.maximum(self.count, 1)[:, None]
        within = (self.square - mean.T @ self.total) / n
        variance, prior = max(float(np.diag(within).mean()), 1e-12), np.log((self.count + 1) / (n + len(self.count)))
        for shrinkage in shrinkages:
            shrunk = (1 - shrinkage) * within + shrinkage * variance * np.eye(len(within))
            weights = scipy.linalg.solve(shrunk, mean.T, assume_a="pos")
            bias = prior - (mean.T * weights).sum(0) / 2
            yield Discriminant(weights.astype(np.float32), bias.astype(np.float32))


def _moments(rows: np.ndarray, labels: np.ndarray, n_classes: int) -> _Moments:
    width = rows.shape[1]
    count = np.bincount(labels, minlength=n_classes).astype(np.float64)
    total, square = np.zeros((n_classes, width)), np.zeros((width, width))
    for start in range(0, len(rows), BLOCK):
        block, of_class = rows[start : start + BLOCK].astype(np.float64), labels[start : start + BLOCK]
        ones, at = np.ones(len(block)), np.arange(len(block))
        total += scipy.sparse.csr_array((ones, (of_class, at)), (n_classes, len(block))) @ block  # ten times np.add.at
        square += block.T @ block
    return _Moments(count, total, square)


def in_folds(
    rows: np.ndarray, labels: np.ndarray, n_classes: int, fold: np.ndarray, shrinkages: Sequence[float]
) -> list[list[Discriminant]]:
    """For each fold, discriminants of all other samples, one for each shrinkage.

    Args:
        rows: float [n, width].
        labels: int [n].
        n_classes: number of classes.
        fold: int [n], 0 to `FOLDS` - 1.
        shrinkages: 0..1 each.
    """
    of_fold = [_moments(rows[fold == one], labels[fold == one], n_classes) for one in range(FOLDS)]
    everything = _moments_of_all(of_fold)
    return [list((everything - one).discriminants(shrinkages)) for one in of_fold]


def by_halves(
    rows: np.ndarray, labels: np.ndarray, n_classes: int, fold: np.ndarray, shrinkage: float
) -> tuple[np.ndarray, np.ndarray]:
    """What two discriminants take each sample for that share no sample and were not taught this one: int32 [n] each.

    They are taught two of the other folds each, but no more samples than there are features: with more they agree
    whatever they know (docs/lab/features.md). Arguments are as of `in_folds`.
    """
    taken = np.empty((2, len(rows)), np.int32)
    for one in range(FOLDS):
        inside, after = fold == one, (fold - one) % FOLDS
        for half, taught in enumerate(((1, 2), (3, 4))):
            some = np.flatnonzero(np.isin(after, taught))
            if len(some) > rows.shape[1]:
                some = some[np.linspace(0, len(some) - 1, rows.shape[1]).astype(np.int64)]
            (found,) = _moments(rows[some], labels[some], n_classes).discriminants([shrinkage])
            taken[half, inside] = found.log_probs(rows[inside]).argmax(1)
    return taken[0], taken[1]


def of_all(rows: np.ndarray, labels: np.ndarray, n_classes: int, shrinkage: float) -> Discriminant:
    """The discriminant of all samples, for images that come later; arguments as of `in_folds`."""
    return next(_moments(rows, labels, n_classes).discriminants([shrinkage]))


def _moments_of_all(parts: Sequence[_Moments]) -> _Moments:
    return _Moments(*(sum(getattr(part, name) for part in parts) for name in ("count", "total", "square")))


def folds(group: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """Which fold each sample is in, int [n].

    Its content decides: another scan of the same images, or of some more, asks discriminants that were taught as good
    as the same. Those of a group are in one fold, so that no twin vouches.

    Args:
        group: int [n], the first sample of the group that each is one of.
        digests: uint8 [n, 32], of the files.
    """
    return np.asarray(np.ascontiguousarray(digests[group, :8]).view("<u8")[:, 0] % FOLDS, np.int32)
