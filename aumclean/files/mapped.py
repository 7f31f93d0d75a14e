"""Columns that may be larger than the memory: large ones are mapped from unnamed temporary files.

The system writes their pages out when it needs the room. The folder is that of `TMPDIR`; nothing stays there.
"""

import itertools
import math
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike

from aumclean.errors import OutputError
from aumclean.files import atomic

LARGE = 1 << 25  # bytes from which on it is worth a file
BLOCK = 1 << 18  # rows that are worked on at a time, so that what is made on the way is small


def blocks(n: int) -> Iterator[slice]:
    """Rows 0..n-1 in slices of `BLOCK`."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """An array whose values are not set yet, as `numpy.empty` makes it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    with _unnamed() as file:
        if hasattr(os, "posix_fallocate"):  # room that is missing later ends the process without a word
            os.posix_fallocate(file.fileno(), 0, size)
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


def taken(values: np.ndarray, chosen: np.ndarray, dtype: DTypeLike | None = None) -> np.ndarray:
    """The chosen (bool [n]) of n values, in their own dtype or another."""
    found, done = empty((int(np.count_nonzero(chosen)),), dtype or values.dtype), 0
    for here in blocks(len(values)):
        some = values[here][chosen[here]]
        found[done : done + len(some)] = some
        done += len(some)
    return found


def table(parts: Iterable[pa.Table]) -> pa.Table:
    """Tables of one schema, at least one, as one table."""
    whole = iter(parts)
    first = next(whole)
    second = next(whole, None)
    if second is None:
        return first
    with _unnamed() as file:
        with pa.ipc.new_file(file, first.schema) as writer:
            for part in itertools.chain([first, second], whole):
                writer.write_table(part)
        file.flush()
        stored = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_file(pa.py_buffer(stored)).read_all()


def texts(parts: Iterable[pa.Array], n: int) -> pa.LargeStringArray:
    """Strings, n in all and none null, in one piece: so that any of them can be taken by its row."""
    ends = empty((n + 1,), np.int64)
    ends[:1], row = 0, 0
    stored: bytes | mmap.mmap
    with _unnamed(in_memory=LARGE) as file:
        for part in parts:
            some = part.cast(pa.large_string())
            offsets = np.frombuffer(some.buffers()[1], np.int64)[some.offset : some.offset + len(some) + 1]
            if len(some):
                file.write(some.buffers()[2][offsets[0] : offsets[-1]])
                ends[row + 1 : row + 1 + len(some)] = offsets[1:] - offsets[0] + ends[row]
            row += len(some)
        if ends[-1] > LARGE:
            file.flush()
            stored = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            file.seek(0)
            stored = file.read()
    return pa.LargeStringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(stored))


@contextmanager
def _unnamed(in_memory: int = 0) -> Iterator[IO[bytes]]:
    """A file that nobody else sees; what is mapped from it outlives it.

    Args:
        in_memory: up to how many bytes there is none.

    Raises:
        OutputError: when it cannot be made, or grows too large.
    """
    try:
        with tempfile.SpooledTemporaryFile(in_memory) if in_memory else tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        folder = tempfile.gettempdir()
        raise OutputError(
            f"{folder}: cannot hold temporary files ({atomic.reason(error)}); name a folder with room in TMPDIR"
        ) from None
