"""The filter: what lies within a disc of the spectrum is an image's low-pass image, the rest its high-pass image.

Wang et al. 2020, section 3: per channel, the discrete Fourier transform is cut at a distance from its centre. All of
this runs in torch, on whole batches: the same function serves whole data sets, the test images of every epoch and a
command that streams photographs, on whatever device.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from aumclean.dataset.dataset import Dataset
from aumclean.errors import ConfigError

Unit = Literal["bins", "cycles"]
Edge = Literal["inside", "outside"]
Scaling = Literal["none", "image-max"]

BATCH_VALUES = 1_500_000  # of a batch in float32, 6 MB: near the processor the transform is four times as fast
ROUNDING = 1e-3  # in 0..255: what the transform leaves of an image without high frequencies stays far below


@dataclass(frozen=True)
class Disc:
    """Where the spectrum is cut.

    Attributes:
        radius: distance from the zero frequency that still counts as low.
        unit: `bins` of the transform, so that in an image that is not square the cut differs by direction in cycles per
            pixel; or `cycles` per pixel, 0 to 0.71, an ellipse in bins.
        edge: whether frequencies at exactly the radius are `inside` the low band (the paper) or `outside` (its code).
    """

    radius: float
    unit: Unit = "bins"
    edge: Edge = "inside"

    @property
    def at(self) -> float:
        """The radius for tables, a whole number where it is one."""
        return int(self.radius) if self.radius == int(self.radius) else self.radius

    def mask(self, height: int, width: int) -> np.ndarray:
        """Which coefficients are low, bool [height, width // 2 + 1], as `rfft2` lays them out."""
        return np.asarray(self._low(height, width)[:, : width // 2 + 1])

    def count(self, height: int, width: int) -> int:
        """How many of the height * width coefficients are low."""
        return int(self._low(height, width).sum())

    def _low(self, height: int, width: int) -> np.ndarray:
        distance = distances(height, width, self.unit)
        # 1e-9: in cycles per pixel a frequency at the radius may be off it by rounding
        low = distance <= self.radius + 1e-9 if self.edge == "inside" else distance < self.radius - 1e-9
        opposite = np.roll(low[::-1, ::-1], (1, 1), (0, 1))
        if not (low == opposite).all():
            raise AssertionError("a mask that is not symmetric gives images with imaginary parts")
        return low

    def check(self, height: int, width: int, option: str = "--radius") -> None:
        """Make sure that both bands hold something; `option` is where the radius was given.

        Raises:
            ConfigError: when the disc is empty or covers the whole spectrum.
        """
        farthest = float(distances(height, width, self.unit).max())
        kept = self.count(height, width)
        if kept in {0, height * width}:
            band, unit = "low" if kept == 0 else "high", "bins" if self.unit == "bins" else "cycles per pixel"
            raise ConfigError(
                f"{option} {self.radius:g}: leaves nothing in the {band} band of images of {width}x{height} pixels; "
                f"choose more than 0 and less than {farthest:.4g} {unit}"
            )


def distances(height: int, width: int, unit: Unit) -> np.ndarray:
    """Distance of every coefficient from the zero frequency, float64 [height, width], in the order of `fft2`.

    After a shift the zero frequency is at (height // 2, width // 2), for even and odd sizes alike.
    """
    down, across = np.fft.fftfreq(height), np.fft.fftfreq(width)
    if unit == "bins":
        down, across = np.rint(down * height), np.rint(across * width)
    return np.asarray(np.hypot(down[:, None], across[None, :]))


def low_pass(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The low-pass images; the high-pass images are `images` minus these.

    Args:
        images: float32 [batch, height, width, channels], in any unit.
        mask: bool [height, width // 2 + 1], of a `Disc`, on the same device.

    Returns:
        float32 of the same shape: not clipped, it overshoots the range of the images a little.
    """
    return low_pass_of(spectrum_of(images), mask, images.shape[2])


def spectrum_of(images: torch.Tensor) -> torch.Tensor:
    """Coefficients, complex64 [batch, height, width // 2 + 1, channels], of images [batch, height, width, channels]."""
    spectrum: torch.Tensor = torch.fft.rfft2(images, dim=(1, 2))
    return spectrum


def low_pass_of(spectrum: torch.Tensor, mask: torch.Tensor, width: int) -> torch.Tensor:
    """The low-pass images, `width` pixels wide, from the spectrum of the images, whose high part is set to zero."""
    size = (spectrum.shape[1], width)
    low: torch.Tensor = torch.fft.irfft2(spectrum.mul_(mask[:, :, None]), s=size, dim=(1, 2))
    return low


def imaginary_part(images: torch.Tensor, disc: Disc) -> float:
    """Largest imaginary part of the complex reconstruction, relative to the largest value: rounding, if all is well."""
    height, width = images.shape[1:3]
    low = torch.from_numpy(disc._low(height, width)).to(images.device)
    whole = torch.fft.ifft2(torch.fft.fft2(images, dim=(1, 2)) * low[:, :, None], dim=(1, 2))
    return float(whole.imag.abs().max() / whole.abs().max().clamp_min(1e-12))


def scaled(images: torch.Tensor, scaling: Scaling) -> torch.Tensor:
    """`image-max`: every image divided by its own greatest value, times 255, as the published code does; else as it is.

    Args:
        images: float32 [batch, height, width, channels].
        scaling: an image whose values are rounding errors stays as it is (the published code divides by zero).
    """
    if scaling == "none":
        return images
    greatest = images.amax((1, 2, 3), keepdim=True)
    return torch.where(greatest > ROUNDING, 255 * images / greatest.clamp_min(ROUNDING), images)


def batches(images: np.ndarray, device: torch.device, most: int | None = None) -> Iterator[torch.Tensor]:
    """All images [n, height, width, 3] in float32 on the device, a batch at a time, nearly equal in size."""
    most = most or max(1, BATCH_VALUES // int(np.prod(images.shape[1:])))
    for part in np.array_split(np.arange(len(images)), -(-len(images) // most) or 1):
        if len(part):
            here = np.ascontiguousarray(images[part[0] : part[-1] + 1])
            yield torch.from_numpy(here).to(device).float()


def with_band(
    dataset: Dataset, disc: Disc, band: Literal["low", "high"], *, scaling: Scaling = "none", device: torch.device
) -> Dataset:
    """The data set with its low-pass or high-pass images in place of its images, float16 in the unit of 0..255.

    Args:
        dataset: of uint8 images.
        disc: where to cut; both bands must hold something.
        band: which to keep.
        scaling: see `scaled`.
        device: where to compute.

    Raises:
        ConfigError: as `Disc.check` does.
    """
    height, width = dataset.images.shape[1:3]
    disc.check(height, width)
    mask = torch.from_numpy(disc.mask(height, width)).to(device)
    filtered = np.empty(dataset.images.shape, np.float16)
    most = float(np.finfo(np.float16).max)  # scaling can go beyond: a dark speck on white has a tiny greatest value
    done = 0
    for pixels in batches(dataset.images, device):
        low = low_pass(pixels, mask)
        kept = scaled(low if band == "low" else pixels - low, scaling).clamp(-most, most)
        filtered[done : done + len(kept)] = kept.cpu().numpy()
        done += len(kept)
    return dataset.with_images(filtered)
