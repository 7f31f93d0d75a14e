"""Boxes as images: each is cut out of its picture with some context around it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from aumclean.dataset.decode import is_deep, read_encoded, upright
from aumclean.dataset.images import Chunk, Files, Item, Objects
from aumclean.files.location import stamp
from aumclean.run.record import BoxFormat

CONTEXT = 0.1  # of the box's longer side, on every side of it
OUTLINE = (255, 40, 40)


class EmptyBoxError(ValueError):
    """A box without a pixel in its picture."""

    def __init__(self) -> None:
        super().__init__("a box without a pixel in its picture")


@dataclass(frozen=True)
class Crop:
    """A box of a picture, to be cut out where it is decoded.

    Attributes:
        picture: the whole.
        box: left, top, width and height, in pixels of the upright picture or as shares of it.
        shares: which of the two.
    """

    picture: Item
    box: tuple[float, float, float, float]
    shares: bool

    def read_bytes(self) -> bytes:
        """The cut as an image file without loss: of the same pixels always the same bytes.

        Raises:
            As decoding does; EmptyBoxError where there is nothing to cut out.
        """
        whole = _whole(self.picture)
        cut = whole.crop(_bounds(self._in_pixels(whole), whole.size, CONTEXT))
        sink = io.BytesIO()
        if cut.mode in {"L", "RGB"}:
            cut.save(sink, "BMP")
        elif is_deep(cut):
            cut.save(sink, "TIFF")
        else:
            cut.convert("RGBA").save(sink, "PNG", compress_level=1)
        return sink.getvalue()

    def outlined(self, side: int) -> bytes:
        """The whole picture as a JPEG of at most `side` pixels, with the box drawn in it."""
        whole = _whole(self.picture)
        box = self._in_pixels(whole)
        shown = whole.convert("RGB")
        width = max(2, max(shown.size) // 200)
        ImageDraw.Draw(shown).rectangle(_bounds(box, shown.size, 0), outline=OUTLINE, width=width)
        shown.thumbnail((side, side))
        sink = io.BytesIO()
        shown.save(sink, "JPEG", quality=90)
        return sink.getvalue()

    def _in_pixels(self, whole: Image.Image) -> np.ndarray:
        """Left, top, width, height."""
        return np.array(self.box) * (np.tile(whole.size, 2) if self.shares else 1)


def _bounds(box: np.ndarray, size: tuple[int, int], context: float) -> tuple[int, int, int, int]:
    left, top, width, height = box
    margin = context * max(width, height)
    bounds = (left - margin, top - margin, left + width + margin, top + height + margin)
    low = np.clip(np.floor(bounds[:2]), 0, size).astype(int)
    high = np.clip(np.ceil(bounds[2:]), 0, size).astype(int)
    if not (width > 0 and height > 0 and (high > low).all()):
        raise EmptyBoxError
    return (*low.tolist(), *high.tolist())


def _whole(picture: Item) -> Image.Image:
    return _decoded_file(picture, stamp(picture)) if isinstance(picture, Path) else _decoded(picture)


@lru_cache(maxsize=1)  # the boxes of a picture come one after another
def _decoded_file(picture: Path, version: str) -> Image.Image:
    return _decoded(picture)


def _decoded(picture: Item) -> Image.Image:
    with Image.open(io.BytesIO(read_encoded(picture))) as image:
        image.load()
        return upright(image)


@dataclass(frozen=True)
class Crops:
    """Boxes of pictures, one row each.

    Attributes:
        pictures: where the whole pictures are.
        picture: the row of each box's picture in them, int64 [n].
        boxes: float64 [n, 4]: left, top, width, height.
        shares: whether these are shares of the picture, or pixels.
        format: of the file that lists them.
    """

    pictures: Files | Objects
    picture: np.ndarray
    boxes: np.ndarray
    shares: bool
    format: BoxFormat

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """The boxes, to be cut out."""
        for start in range(0, len(rows), size):
            here = rows[start : start + size]
            wanted, position = np.unique(self.picture[here], return_inverse=True)
            whole = [item for chunk in self.pictures.chunks(wanted, size) for item in chunk]
            yield [
                Crop(whole[at], tuple(box), self.shares)
                for at, box in zip(position.tolist(), self.boxes[here].tolist(), strict=True)
            ]

    def one(self, row: int) -> Crop:
        """One box."""
        return Crop(self.pictures.one(int(self.picture[row])), tuple(self.boxes[row].tolist()), self.shares)

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when a picture or a box does."""
        yield from self.pictures.stamp(np.unique(self.picture[rows]))
        yield f"{CONTEXT} {self.shares} {self.picture[rows].tobytes().hex()} {self.boxes[rows].tobytes().hex()}"
