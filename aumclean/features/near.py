"""Near-duplicates: the same picture saved again, scaled, mirrored, or with a few pixels cut off.

Features alone take two shirts for one picture, pixels alone two dark photographs. So two images are near-duplicates
when both agree: (1 - cosine of their features) times (1 - correlation of their pixels at 8 x 8) is below `BY_FEATURES`.
Without features the pixels at 16 x 16 stand in for them (`BY_PIXELS`), which misses a fifth of what was cropped
(docs/lab/features.md).
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from aumclean.features.neighbours import Neighbours

BY_FEATURES, BY_PIXELS = 0.003, 0.0005
COARSE, FINE = 8, 16  # pixels to which images are reduced
BLOCK = 4096  # pairs that are compared at a time


class Pairs(NamedTuple):
    """Near-duplicates: int64 positions, one array for either image of each pair."""

    first: np.ndarray
    second: np.ndarray


def near_pairs(
    images: np.ndarray, neighbours: Neighbours, among: np.ndarray | None = None, *, by_features: bool = True
) -> Pairs:
    """Which images are near-duplicates of which of their neighbours.

    Args:
        images: uint8 [n, size, size, 3].
        neighbours: of each.
        among: uint8 [m, size, size, 3], what the neighbours are among; by default the images themselves.
        by_features: whether the cosines are of a backbone's features, which the limit was measured on; else pixels
            count in their place.
    """
    n, k = neighbours.sample.shape
    first, second = np.repeat(np.arange(n), k), neighbours.sample.ravel().astype(np.int64)
    others = images if among is None else among
    apart = 1 - (neighbours.similarity.ravel() if by_features else _correlation(images, others, first, second, FINE))
    apart = apart * (1 - _correlation(images, others, first, second, COARSE))
    near = apart < (BY_FEATURES if by_features else BY_PIXELS)
    return Pairs(first[near], second[near])


def grouped(n: int, pairs: Pairs) -> np.ndarray:
    """The group of near-duplicates that each of n images is in, named by the first of them: int32 [n]."""
    links = coo_array((np.ones(len(pairs.first)), pairs), shape=(n, n))
    _, component = connected_components(links, directed=False)
    _, begins, place = np.unique(component, return_index=True, return_inverse=True)
    return np.asarray(begins[place], np.int32)


def pixel_rows(images: np.ndarray) -> np.ndarray:
    """What to look for neighbours by without features, float32 [n, 768]: the same for an image and its mirror image."""
    small = thumbnails(images, FINE)
    return np.asarray((small + small[:, :, ::-1]) / 2).reshape(len(small), -1)


def thumbnails(images: np.ndarray, side: int) -> np.ndarray:
    """Images reduced to `side` x `side` pixels (or as they are), less their mean, of length 1: float32 [n, h, w, 3]."""
    n, size = images.shape[:2]
    side = min(side, size)
    edges = np.arange(side) * size // side
    found = np.empty((n, side, side, 3), np.float32)
    for start in range(0, n, BLOCK):
        block = images[start : start + BLOCK].astype(np.float32)
        found[start : start + BLOCK] = np.add.reduceat(np.add.reduceat(block, edges, axis=1), edges, axis=2)
    width = np.diff(edges, append=size)
    found /= (width[:, None] * width)[:, :, None]
    found -= found.mean((1, 2, 3), keepdims=True)
    return np.asarray(found / np.maximum(np.sqrt((found**2).sum((1, 2, 3), keepdims=True)), 1e-6))


def _correlation(
    images: np.ndarray, others: np.ndarray, first: np.ndarray, second: np.ndarray, side: int
) -> np.ndarray:
    """Of pairs of thumbnails, the second as it is or mirrored, whichever is higher: float32 [pairs]."""
    small = thumbnails(images, side)
    reduced = small if others is images else thumbnails(others, side)
    found = np.empty(len(first), np.float32)
    for start in range(0, len(first), BLOCK):
        here = slice(start, start + BLOCK)
        one, other = small[first[here]], reduced[second[here]]
        found[here] = np.maximum((one * other).sum((1, 2, 3)), (one * other[:, :, ::-1]).sum((1, 2, 3)))
    return found
