"""Tables of any kind, read as strings throughout: CSV, TSV, JSONL, Parquet and Arrow, however people wrote them."""

import io
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from aumclean.dataset.splits import split_of
from aumclean.errors import DataError
from aumclean.files.csv import BLANK, HEAD, Dialect, dialect_of
from aumclean.files.location import Location, opened, suffix_of

COLUMNAR = (".parquet", ".arrow")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", *COLUMNAR)
DELIMITED = {".csv": ",", ".tsv": "\t", ".txt": BLANK}
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # what Hive and Spark call a folder of rows without one
MOST_COLUMNS = 10_000
WESTERN = "cp1252"  # what Excel writes as CSV in Western Europe and America


def read_table(
    file: Location,
    names: Collection[str],
    *,
    without: str | None = None,
    source: Location | None = None,
    header: Sequence[str] | None = None,
) -> tuple[pa.Table, tuple[str, ...]]:
    """A table with every column as strings (nested columns stay as they are), and what there is to say of it.

    Args:
        file: the table.
        names: columns that it may have, by which the delimiter is found.
        without: a column of a Parquet or Arrow file to leave out.
        source: DATA, where `file` is one of its parts: folders between them may name columns.
        header: the names of its columns where the file itself does not say them.

    Raises:
        DataError: when the file is missing, in no known encoding, ragged, empty, or of an unknown kind.
    """
    suffix = suffix_of(file)
    notes: tuple[str, ...] = ()
    try:
        if suffix in DELIMITED:
            table, notes = _read_delimited(file, names, DELIMITED[suffix], header)
        elif suffix in {".jsonl", ".ndjson"}:
            table = _read_json_lines(file)
        elif suffix in COLUMNAR:
            table = with_folders(_read_columns(file, without), file, source or file)
            table.validate(full=True)  # strings that are not UTF-8, offsets that lead nowhere
        else:
            raise DataError(f"{file}: is neither a folder nor a table ({', '.join(TABLE_SUFFIXES)})")
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (pa.ArrowException, ValueError, RecursionError, IndexError) as error:
        raise DataError(f"{file}: is not a readable {suffix[1:]} table ({' '.join(str(error).split())})") from None
    if table.num_rows == 0:
        raise DataError(f"{file}: has no rows")
    repeated = {name for name in table.column_names if table.column_names.count(name) > 1}
    if repeated:
        raise DataError(f"{file}: has the column '{min(repeated)}' more than once; rename one")
    return table, notes


def with_folders(table: pa.Table, file: Location, source: Location) -> pa.Table:
    """The table of a file with a column for each folder `name=value` between DATA and it, as Spark and Hive do."""
    inside = str(file).removeprefix(f"{source}/")
    for folder in inside.split("/")[:-1] if inside != str(file) else ():
        name, equals, value = folder.partition("=")
        if equals and not split_of(folder) and name not in table.column_names:
            said = pa.scalar(None if value == NO_VALUE else unquote(value), pa.string())
            table = table.append_column(name, pa.repeat(said, len(table)))
    return table


def _read_delimited(
    file: Location, names: Collection[str], usual: str, header: Sequence[str] | None
) -> tuple[pa.Table, tuple[str, ...]]:
    with opened(file) as stream:
        dialect = dialect_of(stream.read(HEAD), names, usual)
    try:
        return _as_strings(file, dialect, header), ()
    except (pa.ArrowException, UnicodeError) as error:
        if "utf8" not in str(error).lower() or dialect.encoding != "utf-8-sig":
            raise
        table = _as_strings(file, replace(dialect, encoding=WESTERN), header)
        return table, (f"{file} is not UTF-8; it is read as Windows-1252 (save it as UTF-8 if letters are wrong)",)


def _as_strings(file: Location, dialect: Dialect, header: Sequence[str] | None) -> pa.Table:
    parse = pa.csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True)
    encoding = "utf8" if dialect.encoding == "utf-8-sig" else dialect.encoding
    reading = pa.csv.ReadOptions(encoding=encoding, skip_rows=dialect.skipped, column_names=header)
    with opened(file) as stream, pa.csv.open_csv(stream, read_options=reading, parse_options=parse) as reader:
        columns = reader.schema.names
    converted = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False, null_values=[]
    )
    with opened(file) as stream:
        return pa.csv.read_csv(stream, read_options=reading, parse_options=parse, convert_options=converted)


