"""Where encoded images are: files of their own, columns of Parquet or Arrow files, in archives, objects of a store.

Each kind gives the same three things (`Images`): the images of some rows, one of them, and what changes when they do.
"""

import errno
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from aumclean.dataset.table import columnar_file, with_folders
from aumclean.errors import DataError
from aumclean.files.location import (
    Location,
    absolute,
    below,
    fetched,
    opened,
    ranges,
    stamp,
    stamp_of_file,
    versions_below,
)

STAMPED = 1 << 12  # files at a time


class Readable(Protocol):
    """What the bytes of an image can be read from, also in another process: a Path is one."""

    def read_bytes(self) -> bytes:
        """All of them."""


Item = bytes | Readable | None
"""An image: its bytes, what to read them from, or None where the data have none."""
Chunk = list[Item]


class Images(Protocol):
    """Encoded images by their row."""

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """The images at `rows` (ascending int64), up to `size` at a time, streamed."""

    def one(self, row: int) -> Item:
        """The image of one row."""

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when these images do, without reading them."""


@dataclass(frozen=True)
class Files:
    """Images that are files of their own, as columns: a path is made when it is asked for.

    Attributes:
        root: the folder that all of them are in.
        paths: POSIX paths relative to it, one per row; null where a row is not to be read.
    """

    root: Path
    paths: pa.Array | pa.ChunkedArray

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """Paths of the samples at `rows`."""
        for start in range(0, len(rows), size):
            paths = self.paths.take(pa.array(rows[start : start + size])).to_pylist()
            yield [None if path is None else self.root / path for path in paths]

    def one(self, row: int) -> Path | None:
        """The path of one row."""
        path = self.paths[row].as_py()
        return None if path is None else self.root / path

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when a file does, permissions included."""
        folder = absolute(self.root)
        for start in range(0, len(rows), STAMPED):
            for path in self.paths.take(pa.array(rows[start : start + STAMPED])).to_pylist():
                yield "none" if path is None else stamp_of_file(f"{folder}/{path}")


@dataclass(frozen=True)
class Refused:
    """An image that its store or its archive does not give."""

    why: OSError

    def read_bytes(self) -> bytes:
        """Say why."""
        raise self.why


def _fetched(value: bytes | OSError) -> Item:
    return Refused(value) if isinstance(value, OSError) else value


@dataclass(frozen=True)
class Objects:
    """Images that are objects of a store such as S3, each fetched whole, several at a time.

    Attributes:
        root: the URL that all of them are below.
        paths: relative to it, one per row; null where a row is not to be read.
    """

    root: str
    paths: pa.Array | pa.ChunkedArray

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """Their bytes."""
        for start in range(0, len(rows), size):
            paths = self.paths.take(pa.array(rows[start : start + size])).to_pylist()
            found = map(_fetched, fetched([str(below(self.root, path)) for path in paths if path is not None]))
            yield [None if path is None else next(found) for path in paths]

    def one(self, row: int) -> Item:
        """The bytes of one row."""
        return _fetched(fetched([str(below(self.root, self.paths[row].as_py()))])[0])

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """Sizes and times as the store lists them, in one listing; an object that is not listed has none."""
        about = versions_below(self.root)
        for name in self.paths.take(pa.array(rows)).to_pylist():
            yield f"{self.root} {name} {about.get(name)}"


def files_of(root: Location, paths: pa.Array | pa.ChunkedArray) -> Files | Objects:
    """Images by their paths below a folder, near or far."""
    return Objects(root, paths) if isinstance(root, str) else Files(root, paths)


