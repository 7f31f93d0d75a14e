"""Known label noise: wrong labels planted on purpose, to measure how many of them are found."""

from collections.abc import Sequence

import numpy as np

RATE_DEVIATION = 0.1  # of the samples' own rates in instance-dependent noise
MEASURED = 10_000  # images, evenly spaced, that say how bright the pixels are
PROJECTED = 4096  # images turned to numbers at once


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


def instance_noise(
    labels: np.ndarray, images: np.ndarray, n_classes: int, rate: float, rng: np.random.Generator
) -> np.ndarray:
    """Give each sample, with a probability of its own, the class that its picture is mistaken for.

    Part-dependent noise (Xia et al. 2020, "Part-dependent Label Noise", algorithm 2, its parts being whole images as in
    its published code): a sample's rate comes from a normal distribution around `rate`, cut off below 0 and above 1;
    a random matrix per class turns its normalised pixels into a score per class, and the wrong class is drawn by
    the softmax of these, the own class left out. So like pictures of a class are mistaken alike.

    The normal distribution is cut on both sides alike, so that the mean stays `rate` also near 0 and 1.

    Args:
        labels: int array of shape [n].
        images: uint8 of shape [n, height, width, 3].
        n_classes: number of classes.
        rate: mean probability of a wrong label.
        rng: source of chance.
    """
    flipped = rng.random(len(labels)) < _own_rates(len(labels), rate, rng)
    seen = images[:: max(1, len(images) // MEASURED)].reshape(-1, 3)
    mean, std = seen.mean(0, np.float64), np.maximum(seen.std(0, np.float64), 1.0)
    noisy = labels.copy()
    for label in range(n_classes):
        projection = rng.standard_normal((images[0].size, n_classes), np.float32)
        own = np.flatnonzero(labels == label)
        for some in np.split(own, range(PROJECTED, len(own), PROJECTED)):
            pixels = ((images[some] - mean) / std).astype(np.float32).reshape(len(some), images[0].size)
            scores = pixels @ projection
            scores += rng.gumbel(size=scores.shape)  # the largest of these is a draw by the softmax of the scores
            scores[:, label] = -np.inf
            noisy[some] = np.where(flipped[some], scores.argmax(1), label)
    return noisy


def _own_rates(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    farthest = min(rate, 1 - rate)
    deviation = min(RATE_DEVIATION, farthest / 2)  # so that few draws are cut off
    rates = rng.normal(rate, deviation, n)
    while len(outside := np.flatnonzero(np.abs(rates - rate) > farthest)):
        rates[outside] = rng.normal(rate, deviation, len(outside))
    return rates


def imbalanced(labels: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Choose samples so that the first class is `ratio` times as large as the last, those between falling evenly.

    The sizes fall exponentially (Cui et al. 2019, "Class-Balanced Loss", section 5.1) and are the largest that the
    classes allow; every class keeps at least one sample.

    Args:
        labels: int array of shape [n], every class from 0 to the largest at least once.
        ratio: of the first class's size to the last's, at least 1.
        rng: source of chance.

    Returns:
        int64, ascending: positions of the samples that stay.
    """
    counts = np.bincount(labels)
    shares = ratio ** -np.linspace(0, 1, len(counts))
    sizes = np.maximum((shares * (counts / shares).min()).round().astype(int), 1)
    chosen = [
        rng.choice(np.flatnonzero(labels == label), size, replace=False) for label, size in enumerate(sizes.tolist())
    ]
    return np.sort(np.concatenate(chosen))
