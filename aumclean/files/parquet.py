"""Parquet, as tables of ours are written and read: with a checksum of every page, so that no bit flips unnoticed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.errors import RunError
from aumclean.files import atomic
from aumclean.files.mapped import BLOCK
from aumclean.files.passing import Passing

CHECKED = {"compression": "zstd", "write_page_checksum": True}
"""Options of everything that writes a table for us to read again."""

NO_COLUMNS = pa.schema([])


def to_parquet(table: pa.Table) -> bytes:
    """Any table as zstd-compressed Parquet."""
    sink = pa.BufferOutputStream()
    write(table, sink)
    return bytes(sink.getvalue())


def write(table: pa.Table, sink: Any) -> None:
    """The same into a path or an open file, a row group at a time."""
    pq.write_table(table, sink, **CHECKED)


def save(file: Path, table: pa.Table) -> None:
    """The same to a path, whole or not at all.

    Raises:
        OutputError: when it cannot be written.
    """
    with atomic.replacing(file) as temporary:
        write(table, temporary)


def write_blocks(schema: pa.Schema, blocks: Iterable[pa.Table], sink: Any) -> None:
    """A table that comes in blocks, each a row group, because all of it would take too much memory."""
    with pq.ParquetWriter(sink, schema, **CHECKED) as writer:
        for block in blocks:
            writer.write_table(block)


def read(
    file: Path, columns: Sequence[str] | pa.Schema | None, *, also: pa.Schema = NO_COLUMNS, remedy: str = "scan again"
) -> pa.Table:
    """Some columns of a table of ours; unlike pyarrow's `read_table` this does not load pandas, half a second.

    Args:
        file: what to read.
        columns: their names, None for all; or a schema, which they must have, without nulls where it has none.
        also: with a schema, columns that are read where they are there.
        remedy: what to do when it cannot be read.

    Raises:
        RunError: when the file is missing, damaged, or another table.
    """
    try:
        stored = opened(file)
        if isinstance(columns, pa.Schema):
            columns = pa.schema([*columns, *(field for field in also if field.name in stored.schema_arrow.names)])
        names = columns.names if isinstance(columns, pa.Schema) else columns
        table = stored.read(columns=names)
        table = table if names is None else table.select(list(names))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise _unreadable(file, error, remedy) from None
    if isinstance(columns, pa.Schema):
        _require(table, columns, file, remedy)
    return table


def read_blocks(file: Path, columns: pa.Schema, *, remedy: str = "scan again") -> Iterator[pa.RecordBatch]:
    """The same some rows at a time, for columns that may be larger than the memory.

    Raises:
        RunError: as `read` does, perhaps after some of the rows.
    """
    try:
        for batch in opened(file).iter_batches(BLOCK, columns=columns.names):
            _require(batch, columns, file, remedy)
            yield batch
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise _unreadable(file, error, remedy) from None


def schema_of(file: Path, *, remedy: str = "scan again") -> pa.Schema:
    """The columns of a table of ours.

    Raises:
        RunError: when it cannot be read.
    """
    try:
        return opened(file).schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error, remedy) from None


def _unreadable(file: Path, error: Exception, remedy: str) -> RunError:
    return RunError(f"{file}: cannot be read ({' '.join(str(error).split())[:200]}); {remedy}")


def _require(rows: pa.Table | pa.RecordBatch, columns: pa.Schema, file: Path, remedy: str) -> None:
    for field in columns:
        column = rows[field.name]
        if column.type != field.type or (column.null_count and not field.nullable):
            nulls = f" and {column.null_count} nulls" if column.null_count else ""
            raise RunError(f"{file}: is damaged ({field.name} has {column.type}{nulls}, not {field.type}); {remedy}")


def opened(file: Path) -> pq.ParquetFile:
    """A table of ours, to be read in pieces; a page whose checksum is wrong raises OSError."""
    return pq.ParquetFile(file, page_checksum_verification=True)


def pieces(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """A file of batches that come one after another, because all of them would take too much memory."""
    sink = Passing()
    with pq.ParquetWriter(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.take()
    yield sink.take()
