"""Manifests: CSV, TSV, JSONL and Parquet tables with a path and a label per row, read as strings throughout."""

import json
import os.path
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from aumclean.dataset.samples import Embedded, Files, Samples
from aumclean.errors import DataError, RunError, did_you_mean
from aumclean.run.directory import Run

PATH_COLUMNS = ("file_name", "filepath", "file_path", "path", "filename", "image_path", "image")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "y")
SPLIT_COLUMN = "split"
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MOST_COLUMNS = 10_000
HUGGING_FACE_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def read_manifest(
    file: Path,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    root: Path | None = None,
    split: str | None = None,
) -> Samples:
    """List the samples of a manifest.

    Args:
        file: `.csv`, `.tsv`, `.jsonl` or `.parquet`; a Parquet file may hold the images themselves.
        path_column, label_column: found by their usual names when not given.
        root: the folder paths are relative to, and may not leave; the manifest's own by default, and for a
            manifest inside a run directory that of the scanned data.
        split: keep the rows whose `split` column says so; `train` by default where there is such a column.

    Raises:
        DataError: unreadable table, unclear columns, empty labels, repeated paths, paths outside the root.
    """
    image_column = _embedded_image_column(file, path_column)
    table = read_table(file, without=image_column)
    label_column = _column(file, table.column_names, label_column, LABEL_COLUMNS, "label")
    rows, notes = _rows_of_split(file, table, split)
    _refuse_empty(file, table, label_column, rows)
    images: Files | Embedded
    if image_column is None:
        path_column = _column(file, table.column_names, path_column, PATH_COLUMNS, "path")
        if _holds_images(table.schema.field(path_column).type):  # by path alone, as `datasets` may write
            paths_of_images = pc.struct_field(table[path_column], "path")
            table = table.set_column(table.column_names.index(path_column), path_column, paths_of_images)
        _refuse_empty(file, table, path_column, rows)
        root = root or _root_of_run(file) or file.parent
        relative = _inside_root(file, table[path_column].to_pylist(), rows, root)
        paths = pa.array(relative, pa.string())
        images = Files([None if path is None else root / path for path in relative])
    else:
        root = file.parent
        paths = _names_of_embedded(file, image_column, len(table))
        images = Embedded(file, image_column)

    labels, class_names = _encoded(table[label_column].take(pa.array(rows)))
    samples = Samples(
        name=file.parent.resolve().name if file.name in HUGGING_FACE_METADATA else file.stem,
        source=file,
        root=root,
        paths=paths.take(pa.array(rows)),
        labels=labels,
        class_names=class_names,
        images=images,
        rows=rows,
        manifest=table,
        label_column=label_column,
        notes=notes,
    )
    _refuse_repeated(file, samples)
    return samples


def read_table(file: Path, *, without: str | None = None) -> pa.Table:
    """A table with every column as strings (nested columns stay as they are).

    Raises:
        DataError: when the file is missing, not UTF-8, ragged, empty, or of an unknown kind.
    """
    suffix = file.suffix.lower()
    try:
        if suffix in {".csv", ".tsv"}:
            table = _read_delimited(file, "\t" if suffix == ".tsv" else ",")
        elif suffix in {".jsonl", ".ndjson"}:
            table = _read_json_lines(file)
        elif suffix == ".parquet":
            table = _read_parquet(file, without)
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
    return table


def _read_delimited(file: Path, delimiter: str) -> pa.Table:
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with pa.csv.open_csv(file, parse_options=parse) as reader:
        names = reader.schema.names
    as_strings = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
    )
    return pa.csv.read_csv(file, parse_options=parse, convert_options=as_strings)


def _read_json_lines(file: Path) -> pa.Table:
    records = []
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
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


