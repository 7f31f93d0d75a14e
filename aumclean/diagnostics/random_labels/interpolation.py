"""The interpolating solution of least norm, K alpha = y: on true and on random labels, with ridge regression beside.

Gradient descent from zero on a linear model stays in the span of the data, w = X' alpha, so that it ends at the
solution of least norm among all that fit; a kernel takes the place of X X'. Zhang et al. 2017, section 5 and table 3.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from aumclean import machine
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.random_labels.convolution_features import feature_count, random_convolution_features
from aumclean.diagnostics.random_labels.corruptions import corrupted
from aumclean.diagnostics.random_labels.gram import TILE, Gram, bandwidth
from aumclean.diagnostics.random_labels.record import Kernel, KernelFit, Labels, Solver
from aumclean.diagnostics.random_labels.theorem import distinct_images
from aumclean.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

SOLVERS: dict[Solver, str] = {
    "cholesky": "by Cholesky factorisation",
    "primal": "by least squares",
    "cg": "by conjugate gradients",
}
GIB = 1 << 30
FILTERS = 1000
RIDGES = (1e-3, 1e-2, 1e-1)
JITTERS = (0.0, 1e-12, 1e-10, 1e-8, 1e-6)  # tried in turn, in units of the mean of K's diagonal
SOLVED = 1e-4  # largest error in a target that passes for a solution
CG_TOLERANCE = 1e-6
CG_ITERATIONS = 2000


def plan(
    kernel: Kernel,
    train: int,
    test: int,
    pixels: int,
    classes: int,
    *,
    filters: int = FILTERS,
    solver: Solver | None = None,
    memory: float | None = None,
) -> tuple[Solver, int]:
    """Choose the solver by the memory there is; and how many bytes it takes at the most.

    `cholesky` of K; `primal` where a linear kernel has fewer dimensions than samples, so that K has no inverse and the
    least squares of least norm are what comes nearest; `cg`, conjugate gradients, where a K that has an inverse does
    not fit in memory: it is computed again in every step.

    Args:
        kernel: which.
        train, test: numbers of images.
        pixels: numbers per image.
        classes: of which each has a target for true and one for random labels.
        filters: of the `convolution` kernel.
        solver: insist on one.
        memory: GiB that may be used; half of what is free when not given.

    Raises:
        ConfigError: when it does not fit, or the solver does not suit the kernel.
    """
    dimensions = feature_count(filters) if kernel == "convolution" else pixels
    rows, targets = 4 * (train + test) * dimensions, 8 * 2 * classes * train
    tiles = 4 * 8 * TILE**2 + 2 * 8 * TILE * dimensions
    needs: dict[Solver, int] = {
        "cholesky": rows + 8 * train**2 + 4 * targets + tiles,
        "primal": rows + 3 * 8 * dimensions**2 + 4 * targets + tiles,
        "cg": rows + 6 * targets + tiles,
    }
    suited: list[Solver] = ["cholesky", "cg"] if kernel == "gaussian" else ["cholesky", "cg", "primal"]
    if kernel != "gaussian" and train > dimensions:
        suited = ["primal"]
    chosen = solver or suited[0]
    if chosen not in suited:
        say = " or ".join(suited)
        raise ConfigError(
            f"--solver {solver}: does not suit the {kernel} kernel of {train:,} images; say --solver {say}"
        )
    if memory is not None and not memory > 0:
        raise ConfigError(f"--memory: {memory:g} is not above 0")
    available = machine.free_memory() / 2 if memory is None else memory * GIB
    if solver is None and needs[chosen] > available and "cg" in suited:
        chosen = "cg"
    if needs[chosen] > available:
        raise ConfigError(
            f"--memory: the {kernel} kernel of {train:,} images needs {needs[chosen] / GIB:.2f} GiB by {chosen}, "
            f"{available / GIB:.2f} GiB may be used; raise --memory or lower --limit"
        )
    return chosen, needs[chosen]


def interpolate(
    train: Dataset,
    test: Dataset,
    name: Kernel = "gaussian",
    *,
    gamma: float | None = None,
    filters: int = FILTERS,
    ridges: tuple[float, ...] = RIDGES,
    solver: Solver | None = None,
    memory: float | None = None,
    seed: int = 0,
) -> list[KernelFit]:
    """Fit true and random labels by the solution of least norm, and by ridge regression.

    What it will take is logged before it starts.

    Args:
        train: of equal images the first counts.
        test: never corrupted.
        name: `linear`, `gaussian`, or `convolution` (linear in random convolution features).
        gamma: of the Gaussian, for pixels in 0..1; see `bandwidth` when not given.
        filters: of the convolution features.
        ridges: penalties in units of the mean of K's diagonal; 0 comes before them.
        solver, memory: see `plan`.
        seed: of random labels and of filters.

    Raises:
        ConfigError: when it does not fit in memory; DataError: when either part has no images.
    """
    if not len(train) or not len(test):
        raise DataError(f"the {'training' if not len(train) else 'test'} part has no images")
    require(gamma, ridges)
    random = corrupted(train, "random", seed=seed)
    distinct = distinct_images(train.images)
    classes = len(train.class_names)
    solver, needed = plan(
        name, len(distinct), len(test), train.images[0].size, classes, filters=filters, solver=solver, memory=memory
    )
    images = f"{len(distinct):,}"
    logger.info("%s kernel of %s images: %.2f GiB of memory, %s", name, images, needed / GIB, SOLVERS[solver])
    rows, others = _rows(name, train.images[distinct], test.images, filters, seed)
    gram = Gram(rows, (gamma or bandwidth(rows)) if name == "gaussian" else None)
    labels: dict[Labels, np.ndarray] = {"true": train.labels[distinct], "random": random.labels[distinct]}
    targets = np.concatenate([np.eye(classes)[given] for given in labels.values()], axis=1)

    fits = []
    for ridge in (0.0, *ridges):
        started = time.perf_counter()
        solved = _solve(gram, others, targets, ridge, solver)
        seconds = time.perf_counter() - started
        for index, (kind, given) in enumerate(labels.items()):
            own = slice(index * classes, (index + 1) * classes)  # the columns that are for these labels
            errors = _errors(solved, own, given, test.labels, targets)
            fits.append(
                KernelFit(
                    kernel=name, labels=kind, ridge=ridge, solver=solver, jitter=solved.jitter,
                    samples=len(distinct), iterations=solved.iterations, seconds=seconds, **errors,
                )
            )  # fmt: skip
    return fits


def _errors(
    solved: "_Solved", own: slice, given: np.ndarray, true: np.ndarray, targets: np.ndarray
) -> dict[str, float]:
    """Errors and norm of a solution, of those of its columns (`own`) that are for the given labels, int64 [n]."""
    return {
        "train_error": float((solved.train[:, own].argmax(1) != given).mean()),
        "test_error": float((solved.test[:, own].argmax(1) != true).mean()),
        "residual": float(np.abs(solved.train[:, own] - targets[:, own]).max()),
        "norm": float(np.sqrt(max(0.0, solved.squared_norm[own].sum()))),
    }


def require(gamma: float | None, ridges: tuple[float, ...]) -> None:
    """Make sure that a bandwidth and penalties make sense.

    Raises:
        ConfigError: when one is not above 0.
    """
    if gamma is not None and not gamma > 0:
        raise ConfigError(f"--gamma: {gamma:g} is not above 0")
    if bad := [ridge for ridge in ridges if not ridge > 0]:
        raise ConfigError(f"--ridge: {bad[0]:g} is not above 0; without a penalty is always shown")


@dataclass(frozen=True)
class _Solved:
    """Outputs for training and test images, float64 [n, columns], and each column's squared norm."""

    train: np.ndarray
    test: np.ndarray
    squared_norm: np.ndarray
    jitter: float = 0.0
    iterations: int = 0


