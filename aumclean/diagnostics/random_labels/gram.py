"""Kernels and their Gram matrices, made tile by tile in float64 from float32 rows."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel

TILE = 512
PROBED = 500  # samples whose distances settle the bandwidth


@dataclass(frozen=True)
class Gram:
    """The kernel between rows, float32 [n, d]: <x, x'>, or exp(-gamma |x - x'|^2) where gamma is given."""

    rows: np.ndarray
    gamma: float | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def tile(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Kernel of some rows with others, float64."""
        left, right = left.astype(np.float64), right.astype(np.float64)
        return np.asarray(left @ right.T if self.gamma is None else rbf_kernel(left, right, self.gamma))

    def times(self, alpha: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        """K(others, rows) @ alpha, float64 [m, columns]; of the rows themselves without `others`; K is never whole."""
        left = self.rows if others is None else others
        product = np.zeros((len(left), alpha.shape[1]))
        for i in range(0, len(left), TILE):
            for j in range(0, len(self.rows), TILE):
                tile = self.tile(left[i : i + TILE], self.rows[j : j + TILE])
                product[i : i + TILE] += tile @ alpha[j : j + TILE]
        return product

    def lower(self) -> np.ndarray:
        """The lower triangle of K, float64 [n, n] in Fortran order, as LAPACK factorises it in place."""
        whole = np.zeros((len(self), len(self)), order="F")
        for j in range(0, len(self), TILE):
            for i in range(j, len(self), TILE):
                whole[i : i + TILE, j : j + TILE] = self.tile(self.rows[i : i + TILE], self.rows[j : j + TILE])
        return whole


def bandwidth(rows: np.ndarray) -> float:
    """gamma = 2 / the median squared distance between two rows (float32 [n, d]).

    On MNIST in 0..1 that is about the 0.02 which the authors' code recommends.
    """
    distance = pdist(rows[:: max(1, len(rows) // PROBED)], "sqeuclidean")
    return 2 / max(float(np.median(distance)), 1e-12) if len(distance) else 1.0