def _as_string(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_parquet(file: Path, without: str | None) -> pa.Table:
    schema = pq.read_schema(file)
    table = pq.read_table(file, columns=[name for name in schema.names if name != without])
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


def _class_names(file: Path, column: str, feature: dict[str, Any]) -> pa.Array:
    """The names of a `ClassLabel`.

    Raises:
        DataError: when it has none, as a hand-made or damaged file may.
    """
    names = feature.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: the ClassLabel of '{column}' has no list of names in the file's metadata; add them")
    return pa.array(names, pa.string())


def hugging_face_features(schema: pa.Schema) -> dict[str, Any]:
    """The `features` that the datasets library stores beside the columns; empty when there are none to be read."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def _embedded_image_column(file: Path, path_column: str | None) -> str | None:
    """The column of a Parquet file that holds encoded images, if there is one."""
    if file.suffix.lower() != ".parquet":
        return None
    try:
        schema = pq.read_schema(file)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (ValueError, pa.ArrowException) as error:
        raise DataError(f"{file}: is not a readable parquet table ({' '.join(str(error).split())})") from None
    found = [field.name for field in schema if _holds_images(field.type) and not _has_no_bytes(file, field.name)]
    if path_column is not None:
        return path_column if path_column in found else None
    if any(field.name in PATH_COLUMNS and not _holds_images(field.type) for field in schema):
        found = [name for name in found if pa.types.is_struct(schema.field(name).type)]  # a thumbnail beside a path
    if len(found) > 1:
        raise DataError(f"{file}: images may be in {' or '.join(found)}; say which with --path-column")
    return found[0] if found else None


def _has_no_bytes(file: Path, column: str) -> bool:
    """Whether a struct of bytes and path is known to have paths alone, by the file's own statistics."""
    metadata = pq.ParquetFile(file).metadata
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        parts = map(group.column, range(group.num_columns))
        known = next((part.statistics for part in parts if part.path_in_schema == f"{column}.bytes"), None)
        if known is None or known.null_count != group.num_rows:
            return False
    return True


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return {field.name for field in kind} >= {"bytes", "path"}
    return "binary" in str(kind)


def _column(file: Path, columns: list[str], given: str | None, usual: tuple[str, ...], what: str) -> str:
    if given is not None:
        if given not in columns:
            raise DataError(f"{file}: has no column '{given}' (--{what}-column){did_you_mean(given, columns)}")
        return given
    found = [name for name in usual if name in columns]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(columns)
    if not found:
        raise DataError(f"{file}: has no {what} column; say which of {listed} it is with --{what}-column")
    raise DataError(f"{file}: the {what} may be in {' or '.join(found)}; say which with --{what}-column")


def _refuse_empty(file: Path, table: pa.Table, column: str, rows: np.ndarray) -> None:
    values = table[column]
    if not pa.types.is_string(values.type):
        raise DataError(f"{file}: column '{column}' holds {values.type}, not one text per row")
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), True).to_numpy()[rows]
    if empty.any():
        row = rows[empty.argmax()] + 1
        raise DataError(f"{file}: row {row} has an empty '{column}' ({empty.sum()} such rows); fill or remove them")


def _encoded(labels: pa.ChunkedArray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as indices, int32 [n], into the class names, which are sorted."""
    encoded = pc.dictionary_encode(labels.combine_chunks())
    names = encoded.dictionary.to_pylist()
    order = {name: index for index, name in enumerate(sorted(names))}
    position = np.array([order[name] for name in names], dtype=np.int32)
    return position[encoded.indices.to_numpy()], tuple(order)


def _rows_of_split(file: Path, table: pa.Table, split: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    everything = np.arange(len(table))
    if SPLIT_COLUMN not in table.column_names:
        if split is not None:
            raise DataError(f"{file}: has no column '{SPLIT_COLUMN}', which --split needs")
        return everything, ()
    column = table[SPLIT_COLUMN]
    notes: tuple[str, ...] = ()
    known = sorted(str(value) for value in pc.unique(column).to_pylist())
    if split is None:
        if "train" not in known or known == ["train"]:
            return everything, ()
        split = "train"
        notes = (f"{file} has the splits {', '.join(known)}; reading 'train' (--split chooses)",)
    rows = np.flatnonzero(pc.fill_null(pc.equal(column, split), False).to_numpy())
    if len(rows) == 0:
        raise DataError(f"{file}: no row has the split '{split}' (--split); it has: {', '.join(known)}")
    return rows, notes


def _root_of_run(file: Path) -> Path | None:
    """The data root of the run that wrote this manifest, so that `scan RUN/cleaned.csv` finds the images."""
    try:
        return Path(Run(file.parent).read().data.root)
    except RunError:
        return None


def _inside_root(file: Path, paths: list[str | None], rows: np.ndarray, root: Path) -> list[str | None]:
    """Normal POSIX paths relative to the root, None outside of `rows`.

    A path that leaves the root is refused: the manifest may be a stranger's.
    """
    base = os.path.normpath(root.absolute())
    inside: list[str | None] = [None] * len(paths)
    for row in rows:
        path = str(paths[row])
        target = os.path.normpath(os.path.join(base, path))  # noqa: PTH118
        if "://" in path or not target.startswith(base.rstrip(os.sep) + os.sep) or "\0" in path:
            raise DataError(f"{file}: row {row + 1}: path '{path}' is not inside {root}; say --root DIR")
        inside[row] = os.path.relpath(target, base).replace(os.sep, "/")
    return inside


def _names_of_embedded(file: Path, column: str, count: int) -> pa.Array:
    """The images' own names where each has a different one, else the row number."""
    kind = pq.read_schema(file).field(column).type
    if pa.types.is_struct(kind):
        names = pq.ParquetFile(file).read(columns=[f"{column}.path"])[column].combine_chunks().field("path")
        if names.null_count == 0 and pc.count_distinct(names).as_py() == count:
            return names.cast(pa.string())
    return pa.array([str(PurePosixPath(file.name) / f"{row:07d}") for row in range(count)], pa.string())


def _refuse_repeated(file: Path, samples: Samples) -> None:
    counts = pc.value_counts(samples.paths)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        example = repeated[0].as_py()
        raise DataError(
            f"{file}: '{example['values']}' is listed {example['counts']} times ({len(repeated)} repeated paths); "
            "one row per image"
        )
