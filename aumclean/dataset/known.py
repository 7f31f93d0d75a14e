"""Pixels that an earlier run decoded, by the content of the file: whatever it is called now, in whichever data set.

So an image that was moved to another class, or copied, is read and hashed, but not decoded again.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean.files import parquet

PIXELS, FILES = "images.u8", "files.parquet"  # of an entry of the cache
COLUMNS = pa.schema([("sha256", pa.binary(32)), ("width", pa.int32()), ("height", pa.int32()), ("reason", pa.string())])
"""What an entry says of every sample, in order; `reason` is null where it could be read, and has pixels."""


@dataclass(frozen=True)
class Known:
    """What was decoded in the same way. Every process that it is sent to reads it by itself, once.

    Attributes:
        entries: folders of the cache; one that is gone, or damaged, knows nothing.
        size: side of the images, in pixels.
    """

    entries: tuple[Path, ...] = ()
    size: int = 0

    def pixels(self, digest: bytes) -> tuple[np.ndarray, int, int] | None:
        """An image by the SHA-256 of its file: uint8 [size, size, 3], and the width and height it had, in pixels."""
        index = index_of(self)
        wanted = np.array(digest, index.digests.dtype)
        place = int(index.digests.searchsorted(wanted))
        if place == len(index.digests) or index.digests[place] != wanted:
            return None
        row = int(index.rows[place])
        entry = int(index.ends.searchsorted(row, side="right"))
        start = int(index.ends[entry - 1]) if entry else 0
        return index.pixels[entry][row - start], int(index.width[row]), int(index.height[row])


NOTHING = Known()


@dataclass(frozen=True)
class _Index:
    """Entries one after another, n images in all."""

    digests: np.ndarray  # S32 [n], ascending
    rows: np.ndarray  # int64 [n], where each of them is
    ends: np.ndarray  # int64 [entries], the row after the last of each
    pixels: list[np.ndarray]  # uint8 [of the entry, size, size, 3] each
    width: np.ndarray  # int32 [n], in the order of rows, as the next
    height: np.ndarray


@lru_cache(maxsize=1)  # all chunks of a data set ask the same
def index_of(known: Known) -> _Index:
    """All images of the entries that can be read."""
    found = [one for entry in known.entries if (one := _read(entry, known.size)) is not None]
    files = pa.concat_tables([COLUMNS.empty_table(), *(files for files, _ in found)])
    stored = files["sha256"].combine_chunks()
    digests = np.frombuffer(stored.buffers()[1] or b"", "S32", count=len(files))
    rows = np.argsort(digests, kind="stable")
    ends = np.cumsum([len(pixels) for _, pixels in found])
    width, height = (files[name].to_numpy() for name in ("width", "height"))
    return _Index(digests[rows], rows, ends, [pixels for _, pixels in found], width, height)


def _read(entry: Path, size: int) -> tuple[pa.Table, np.ndarray] | None:
    """What an entry lists of its readable images, and their pixels; None when it is gone or damaged."""
    try:
        files = parquet.opened(entry / FILES).read()
        files = files.filter(files["reason"].is_null())
        return files, mapped(entry, len(files), size)
    except (OSError, pa.ArrowException):
        return None


def mapped(entry: Path, n: int, size: int) -> np.ndarray:
    """The pixels of an entry of n readable images, uint8 [n, size, size, 3], copy-on-write.

    Raises:
        OSError: when they are gone, or damaged.
    """
    shape = (n, size, size, 3)
    if (entry / PIXELS).stat().st_size != n * size * size * 3:
        raise OSError(f"{entry}: is damaged")
    return np.memmap(entry / PIXELS, np.uint8, "c", shape=shape) if n else np.empty(shape, np.uint8)
