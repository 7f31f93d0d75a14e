"""Parquet, as every table of ours is written."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def to_parquet(table: pa.Table) -> bytes:
    """Any table as zstd-compressed Parquet."""
    sink = pa.BufferOutputStream()
    write(table, sink)
    return bytes(sink.getvalue())


def write(table: pa.Table, sink: Any) -> None:
    """The same into a path or an open file, a row group at a time."""
    pq.write_table(table, sink, compression="zstd")


def pieces(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """A file of batches that come one after another, because all of them would take too much memory."""
    sink = _Passing()
    with pq.ParquetWriter(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.take()
    yield sink.take()


class _Passing:
    """What has been written since it was last taken; to the writer it is a file that only grows."""

    closed = False

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.written = 0

    def write(self, piece: Any) -> int:
        self.kept.append(bytes(piece))
        self.written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self.written

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self.kept = b"".join(self.kept), []
        return taken
