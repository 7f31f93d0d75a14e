"""Every image as the sum of its low-pass and its high-pass image, in its own size, streamed."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from aumclean import machine
from aumclean.dataset.decode import decode_each_whole
from aumclean.dataset.samples import Samples
from aumclean.diagnostics.figures import Figure, Line, Panel, Picture, strips, to_png
from aumclean.diagnostics.frequency.bands import BATCH_VALUES, Disc, imaginary_part, low_pass_of, spectrum_of
from aumclean.diagnostics.frequency.energy import EnergyBelow, discs_around, energy_of
from aumclean.diagnostics.frequency.presets import evenly
from aumclean.diagnostics.frequency.record import Energy, Unreadable
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.store import Store, opened
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError, DataError
from aumclean.files import atomic, csv
from aumclean.files.location import absolute
from aumclean.progress import Track, by_default
from aumclean.training.device import Device, describe, make_accelerator

Look = Literal["none", "offset", "gain", "image-max"]

BANDS = ("low", "high")

MOST_IMAGINARY = 1e-4  # relative, in float32: rounding alone gives some 1e-7
SHEET = "Images of the data, each as it is and with each band alone."
SHEET_IMAGES = 15
SHEET_SIDE = 96  # pixels


@dataclass(frozen=True)
class Looks:
    """How floats become bytes for looking; nothing of it touches the floats.

    Attributes:
        high: of high-pass images: `none` cuts off what is below 0, `offset` adds 127.5, `gain` also multiplies by a
            number that is the same for all images, `image-max` divides every image by its own greatest value.
        gain: that number.
    """

    high: Look = "offset"
    gain: float = 1.0

    def in_words(self) -> str:
        """As the page says it."""
        words = {"image-max": "scaled to their own greatest value", "offset": "on grey", "none": "clipped too"}
        return words.get(self.high, f"on grey, times {self.gain:g}")

    def bytes_of(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 images of float32 ones in the unit of 0..255; what lies outside is clipped."""
        if self.high == "image-max":
            shown = high * (255 / greatest) if (greatest := float(high.max(initial=0))) > 0 else high
        else:
            shown = high * np.float32(self.gain if self.high == "gain" else 1)
            shown += np.float32(0 if self.high == "none" else 127.5)
        return _to_bytes(low), _to_bytes(shown)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    whole: np.ndarray = np.rint(values)
    np.clip(whole, 0, 255, out=whole)
    return whole.astype(np.uint8)


@dataclass(frozen=True)
class Part:
    """Consecutive samples of one size after the filter: positions, originals in uint8, bands in float32."""

    positions: list[int]
    pixels: np.ndarray
    low: np.ndarray
    high: np.ndarray
    energy: np.ndarray  # as `energy_of` gives it

    def __len__(self) -> int:
        return len(self.positions)


