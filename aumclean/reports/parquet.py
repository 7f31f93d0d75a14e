"""Parquet: the report with its types, for DuckDB, pandas, polars and everything else."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.verdict.judge import Verdict


def render(verdict: Verdict) -> bytes:
    """The report, one row per sample."""
    return to_parquet(verdict.report)


def to_parquet(table: pa.Table) -> bytes:
    """Any table as zstd-compressed Parquet."""
    sink = pa.BufferOutputStream()
    write(table, sink)
    return bytes(sink.getvalue())


def write(table: pa.Table, sink: Any) -> None:
    """The same into a path or an open file, a row group at a time."""
    pq.write_table(table, sink, compression="zstd")
