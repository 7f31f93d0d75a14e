"""Parquet: the report with its types, for DuckDB, pandas, polars and everything else."""

import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.verdict.judge import Verdict


def render(verdict: Verdict) -> bytes:
    """The report, one row per sample."""
    return to_parquet(verdict.report)


def to_parquet(table: pa.Table) -> bytes:
    """Any table as zstd-compressed Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
