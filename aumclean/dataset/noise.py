"""Known label noise: wrong labels planted on purpose, to measure how many of them are found."""

from collections.abc import Sequence

import numpy as np


def uniform_noise(labels: np.ndarray, n_classes: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Give each sample, with probability `rate`, one of the other classes, all alike.

    The true class is never drawn, so the realised rate is `rate` up to chance (Pleiss et al. 2020, section 4;
    unlike Zhang et al. 2017, whose random labels include the true one).

    Args:
        labels: int array of shape [n].
        n_classes: number of classes.
        rate: probability of a wrong label.
        rng: source of chance.
    """
    shift = rng.integers(1, n_classes, size=len(labels))
    return np.where(rng.random(len(labels)) < rate, (labels + shift) % n_classes, labels)


def flip_noise(labels: np.ndarray, n_classes: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Give each sample, with probability `rate`, the next class (the last one's next is the first).

    Called asymmetric noise in Pleiss et al. 2020; arguments as for `uniform_noise`.
    """
    return pair_noise(labels, np.roll(np.arange(n_classes), -1), rate, rng)


def pair_noise(
    labels: np.ndarray, target: Sequence[int] | np.ndarray, rate: float, rng: np.random.Generator
) -> np.ndarray:
    """Give each sample, with probability `rate`, the class that its own is mistaken for.

    Args:
        labels: int array of shape [n].
        target: for each class the one it is mistaken for; its own index where it never is.
        rate: probability of a wrong label.
        rng: source of chance.
    """
    return np.where(rng.random(len(labels)) < rate, np.asarray(target)[labels], labels)