def _read_json_lines(file: Location) -> pa.Table:
    records = []
    with io.TextIOWrapper(opened(file), encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line, parse_constant=_no_number)
            except (ValueError, RecursionError) as error:  # also numbers of more digits than Python reads
                why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise DataError(f"{file}: line {number} is not JSON ({why[:200]})") from None
            if not isinstance(record, dict):
                raise DataError(f"{file}: line {number} is not a JSON object")
            records.append({key: _as_string(value) for key, value in record.items()})
    names = list(dict.fromkeys(name for record in records for name in record))
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{file}: has {len(names):,} different keys, more than {MOST_COLUMNS:,}; is it a list of images?"
        )
    return pa.table({name: pa.array([record.get(name) for record in records], pa.string()) for name in names})


def _no_number(constant: str) -> str | None:
    return None if constant == "NaN" else constant


def _as_string(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_columns(file: Location, without: str | None) -> pa.Table:
    source = columnar_file(file)
    schema = source.schema_arrow
    table = source.read(columns=[name for name in schema.names if name != without])
    features = hugging_face_features(schema)
    for index, name in enumerate(table.column_names):
        column = table[name]
        feature = features.get(name)
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and pa.types.is_integer(column.type):
            names = _class_names(file, name, feature)
            unlabeled_as_null = pc.if_else(pc.less(column, 0), None, column)
            column = names.take(unlabeled_as_null.combine_chunks().cast(pa.int64()))
        elif not pa.types.is_nested(column.type) and "binary" not in str(column.type):
            column = column.cast(pa.string())
        table = table.set_column(index, name, column)
    return table


def _class_names(file: Location, column: str, feature: dict[str, Any]) -> pa.Array:
    """The names of a `ClassLabel`.

    Raises:
        DataError: when it has none, as a hand-made or damaged file may.
    """
    names = feature.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: the ClassLabel of '{column}' has no list of names in the file's metadata; add them")
    return pa.array(names, pa.string())


class ArrowFile:
    """A file of Arrow's record batches, as `Dataset.save_to_disk` writes it, asked like `pq.ParquetFile`.

    It is mapped into memory, and each batch is a row group.
    """

    def __init__(self, file: Path) -> None:
        source = pa.memory_map(str(file))
        try:
            self.table = pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            self.table = pa.ipc.open_file(source).read_all()
        self.groups = self.table.to_batches()
        self.schema_arrow = self.table.schema
        self.num_row_groups = len(self.groups)
        self.metadata = SimpleNamespace(num_rows=len(self.table), row_group=self.groups.__getitem__)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns; of a struct, named with a dot, all of it."""
        names = self.table.column_names
        return self.table.select([name if name in names else name.partition(".")[0] for name in columns])

    def read_row_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of one batch."""
        return pa.Table.from_batches([self.groups[group]]).select(list(columns))

    def iter_batches(
        self, batch_size: int, row_groups: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of some batches, so many at a time."""
        for group in range(self.num_row_groups) if row_groups is None else row_groups:
            table = self.read_row_group(group, columns or self.table.column_names)
            yield from table.to_batches(max_chunksize=batch_size)


def columnar_file(file: Location) -> pq.ParquetFile | ArrowFile:
    """A Parquet file, near or far, or an Arrow file, of which no more is read than is asked for.

    Raises:
        DataError: when it cannot be read.
    """
    try:
        if suffix_of(file) != ".arrow":
            return pq.ParquetFile(file if isinstance(file, Path) else opened(file))
        if not isinstance(file, Path):
            raise DataError(f"{file}: Arrow files are read on this machine only; copy it here, or keep Parquet there")
        return ArrowFile(file)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (ValueError, pa.ArrowException) as error:
        kind = suffix_of(file)[1:]
        raise DataError(f"{file}: is not a readable {kind} table ({' '.join(str(error).split())})") from None


def hugging_face_features(schema: pa.Schema) -> dict[str, Any]:
    """The `features` that the datasets library stores beside the columns; empty when there are none to be read."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}
