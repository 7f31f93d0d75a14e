"""The corruptions of Zhang et al. 2017 (section 2.1): labels or pixels made random, drawn once for a seed.

Unlike label noise (`aumclean.dataset.label_noise`), a random label may be the true one: with probability p redrawn
among c classes, a share p (1 - 1/c) of the labels comes out wrong. Labels of test images are never touched.
"""

from typing import Literal, get_args

import numpy as np

from aumclean.dataset.dataset import Dataset
from aumclean.errors import ConfigError

Corruption = Literal["true", "partial", "random", "shuffled-pixels", "random-pixels", "gaussian"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
OF_LABELS: frozenset[Corruption] = frozenset({"partial", "random"})
PERMUTED_AT_ONCE = 1 << 24  # pixels, so that positions stay under 128 MiB


def corrupted(dataset: Dataset, corruption: Corruption, *, seed: int, probability: float = 1.0) -> Dataset:
    """The training data under a corruption, which the seed decides whole.

    Args:
        dataset: with true labels.
        corruption: `true` changes nothing; `partial` redraws each label with `probability`, `random` all of them;
            `shuffled-pixels` moves the pixels of all images alike, `random-pixels` those of each image in its own
            way; `gaussian` replaces the images by noise of the data's mean and deviation.
        seed: of the draw.
        probability: of a redrawn label, for `partial`.

    Raises:
        ConfigError: for a probability outside 0..1.
    """
    if not 0 <= probability <= 1:  # so that NaN is refused too
        raise ConfigError(f"--probability: {probability:g} is not between 0 and 1")
    if corruption in OF_LABELS:
        share = probability if corruption == "partial" else 1.0
        labels = random_labels(dataset.labels, len(dataset.class_names), share, _rng(seed, "labels"))
        return dataset.with_labels(labels)
    return _with_corrupted_pixels(dataset, dataset, corruption, seed, "train")


def corrupted_test(test: Dataset, train: Dataset, corruption: Corruption, *, seed: int) -> Dataset:
    """Test data as a network trained under a corruption must see them: pixels corrupted likewise, labels true.

    Args:
        test: with true labels, which stay.
        train: the training data before their corruption: of their pixels `gaussian` has its moments.
        corruption: as the training data have it.
        seed: as for the training data; images that are random each for itself are drawn apart from those.
    """
    if corruption in OF_LABELS:
        return test
    return _with_corrupted_pixels(test, train, corruption, seed, "test")


def random_labels(labels: np.ndarray, n_classes: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Redraw each label with some probability, uniformly among all classes, its own included.

    Which labels are redrawn, and to what, does not depend on the probability but for how far it reaches: what is
    random at 0.2 is random, and the same, at 0.4. Zhang et al. 2017, section 2.1.

    Args:
        labels: int array of shape [n].
        n_classes: number of classes.
        probability: of a redrawn label.
        rng: source of chance.
    """
    redrawn = rng.integers(0, n_classes, size=len(labels))
    return np.where(rng.random(len(labels)) < probability, redrawn, labels)


def realised_rate(dataset: Dataset, true: Dataset) -> float:
    """Share of the labels that differ from the true ones."""
    return float((dataset.labels != true.labels).mean()) if len(true) else 0.0


def pixel_permutation(pixels: int, *, seed: int) -> np.ndarray:
    """The one permutation of `shuffled-pixels`, int64 [pixels]: where the pixel at each position comes from."""
    return _rng(seed, "shuffled-pixels").permutation(pixels)


def shuffled_pixels(images: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """Move the pixels of all images (uint8 [n, height, width, 3]) alike; the channels of a pixel stay together."""
    n, height, width, channels = images.shape
    return images.reshape(n, height * width, channels)[:, permutation].reshape(images.shape)


def random_pixels(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the pixels of each image (uint8 [n, height, width, 3]) in its own way; their channels stay together."""
    n, height, width, channels = images.shape
    pixels = images.reshape(n, height * width, channels)
    moved = np.empty_like(pixels)
    at_once = max(1, PERMUTED_AT_ONCE // max(1, height * width))
    for start in range(0, n, at_once):
        part = pixels[start : start + at_once]
        order = np.broadcast_to(np.arange(height * width, dtype=np.int32), part.shape[:2])
        moved[start : start + at_once] = np.take_along_axis(part, rng.permuted(order, axis=1)[:, :, None], axis=1)
    return moved.reshape(images.shape)


def gaussian_pixels(shape: tuple[int, ...], mean: np.ndarray, std: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of a mean and a deviation per channel (float [3], 0..255), rounded and clipped to uint8.

    Clipping draws the deviation in a little: by about a twentieth for photographs.
    """
    images = np.empty(shape, np.uint8)
    at_once = max(1, PERMUTED_AT_ONCE // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], at_once):
        part = images[start : start + at_once]
        noise = rng.standard_normal(part.shape, dtype=np.float32) * std.astype(np.float32) + mean.astype(np.float32)
        part[:] = np.rint(noise).clip(0, 255)
    return images


def pixel_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation per channel over all pixels of all images (uint8 [n, height, width, 3]), float64 [3]."""
    counts = [np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(3)]
    share = np.array(counts) / max(1, images[..., 0].size)
    levels = np.arange(256)
    mean = share @ levels
    return mean, np.sqrt((share * (levels - mean[:, None]) ** 2).sum(1))


def _with_corrupted_pixels(dataset: Dataset, moments_of: Dataset, corruption: str, seed: int, part: str) -> Dataset:
    images = dataset.images
    if corruption == "shuffled-pixels":
        images = shuffled_pixels(images, pixel_permutation(images.shape[1] * images.shape[2], seed=seed))
    elif corruption == "random-pixels":
        images = random_pixels(images, _rng(seed, "random-pixels", part))
    elif corruption == "gaussian":
        images = gaussian_pixels(images.shape, *pixel_moments(moments_of.images), _rng(seed, "gaussian", part))
    return dataset.with_images(images)


def _rng(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each purpose, so that none shifts another's numbers."""
    return np.random.default_rng([seed, *(int.from_bytes(name.encode(), "big") % (1 << 32) for name in names)])
