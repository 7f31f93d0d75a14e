"""What a data source lists before any pixel is decoded: paths, labels, and where the bytes are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.errors import DataError

STAMPED = 1 << 12  # files at a time

Chunk = list[bytes | Path | None]
"""Some samples' files: the bytes themselves, a path to read them from, or None where the table has no bytes."""


ValueRange = tuple[float, float]
"""What is black and what is white in images whose values are not 0..255."""


@dataclass(frozen=True)
class Decoding:
    """How encoded images become pixels, as far as that is the data set's to say.

    Attributes:
        values: for images of more than 8 bits; None: as found.
        max_pixels: images with more of them are refused; None: Pillow's own limit.
    """

    values: ValueRange | None = None
    max_pixels: int | None = None


AS_FOUND = Decoding()


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
        """Paths of the samples at `rows` (ascending int64), `size` at a time."""
        for start in range(0, len(rows), size):
            paths = self.paths.take(pa.array(rows[start : start + size])).to_pylist()
            yield [None if path is None else self.root / path for path in paths]

    def one(self, row: int) -> Path | None:
        """The path of one row."""
        path = self.paths[row].as_py()
        return None if path is None else self.root / path

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when a file does, without reading it."""
        for start in range(0, len(rows), STAMPED):
            for path in self.paths.take(pa.array(rows[start : start + STAMPED])).to_pylist():
                yield stamp(None if path is None else self.root / path)


@dataclass(frozen=True)
class Embedded:
    """Images in a Parquet column: a struct with bytes, or plain binary."""

    file: Path
    column: str

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[Chunk]:
        """Encoded images of the samples at `rows` (ascending int64), `size` at a time, streamed."""
        first = 0
        try:
            for batch in pq.ParquetFile(self.file).iter_batches(batch_size=size, columns=[self.column]):
                low, high = np.searchsorted(rows, (first, first + len(batch)))
                wanted = batch.column(0).take(pa.array(rows[low:high] - first))
                first += len(batch)
                if low < high:
                    values = wanted.field("bytes") if pa.types.is_struct(wanted.type) else wanted
                    yield values.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.file}: cannot be read ({' '.join(str(error).split())})") from error

    def one(self, row: int) -> bytes | None:
        """The encoded image of one row; reads its row group."""
        status = self.file.stat()
        value = _row(self.file, (status.st_mtime_ns, status.st_size), self.column, row)
        encoded: bytes | None = value["bytes"] if isinstance(value, dict) else value
        return encoded

    def stamp(self, rows: np.ndarray) -> Iterator[str]:
        """What changes when the file or the choice of rows does."""
        yield f"{stamp(self.file)} {self.column}"
        yield rows.tobytes().hex()


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of a data source, in its own order.

    Attributes:
        name: a short name for the data, used to name the run.
        source: DATA itself, the file or folder all this was read from.
        root: the folder that `paths` are relative to.
        paths: POSIX paths, unique, string array of length n.
        labels: index into `class_names`, int32 array of length n.
        class_names: every label that occurs, sorted.
        images: where the encoded images are.
        rows: the row of each sample in `images` and `manifest`, ascending int64 array of length n.
        manifest: the table the samples came from without its image column; None when it was a folder.
        label_column: the table's column with the labels.
        notes: what was decided on the user's behalf (the split, the columns), as sentences.
        decoding: how its images become pixels.
    """

    name: str
    source: Path
    root: Path
    paths: pa.Array
    labels: np.ndarray
    class_names: tuple[str, ...]
    images: Files | Embedded
    rows: np.ndarray
    manifest: pa.Table | None = None
    label_column: str = "label"
    notes: tuple[str, ...] = ()
    decoding: Decoding = AS_FOUND

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, keep: np.ndarray) -> "Samples":
        """The samples at `keep` (ascending int64), with the classes that are left."""
        labels = self.labels[keep]
        present, relabeled = np.unique(labels, return_inverse=True)
        return replace(
            self,
            paths=self.paths.take(pa.array(keep)),
            labels=relabeled.astype(np.int32),
            class_names=tuple(self.class_names[label] for label in present),
            rows=self.rows[keep],
        )

    def evenly(self, limit: int) -> "Samples":
        """At most `limit` samples, evenly spaced, so that sorted data keep their class shares."""
        if limit >= len(self):
            return self
        return self.take(np.arange(limit) * len(self) // limit)

    def label_names(self) -> pa.Array:
        """The labels as strings."""
        return pa.array(self.class_names).take(pa.array(self.labels))


def _row(file: Path, version: tuple[int, int], column: str, row: int) -> Any:
    groups = pq.ParquetFile(file)
    for group in range(groups.num_row_groups):
        count = groups.metadata.row_group(group).num_rows
        if row < count:
            return _row_group(file, version, column, group)[column][row].as_py()
        row -= count
    return None


@lru_cache(maxsize=4)  # one image after another is asked for while somebody reviews
def _row_group(file: Path, version: tuple[int, int], column: str, group: int) -> pa.Table:
    return pq.ParquetFile(file).read_row_group(group, columns=[column])


def stamp(file: Path | None) -> str:
    """What changes when a file does, its permissions included, without reading it."""
    if file is None:
        return "none"
    try:
        status = file.stat()
    except OSError as error:
        return f"{file.absolute()} {error.errno}"
    return f"{file.absolute()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
