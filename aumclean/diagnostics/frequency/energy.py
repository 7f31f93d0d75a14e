"""How the energy of images is spread over the frequencies: its share below each of several radii, image by image."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from aumclean.diagnostics.frequency.bands import Disc, distances
from aumclean.diagnostics.frequency.record import Energy

FLAT = 1e-12  # of the whole energy: so little around the mean is the rounding of an image of one colour


def energy_of(spectrum: torch.Tensor, width: int) -> np.ndarray:
    """Squared magnitude of every coefficient, summed over channels, those counted twice that stand for two.

    Args:
        spectrum: complex64 [batch, height, width // 2 + 1, channels], as `rfft2` lays it out.
        width: of the images.

    Returns:
        float32 [batch, height, width // 2 + 1].
    """
    energy = (spectrum.real.square() + spectrum.imag.square()).sum(3)
    energy[:, :, 1 : (width + 1) // 2] *= 2
    return np.asarray(energy.cpu().numpy())


@dataclass
class EnergyBelow:
    """Sums over all images of the shares of energy within discs of the same kind.

    Attributes:
        discs: by ascending radius, alike in unit and edge.
        whole: of all energy, float64 [discs].
        around_mean: of the energy without that of the mean.
        kept: of the coefficients.
        images: how many were added.
    """

    discs: tuple[Disc, ...]
    whole: np.ndarray = field(init=False)
    around_mean: np.ndarray = field(init=False)
    kept: np.ndarray = field(init=False)
    images: int = 0

    def __post_init__(self) -> None:
        self.whole, self.around_mean, self.kept = np.zeros((3, len(self.discs)))

    def add(self, energy: np.ndarray, width: int) -> None:
        """Add images of one size, given as `energy_of` gives them."""
        n, height, _ = energy.shape
        ring, kept = _rings(self.discs, height, width)
        rings = len(self.discs) + 1
        place = ring.ravel() + rings * np.arange(n)[:, None]
        in_ring = np.bincount(place.ravel(), weights=energy.ravel(), minlength=n * rings).reshape(n, rings)
        mean = energy[:, 0, 0].astype(np.float64)[:, None]
        holds_mean = np.arange(rings) >= ring[0, 0]
        below = in_ring.cumsum(1)
        total = below[:, -1:]
        varying = total - mean
        around = (below - mean * holds_mean) / np.where(varying > FLAT * total, varying, np.inf)
        around = np.where(varying > FLAT * total, around, holds_mean)
        self.whole += (below / np.maximum(total, np.finfo(float).tiny)).sum(0)[:-1]
        self.around_mean += around.sum(0)[:-1]
        self.kept += n * kept
        self.images += n

    def rows(self) -> list[Energy]:
        """Means over images, a row per radius."""
        n = max(self.images, 1)
        return [
            Energy(
                radius=disc.at,
                coefficients_kept=float(kept / n),
                energy_low=float(whole / n),
                energy_low_without_mean=float(around / n),
                energy_high_without_mean=float(1 - around / n),
            )
            for disc, kept, whole, around in zip(self.discs, self.kept, self.whole, self.around_mean, strict=True)
        ]


@lru_cache(maxsize=4)  # photographs come in a few sizes, and alternate between upright and wide
def _rings(discs: tuple[Disc, ...], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Which disc is the first to hold each coefficient, int64 [height, width // 2 + 1]; what share each disc keeps."""
    low = np.stack([disc.mask(height, width) for disc in discs])
    ring = len(discs) - low.sum(0)
    return ring, np.array([disc.count(height, width) for disc in discs]) / (height * width)


def discs_around(disc: Disc, height: int, width: int) -> tuple[Disc, ...]:
    """A few discs, from the mean alone to almost everything, and the one given."""
    farthest = float(distances(height, width, disc.unit).max())
    if disc.unit == "bins":
        radii = {float(round(farthest * share)) for share in (0, 0.09, 0.18, 0.27, 0.36, 0.45, 0.54, 0.63, 0.72, 0.9)}
    else:
        radii = {0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5}
    return tuple(Disc(radius, disc.unit, disc.edge) for radius in sorted(radii | {disc.radius}))