def _rows(name: Kernel, train: np.ndarray, test: np.ndarray, filters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if name == "convolution":
        features = random_convolution_features(train, filters, np.random.default_rng(seed))
        return features(train), features(test)
    return tuple(images.reshape(len(images), -1).astype(np.float32) / 255 for images in (train, test))  # type: ignore[return-value]


def _solve(gram: Gram, others: np.ndarray, targets: np.ndarray, ridge: float, solver: Solver) -> _Solved:
    diagonal = 1.0 if gram.gamma is not None else float((gram.rows**2).sum(1, dtype=np.float64).mean())
    if solver == "primal":
        return _primal(gram.rows, others, targets, ridge * diagonal, diagonal)
    if solver == "cg":
        penalty = ridge * diagonal
        alpha, iterations = conjugate_gradients(lambda x: gram.times(x) + penalty * x, targets)
        return _outputs(gram, others, alpha, iterations=iterations)
    for jitter in JITTERS:
        penalty = (ridge + jitter) * diagonal
        try:
            alpha = _cholesky(gram, targets, penalty)
        except np.linalg.LinAlgError:  # K is singular to working precision
            continue
        solved = _outputs(gram, others, alpha, jitter=jitter)
        if np.abs(solved.train + penalty * alpha - targets).max() < SOLVED:  # else it is singular, and was not noticed
            return solved
    raise DataError(
        "the kernel matrix is singular: nearly equal images, or a --gamma so small that all images look alike"
    )


def _outputs(gram: Gram, others: np.ndarray, alpha: np.ndarray, *, jitter: float = 0.0, iterations: int = 0) -> _Solved:
    train = gram.times(alpha)
    return _Solved(train, gram.times(alpha, others), (alpha * train).sum(0), jitter, iterations)


def _cholesky(gram: Gram, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Solve (K + penalty) alpha = targets; LAPACK factorises K block by block, in place."""
    whole = gram.lower()
    whole.ravel(order="K")[:: len(whole) + 1] += penalty
    factor = scipy.linalg.cho_factor(whole, lower=True, overwrite_a=True, check_finite=False)
    solution: np.ndarray = scipy.linalg.cho_solve(factor, targets, check_finite=False)
    return solution


def _primal(rows: np.ndarray, others: np.ndarray, targets: np.ndarray, penalty: float, diagonal: float) -> _Solved:
    """Least squares in the space of the features, of least norm where the penalty is 0."""
    covariance = np.zeros((rows.shape[1],) * 2)
    moments = np.zeros((rows.shape[1], targets.shape[1]))
    for start in range(0, len(rows), TILE):
        part = rows[start : start + TILE].astype(np.float64)
        covariance += part.T @ part
        moments += part.T @ targets[start : start + TILE]
    values, vectors = scipy.linalg.eigh(covariance, overwrite_a=True, check_finite=False)
    kept = values > 1e-10 * diagonal * len(rows)  # the others are directions without data
    vectors = vectors[:, kept]
    weights = vectors @ ((vectors.T @ moments) / (values[kept] + penalty)[:, None])
    return _Solved(rows @ weights, others @ weights, (weights**2).sum(0))


def conjugate_gradients(
    times: Callable[[np.ndarray], np.ndarray],
    targets: np.ndarray,
    *,
    tolerance: float = CG_TOLERANCE,
    most: int = CG_ITERATIONS,
) -> tuple[np.ndarray, int]:
    """Solve A x = targets for every column at once, A known by its products alone, symmetric and positive definite.

    Hestenes and Stiefel 1952. Columns that are there already stand still.

    Returns:
        The solution, float64 [n, columns], and the number of products taken; at most `most`.
    """
    x = np.zeros_like(targets, dtype=np.float64)
    residual = targets.astype(np.float64)
    direction, squares = residual.copy(), (residual**2).sum(0)
    goal = tolerance**2 * np.maximum(squares, 1e-300)
    for done in range(most):
        if not (squares > goal).any():
            return x, done
        product = times(direction)
        curvature = (direction * product).sum(0)
        # where A is singular to working precision a step would leave the range of numbers
        moving = (squares > goal) & (curvature > np.finfo(float).eps * (direction**2).sum(0))
        step = np.divide(squares, curvature, out=np.zeros_like(squares), where=moving)
        x += step * direction
        residual -= step * product
        new = (residual**2).sum(0)
        direction = residual + np.divide(new, squares, out=np.zeros_like(squares), where=moving) * direction
        squares = new
    return x, most