def split(
    samples: Samples,
    disc: Disc,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    floats: bool = False,
    pictures: int = 100,
    looks: Looks = Looks(),
    device: Device = "auto",
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Split every image, and write energies, a contact sheet and, as asked, floats and PNGs.

    Images are decoded in their own size and never resized; at most a batch of them is held in float32.

    Args:
        samples: what to split.
        disc: where to cut.
        out: directory; by default `runs/<name>-frequency-split-<n>`.
        overwrite: whether to replace what another question left there.
        floats: also write the bands, unscaled and unclipped: `low.npy` and `high.npy`, float16 [n, height, width, 3]
            in the unit of 0..255, NaN where an image cannot be read, and `samples.csv` with their paths; all images
            must then have one size.
        pictures: of how many images, evenly spaced, to write PNGs.
        looks: how PNGs are scaled.
        device: where to compute.
        track: for a progress display.

    Raises:
        ConfigError: when the radius lies outside an image's spectrum, or floats are wanted of images that differ in
            size.
        DataError: when no image can be read.
    """
    accelerator = make_accelerator(device)
    settings = {"disc": asdict(disc), "floats": floats, "pictures": pictures, "looks": asdict(looks)}
    asked = {"kind": "frequency split", "source": absolute(samples.source), "samples": len(samples), **settings}
    with opened(out, f"{samples.name}-frequency-split", asked, overwrite=overwrite) as store, _one_torch_thread():
        unreadable: list[Unreadable] = []
        parts = split_stream(samples, disc, accelerator.device, unreadable, workers=machine.cpus())
        report = _write_parts(store, samples, disc, track(parts, "splitting", 0, len(samples)), unreadable, settings)
        report.settings["device"] = describe(accelerator.device)
        return write(store, report)


def split_stream(
    samples: Samples, disc: Disc, device: torch.device, unreadable: list[Unreadable], *, workers: int = 1
) -> Iterator[Part]:
    """Consecutive samples of one size, filtered; those that cannot be read are added to `unreadable` and left out."""
    checked: set[tuple[int, ...]] = set()
    for positions, pixels in _decoded(samples, unreadable, workers):
        _, height, width, _ = pixels.shape
        if (height, width) not in checked:
            disc.check(height, width)
            if (imaginary := imaginary_part(_channel(pixels[:1], 0, device), disc)) > MOST_IMAGINARY:
                raise AssertionError(f"the filter leaves an imaginary part of {imaginary:.1e}")
            checked.add((height, width))
        mask = _mask(disc, height, width).to(device)
        low = np.empty(pixels.shape, np.float32)
        energy = np.zeros((len(pixels), height, width // 2 + 1), np.float32)
        for channel in range(3):  # one at a time: of a photograph, everything in between takes 100 MB less
            spectrum = spectrum_of(_channel(pixels, channel, device))
            energy += energy_of(spectrum, width)
            low[..., channel : channel + 1] = low_pass_of(spectrum, mask, width).cpu().numpy()
        yield Part(positions, pixels, low, pixels - low, energy)


def _channel(pixels: np.ndarray, channel: int, device: torch.device) -> torch.Tensor:
    """One channel of uint8 images as float32 [batch, height, width, 1]."""
    return torch.from_numpy(pixels[..., channel : channel + 1]).to(device).float()


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """While decoders keep all processors busy, further threads of torch would mostly wait, and wait by spinning."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=4)  # photographs come in a few sizes, and alternate between upright and wide
def _mask(disc: Disc, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(disc.mask(height, width))


def _decoded(samples: Samples, unreadable: list[Unreadable], workers: int) -> Iterator[tuple[list[int], np.ndarray]]:
    """Positions and uint8 images [batch, height, width, 3] of consecutive samples of one size."""
    positions: list[int] = []
    images: list[np.ndarray] = []
    each = decode_each_whole(samples, workers=workers, chunk_values=BATCH_VALUES)
    for position, (image, reason) in enumerate(each):
        if image is None:
            unreadable.append(Unreadable(path=samples.paths[position].as_py(), reason=reason))
            continue
        if images and (image.shape != images[0].shape or (len(images) + 1) * image.size > BATCH_VALUES):
            yield positions, np.stack(images)
            positions, images = [], []
        positions.append(position)
        images.append(image)
    if images:
        yield positions, np.stack(images)


def _write_parts(
    store: Store,
    samples: Samples,
    disc: Disc,
    parts: Iterable[Part],
    unreadable: list[Unreadable],
    settings: dict[str, Any],
) -> Report:
    looks, pictures, n = Looks(**settings["looks"]), settings["pictures"], len(samples)
    chosen, on_sheet = (set(evenly(most, n).tolist()) for most in (pictures, SHEET_IMAGES))
    energy: EnergyBelow | None = None
    shown = []
    store.announce(*(store.picture(band, 0).parent for band in BANDS if pictures))
    with _floats(store, n) if settings["floats"] else nullcontext() as floats:
        for part in parts:
            _, height, width, _ = part.pixels.shape
            energy = energy or EnergyBelow(discs_around(disc, height, width))
            energy.add(part.energy, width)
            for index, position in enumerate(part.positions):
                if position in chosen or position in on_sheet:
                    low, high = looks.bytes_of(part.low[index], part.high[index])
                    if position in on_sheet:
                        shown.append([_thumb(image) for image in (part.pixels[index], low, high)])
                    if position in chosen:
                        for band, image in zip(BANDS, (low, high), strict=True):
                            atomic.write_bytes(store.picture(band, position), to_png(image))
            if floats is not None:
                floats.add(part)
        if energy is None:
            example = unreadable[0] if unreadable else Unreadable(path="", reason="empty")
            raise DataError(f"{samples.source}: no image can be read, such as {example.path} ({example.reason})")
    if floats is not None:
        table = pa.table({"position": pa.array(np.arange(n)), "path": samples.paths})
        csv.save(store.table("samples"), table)
    return _report(samples, disc, energy, shown, unreadable, settings)


@contextmanager
def _floats(store: Store, n: int) -> Iterator["_Floats"]:
    """The bands of n images as arrays on disk, each file whole or not at all."""
    store.announce(*map(store.floats, BANDS), store.table("samples"))
    with atomic.replacing(store.floats("low")) as low, atomic.replacing(store.floats("high")) as high:
        floats = _Floats(low, high, n)
        yield floats
        floats.finish()


class _Floats:
    """One file for each band, as long as all images have one size."""

    def __init__(self, low: Path, high: Path, n: int) -> None:
        self.low, self.high, self.read = low, high, np.zeros(n, bool)
        self.arrays: list[np.memmap] = []

    def add(self, part: Part) -> None:
        if not self.arrays:
            shape = (len(self.read), *part.pixels.shape[1:])
            self.arrays = [_mapped(file, shape) for file in (self.low, self.high)]
        if (first := self.arrays[0].shape[1:]) != (shape := part.pixels.shape[1:]):
            raise ConfigError(f"--floats: images differ in size ({first} and {shape}); make them alike first")
        for array, values in zip(self.arrays, (part.low, part.high), strict=True):
            array[part.positions] = values
        self.read[part.positions] = True

    def finish(self) -> None:
        for array in self.arrays:
            array[~self.read] = np.nan
            array.flush()


def _mapped(file: Path, shape: tuple[int, ...]) -> np.memmap:
    array = np.lib.format.open_memmap(file, "w+", np.float16, shape)
    if hasattr(os, "posix_fallocate"):  # room that is missing later ends the process without a word
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return array


def _thumb(image: np.ndarray) -> np.ndarray:
    """A square of the contact sheet: small images enlarged pixel by pixel, large ones reduced, white around."""
    height, width, _ = image.shape
    factor = min(SHEET_SIDE / height, SHEET_SIDE / width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    small = np.asarray(Image.fromarray(image).resize(size, how))
    square = np.full((SHEET_SIDE, SHEET_SIDE, 3), 255, np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return square


def _energy_figure(rows: list[Energy], unit: str) -> Figure:
    columns = {
        "energy": "energy_low",
        "energy without the mean": "energy_low_without_mean",
        "coefficients": "coefficients_kept",
    }
    lines = [Line.over_seeds(label, [rows], column, x="radius") for label, column in columns.items()]
    return Figure(
        "energy",
        "Energy",
        "Share of each image's energy and of its coefficients that lies within a radius, mean over images.",
        [Panel("Below the radius", f"radius in {unit}", "share", lines)],
    )


def _report(
    samples: Samples,
    disc: Disc,
    energy: EnergyBelow,
    shown: list[list[np.ndarray]],
    unreadable: list[Unreadable],
    settings: dict[str, Any],
) -> Report:
    looks, rows = Looks(**settings["looks"]), energy.rows()
    at = next(row for row in rows if row.radius == disc.radius)
    unit = "bins" if disc.unit == "bins" else "cycles per pixel"
    said = [
        f"The low band, up to {disc.radius:g} {unit}, keeps {at.coefficients_kept:.1%} of the coefficients and "
        f"{at.energy_low_without_mean:.1%} of the energy around the mean.",
        "Energy is not meaning: what the labels rest on, aumclean frequency test and its like show.",
        f"PNG files are for looking at: low-pass images are clipped to 0..255, high-pass images {looks.in_words()}. "
        "The transform takes images as periodic, so that a step between opposite borders counts as high frequency.",
    ]
    if unreadable:
        said.append(f"{len(unreadable):,} images cannot be read and are left out; unreadable.csv lists them.")
    return Report(
        title=f"{samples.name}: low and high frequencies",
        lead=f"{energy.images:,} images, each cut at a radius of {disc.radius:g} {unit}.",
        said=said,
        tables=[
            Table("energy", "Energy below a radius", rows),
            *([Table("unreadable", "Images that cannot be read", unreadable)] if unreadable else []),
        ],
        figures=[_energy_figure(rows, unit)],
        pictures=[Picture("sheet", "Original, low, high", SHEET, strips(shown, ("original", "low-pass", "high-pass")))],
        settings={
            **asdict(disc),
            "floats": settings["floats"],
            "pictures": settings["pictures"],
            "high-pass pictures": looks.in_words(),
        },
        facts={"images": energy.images, "unreadable": len(unreadable)},
    )
