"""The finite-sample theorem as a construction: a ReLU network of 2n + d weights that fits any labels of n images.

Zhang et al. 2017, theorem 1 and corollary 1. The network is c(x) = sum_j w_j max(<a, x> - b_j, 0). In the proof the
knots b_j are anywhere between neighbouring projections; here each is at the projection before its own, where rounding
errors do not grow from sample to sample: c is then the polygon through the points, and w its changes of slope.
"""

import hashlib
import time
from dataclasses import dataclass

import numpy as np

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.random_labels.corruptions import corrupted
from aumclean.diagnostics.random_labels.record import Constructed
from aumclean.errors import ConfigError, DataError

DIRECTIONS = 4  # tried at random; the one that keeps the samples furthest apart is taken
CHUNK = 1 << 20  # float64 values that are in memory at once, 8 MiB
TOLERANCE = 1e-4


@dataclass(frozen=True)
class ExactNetwork:
    """A ReLU network with one input direction, of one or more hidden layers, that passes through every sample.

    With one hidden layer it is that of the theorem. With more, each layer has the knots of its own stretch of the
    projections, and two units more: one passes the projection on, the other the sum of the layers before. A last knot
    makes each layer's share constant behind its stretch, so that the sum stays between the smallest and largest target.

    Attributes:
        direction: float64 [d], a.
        knots: b of each hidden layer, float64, ascending.
        weights: w of each hidden layer, float64, as many as knots.
        floor: what keeps the sum that is passed on positive; 0 with one layer.
    """

    direction: np.ndarray
    knots: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    floor: float

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return len(self.knots)

    @property
    def width(self) -> int:
        """Units of the widest hidden layer."""
        return max(len(knots) for knots in self.knots) + (2 if self.depth > 1 else 0)

    @property
    def n_weights(self) -> int:
        """Numbers the network consists of: 2n + d with one layer; the direction is shared by all units."""
        return len(self.direction) + 2 * sum(len(knots) for knots in self.knots) + (self.depth > 1)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Outputs, float64 [m], of images, uint8 [m, ...] of d values each."""
        projection = _project(images, self.direction[:, None])[:, 0]
        output = np.empty(len(projection))
        rows = max(1, CHUNK // max(len(knots) for knots in self.knots))
        for start in range(0, len(projection), rows):
            output[start : start + rows] = self._forward(projection[start : start + rows, None])
        return output

    def _forward(self, projection: np.ndarray) -> np.ndarray:
        total = np.full(len(projection), self.floor)
        for knots, weights in zip(self.knots, self.weights, strict=True):
            hidden = projection - knots
            total = np.maximum(total, 0) if self.depth > 1 else total
            total = total + np.maximum(hidden, 0, out=hidden) @ weights
        return total - self.floor


def construct(images: np.ndarray, targets: np.ndarray, *, depth: int = 1, seed: int = 0) -> ExactNetwork:
    """A network whose output for every image is its target, whatever the targets are.

    Args:
        images: uint8 [n, ...], all different.
        targets: float [n].
        depth: hidden layers; each has about n / depth units (corollary 1).
        seed: of the directions tried.

    Raises:
        ValueError: when two images are equal, or depth is not between 1 and n.
    """
    if not 1 <= depth <= len(images):
        raise ValueError(f"depth {depth} is not between 1 and {len(images)}")
    directions = np.random.default_rng(seed).standard_normal((images[0].size, DIRECTIONS))
    directions /= 255 * np.sqrt(images[0].size)  # projections of about unit size
    projections = np.sort(_project(images, directions), axis=0)
    best = int(np.diff(projections, axis=0).min(0, initial=np.inf).argmax())
    direction = directions[:, best]
    projection = _project(images, direction[:, None])[:, 0]
    order = projection.argsort()
    projection, targets = projection[order], np.asarray(targets, np.float64)[order]
    if (np.diff(projection) <= 0).any():
        raise ValueError("two images are equal")

    before = projection[0] - (np.ptp(projection) or 1.0) / len(projection)
    knots = np.concatenate(([before], projection[:-1]))
    slopes = np.diff(targets, prepend=0) / (projection - knots)
    if depth == 1:
        return ExactNetwork(direction, (knots,), (np.diff(slopes, prepend=0),), 0.0)
    stretches = np.array_split(np.arange(len(knots)), depth)
    return ExactNetwork(
        direction,
        tuple(np.append(knots[stretch], projection[stretch[-1]]) for stretch in stretches),
        tuple(np.diff(slopes[stretch], prepend=0, append=0) for stretch in stretches),
        1.0 - min(0.0, float(targets.min())),
    )


def fit_exactly(dataset: Dataset, *, depths: tuple[int, ...] = (1,), seed: int = 0) -> list[Constructed]:
    """Fit random labels of a data set exactly, by construction and without training.

    Args:
        dataset: its images; the labels are replaced by random ones.
        depths: one network each.
        seed: of the labels and of the directions tried.

    Raises:
        ConfigError: for a depth below 1 or above the number of different images.
        DataError: when there is no image.
    """
    if not len(dataset):
        raise DataError("there are no images")
    distinct = distinct_images(dataset.images)
    images = dataset.images[distinct]
    targets = corrupted(dataset, "random", seed=seed).labels[distinct]
    results = []
    for depth in depths:
        if not 1 <= depth <= len(images):
            raise ConfigError(f"--depth: {depth} is not between 1 and the number of different images, {len(images)}")
        started = time.perf_counter()
        network = construct(images, targets, depth=depth, seed=seed)
        output = network(images)
        results.append(
            Constructed(
                samples=len(images),
                depth=network.depth,
                width=network.width,
                weights=network.n_weights,
                largest_error=float(np.abs(output - targets).max()),
                fitted=float((np.rint(output) == targets).mean()),
                seconds=time.perf_counter() - started,
                seed=seed,
                inputs=len(network.direction),
                duplicates=len(dataset) - len(images),
            )
        )
    return results


def distinct_images(images: np.ndarray) -> np.ndarray:
    """Positions of the first of each set of equal images (uint8 [n, ...]), ascending int64."""
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    return np.sort(np.unique(np.array(digests), return_index=True)[1])


def _project(images: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Inner products of images (uint8 [n, ...]) with directions (float64 [d, k]), float64 [n, k]."""
    flat = images.reshape(len(images), -1)
    result = np.empty((len(flat), directions.shape[1]))
    rows = max(1, CHUNK // max(1, flat.shape[1]))
    for start in range(0, len(flat), rows):
        result[start : start + rows] = flat[start : start + rows].astype(np.float64) @ directions
    return result