@dataclass(frozen=True)
class Embedded:
    """Images in a column of Parquet or Arrow files: a struct with bytes, or plain binary; rows count through all files.

    Attributes:
        files: the shards, in order.
        column: the name.
        source: DATA itself, below which folders may name columns.
    """

    files: tuple[Location, ...]
    column: str
    source: Location

    @cached_property
    def ends(self) -> np.ndarray:
        """The row after the last of each file, int64."""
        return np.cumsum([columnar_file(file).metadata.num_rows for file in self.files])

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """Their bytes; row groups without a wanted row are not read."""
        for file, first, last in zip(self.files, [0, *self.ends], self.ends, strict=False):
            low, high = np.searchsorted(rows, (first, last))
            if low < high:
                yield from self._chunks_of(file, rows[low:high] - first, size)

    def _chunks_of(self, file: Location, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        try:
            source, first = columnar_file(file), 0
            for group in range(source.num_row_groups):
                count = source.metadata.row_group(group).num_rows
                low, high = np.searchsorted(rows, (first, first + count))
                here, first = rows[low:high] - first, first + count
                if not len(here):
                    continue
                start = 0
                for batch in source.iter_batches(batch_size=size, row_groups=[group], columns=[self.column]):
                    low, high = np.searchsorted(here, (start, start + len(batch)))
                    wanted = batch.column(0).take(pa.array(here[low:high] - start))
                    start += len(batch)
                    if low < high:
                        yield _bytes_of(wanted).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())})") from error

    def batches(self, size: int) -> Iterator[pa.Table]:
        """All rows of all files with all columns, `size` at a time."""
        for file in self.files:
            for batch in columnar_file(file).iter_batches(batch_size=size):
                yield with_folders(pa.Table.from_batches([batch]), file, self.source)

    def one(self, row: int) -> bytes | None:
        """The encoded image of one row; reads its row group."""
        shard = int(np.searchsorted(self.ends, row, side="right"))
        file = self.files[shard]
        row -= int(self.ends[shard - 1]) if shard else 0
        source = columnar_file(file)
        for group in range(source.num_row_groups):
            count = source.metadata.row_group(group).num_rows
            if row < count:
                values = _bytes_of(_row_group(file, stamp(file), self.column, group)[self.column].combine_chunks())
                encoded: bytes | None = values[row].as_py()
                return encoded
            row -= count
        return None

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when a file or the choice of rows does."""
        for file in self.files:
            yield f"{stamp(file)} {self.column}"
        yield rows.tobytes().hex()


def _bytes_of(values: pa.Array) -> pa.Array:
    return values.field("bytes") if pa.types.is_struct(values.type) else values


@lru_cache(maxsize=4)  # one image after another is asked for while somebody reviews
def _row_group(file: Location, version: str, column: str, group: int) -> pa.Table:
    return columnar_file(file).read_row_group(group, columns=[column])


@dataclass(frozen=True)
class Span:
    """Some bytes of a file."""

    file: Path
    offset: int
    length: int

    def read_bytes(self) -> bytes:
        """Read them."""
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.length)


@dataclass(frozen=True)
class Archived:
    """Members of tar files, which lie in there as they are; one row each.

    Attributes:
        files: the archives.
        shard: which of them each row is in, int32 [n].
        offset, length: where its bytes are, int64 [n].
    """

    files: tuple[Location, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """Where they are in archives on this machine, to be read where they are decoded; else their bytes."""
        for start in range(0, len(rows), size):
            spans = [self._span(row) for row in rows[start : start + size].tolist()]
            far = [span for span in spans if not isinstance(span, Span)]
            found = iter(ranges(far) if far else ())
            yield [span if isinstance(span, Span) else next(found) for span in spans]

    def one(self, row: int) -> Item:
        """Where one row is, or its bytes."""
        span = self._span(row)
        return span if isinstance(span, Span) else ranges([span])[0]

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when an archive or the choice of rows does; no member is looked at."""
        yield from map(stamp, self.files)
        yield self.offset[rows].tobytes().hex()

    def _span(self, row: int) -> "Span | tuple[str, int, int]":
        file, offset, length = self.files[self.shard[row]], int(self.offset[row]), int(self.length[row])
        return (file, offset, offset + length) if isinstance(file, str) else Span(file, offset, length)


@dataclass(frozen=True)
class Zipped:
    """Members of zip files, one row each.

    Attributes:
        files: the archives.
        shard: which of them each row is in, int32 [n].
        names: what it is called in there.
    """

    files: tuple[Location, ...]
    shard: np.ndarray
    names: pa.Array

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """Their bytes."""
        for shard, here in groupby(rows.tolist(), key=lambda row: int(self.shard[row])):
            with opened(self.files[shard]) as stream, zipfile.ZipFile(stream) as archive:
                chunk: Chunk = []
                for row in here:
                    chunk.append(_member(archive, self.names[row].as_py()))
                    if len(chunk) == size:
                        yield chunk
                        chunk = []
                if chunk:
                    yield chunk

    def one(self, row: int) -> Item:
        """The bytes of one row."""
        with opened(self.files[self.shard[row]]) as stream, zipfile.ZipFile(stream) as archive:
            return _member(archive, self.names[row].as_py())

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when an archive or the choice of rows does."""
        yield from map(stamp, self.files)
        yield from self.names.take(pa.array(rows)).to_pylist()


def _member(archive: zipfile.ZipFile, name: str) -> Item:
    """Its bytes; why they cannot be had where they are damaged or encrypted, so that it costs itself alone."""
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, ValueError, EOFError, OSError) as error:
        return Refused(OSError(errno.EIO, f"in the archive: {' '.join(str(error).split()) or 'cut off'}"))


def state_of(images: Images, source: Location) -> tuple[int, int]:
    """Bytes and latest change, in nanoseconds since 1970, of what DATA is; zeros of what is far away."""
    files = images.files if isinstance(images, Embedded | Archived | Zipped) else (source,)
    found = [file.stat() for file in files if isinstance(file, Path)]
    return sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0)
