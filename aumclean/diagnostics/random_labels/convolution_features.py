"""Random convolution features: one layer of random filters, rectified and pooled over the four quarters of the image.

The network of Coates and Ng 2012 ("Learning feature representations with k-means") with filters drawn at random among
the images' own patches in place of k-means centroids, as in Zhang et al. 2017, table 3; they used 32,000 filters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

PATCH = 6  # pixels
CONTRAST_FLOOR = 10.0  # of a patch's variance in 0..255, so that flat patches are not blown up
WHITENING_FLOOR = 0.1  # of the eigenvalues of the patches' covariance
THRESHOLD = 0.25  # of a response, in units of whitened patches of norm 1
SAMPLED_PATCHES = 50_000
CHUNK = 1 << 24  # responses in memory at once, 64 MiB


@dataclass(frozen=True)
class ConvolutionFeatures:
    """Filters and what standardises their responses; of the training images alone.

    Attributes:
        filters: float32 [patch * patch * 3, m], whitening included.
        offset: float32 [m].
        patch: side in pixels.
        mean, std: float32 [8 m], of the pooled responses.
    """

    filters: np.ndarray
    offset: np.ndarray
    patch: int
    mean: np.ndarray
    std: np.ndarray

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features, float32 [n, 8 m + 1], of images, uint8 [n, height, width, 3]; the last is 1."""
        features = _pooled(images, self.filters, self.offset, self.patch)
        features[:, :-1] -= self.mean
        features[:, :-1] /= self.std
        features[:, -1] = 1  # features that sum to 0 over the images could not sum to the number of a class
        return features


def feature_count(filters: int) -> int:
    """Features of so many filters: both signs of the response, in each quarter of the image; and a constant."""
    return 8 * filters + 1


def random_convolution_features(images: np.ndarray, filters: int, rng: np.random.Generator) -> ConvolutionFeatures:
    """Draw filters among the patches of the training images, uint8 [n, height, width, 3]; labels are not seen."""
    patch = min(PATCH, *images.shape[1:3])
    sampled = _sample(images, max(SAMPLED_PATCHES, filters), patch, rng)
    centre = sampled.mean(0)
    values, vectors = np.linalg.eigh(np.cov(sampled, rowvar=False).astype(np.float64))
    whitening = ((vectors / np.sqrt(np.maximum(values, 0) + WHITENING_FLOOR)) @ vectors.T).astype(np.float32)
    chosen = (sampled[rng.choice(len(sampled), filters, replace=False)] - centre) @ whitening
    chosen /= np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-6)
    folded = whitening @ chosen.T
    offset = -centre @ folded
    pooled = _pooled(images, folded, offset, patch)[:, :-1]
    std = pooled.std(0)
    # filters that few images excite would else shout when a test image does
    return ConvolutionFeatures(folded, offset, patch, pooled.mean(0), np.maximum(std, max(0.1 * std.mean(), 1e-6)))


def _sample(images: np.ndarray, count: int, patch: int, rng: np.random.Generator) -> np.ndarray:
    """Random patches, contrast-normalised, float32 [count, patch * patch * 3]."""
    n, height, width, _ = images.shape
    image = rng.integers(0, n, count)[:, None, None]
    row = rng.integers(0, height - patch + 1, count)[:, None, None] + np.arange(patch)[:, None]
    column = rng.integers(0, width - patch + 1, count)[:, None, None] + np.arange(patch)
    return _normalised(images[image, row, column].reshape(count, -1).astype(np.float32))


def _normalised(patches: np.ndarray) -> np.ndarray:
    patches = patches - patches.mean(-1, keepdims=True)
    return patches / np.sqrt(patches.var(-1, keepdims=True) + CONTRAST_FLOOR)  # type: ignore[no-any-return]


def _pooled(images: np.ndarray, filters: np.ndarray, offset: np.ndarray, patch: int) -> np.ndarray:
    """Responses above the threshold, both signs, averaged over each quarter: float32 [n, 8 m + 1], the last empty."""
    n, height, width, _ = images.shape
    m = filters.shape[1]
    rows, columns = height - patch + 1, width - patch + 1
    features = np.empty((n, feature_count(m)), np.float32)
    at_once = max(1, CHUNK // (rows * columns * m))
    for start in range(0, n, at_once):
        windows = sliding_window_view(images[start : start + at_once], (patch, patch), axis=(1, 2))
        patches = _normalised(
            windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, rows, columns, patch * patch * 3).astype(np.float32)
        )
        response = patches @ filters + offset
        quarters = [
            np.maximum(sign * part - THRESHOLD, 0).mean((1, 2))
            for half in np.array_split(response, 2, axis=1)
            for part in np.array_split(half, 2, axis=2)
            for sign in (1, -1)
        ]
        features[start : start + at_once, :-1] = np.concatenate(quarters, axis=1)
    return features
