"""Parquet, as every table of ours is written."""

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
