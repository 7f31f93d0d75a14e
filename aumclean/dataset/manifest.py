"""Manifests: CSV, TSV, JSONL and Parquet tables with a path and a label per row."""

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.dataset.folder import is_image, listed
from aumclean.dataset.images import Embedded, Images, files_of
from aumclean.dataset.one_label import ONE_LABEL, refuse_no_numbers, refuse_several
from aumclean.dataset.paths import inside_root, is_there, of_elsewhere
from aumclean.dataset.samples import Samples
from aumclean.dataset.split_column import SPLIT, rows_of_split
from aumclean.dataset.table import COLUMNAR, DELIMITED, ArrowFile, columnar_file, read_table
from aumclean.errors import DataError, RunError, did_you_mean
from aumclean.files.location import Location, location, name_of, parent_of, resolved, suffix_of
from aumclean.run.directory import Run

PATH_COLUMNS = ("file_name", "filepath", "file_path", "path", "filename", "image_path", "image")
BOXES = {"bbox", "xmin", "x_min", "x1"}  # columns of tables that list boxes
HEADER = ("path", "label")  # of a list that does not name its columns
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "y")
MOST_BYTES = 1 << 31  # that Arrow's strings with offsets of 32 bits hold in one piece
ROWS = 1 << 20  # that are compared at a time
HUGGING_FACE_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def read_manifest(
    file: Location,
    *,
    shards: Sequence[Location] = (),
    path_column: str | None = None,
    label_column: str | None = None,
    root: Location | None = None,
    split: str | None = None,
) -> Samples:
    """List the samples of a manifest.

    Args:
        file: `.csv`, `.tsv`, `.jsonl` or `.parquet`; a Parquet file may hold the images themselves.
        shards: the Parquet files that are the parts of it, where `file` is a folder or a pattern.
        path_column, label_column: found by their usual names when not given.
        root: the folder, or the address, that paths are relative to and may not leave; the manifest's own by default,
            and for a manifest inside a run directory that of the scanned data.
        split: keep its rows, as `rows_of_split` finds them.

    Raises:
        DataError: unreadable table, unclear columns, empty labels, repeated paths, paths outside the root.
    """
    parts = tuple(shards) or (file,)
    image_column = _embedded_image_column(parts[0], path_column)
    given = {name for name in (path_column, label_column) if name is not None}
    table, notes = _read_parts(file, parts, {*PATH_COLUMNS, *LABEL_COLUMNS, SPLIT, *given}, image_column)
    label_column = _column(file, table.column_names, label_column, LABEL_COLUMNS, "label")
    refuse_several(file, table[label_column], label_column)
    rows, noted = rows_of_split(file, table, split)
    _refuse_empty(file, table, label_column, rows)
    refuse_no_numbers(file, _at(table[label_column], rows), f"'{label_column}'")
    images: Images
    if image_column is None:
        root = root or _root_of_run(file) or (file if shards else parent_of(file))
        table, paths, more = _with_paths(file, table, path_column, rows, root)
        noted = (*noted, *more)
        images = files_of(root, paths)
    else:
        root = file if shards else parent_of(file)
        paths = _names_of_embedded(file, parts, image_column, len(table))
        images = Embedded(parts, image_column, file)

    labels, class_names = encoded(_at(table[label_column], rows))
    name = name_of(file)
    of_folder = name in HUGGING_FACE_METADATA
    samples = Samples(
        name=name_of(resolved(parent_of(file))) if of_folder else Path(name).stem,
        source=file,
        root=root,
        paths=paths if len(rows) == len(paths) else paths.take(pa.array(rows)),
        labels=labels,
        class_names=class_names,
        images=images,
        rows=rows,
        manifest=table,
        label_column=label_column,
        notes=(*notes, *noted, *_boxes(file, table)),
    )
    refuse_repeated(file, samples)
    return samples


def _with_paths(
    file: Location, table: pa.Table, path_column: str | None, rows: np.ndarray, root: Location
) -> tuple[pa.Table, pa.Array, tuple[str, ...]]:
    """The table with plain paths in its column of paths; these paths, none outside the root; what there is to say."""
    path_column = _column(file, table.column_names, path_column, PATH_COLUMNS, "path")
    if _has_names(table.schema.field(path_column).type):  # by path alone, as `datasets` may write
        paths_of_images = pc.struct_field(table[path_column], "path")
        table = table.set_column(table.column_names.index(path_column), path_column, paths_of_images)
    _refuse_empty(file, table, path_column, rows)
    paths = _whole(table[path_column])
    table = table.set_column(table.column_names.index(path_column), path_column, paths)  # held once
    paths, notes = of_elsewhere(file, paths, rows, root)
    return table, _with_suffix(inside_root(file, paths, rows, root), rows, root), notes


def _with_suffix(paths: pa.Array, rows: np.ndarray, root: Location) -> pa.Array:
    """Paths with the suffix that files have and lists leave out, as many of Kaggle do: `0f3a` where `0f3a.jpg` is."""
    if isinstance(root, str) or not len(rows):
        return paths
    first = root / paths[int(rows[0])].as_py()
    if is_image(first.name) or is_there(str(first)) or not first.parent.is_dir():
        return paths
    found = sorted(one.suffix for one in first.parent.glob(f"{glob.escape(first.name)}.*") if is_image(one.name))
    return pc.binary_join_element_wise(paths, pa.scalar(found[0], paths.type), "") if found else paths


def _whole(texts: pa.ChunkedArray) -> pa.Array:
    """The same in one piece, with offsets of 64 bits where those of 32 do not suffice."""
    return (texts if texts.nbytes < MOST_BYTES else texts.cast(pa.large_string())).combine_chunks()


def _at(texts: pa.ChunkedArray, rows: np.ndarray) -> pa.ChunkedArray:
    return texts if len(rows) == len(texts) else texts.take(pa.array(rows))


def _read_parts(
    file: Location, parts: Sequence[Location], names: set[str], image_column: str | None
) -> tuple[pa.Table, tuple[str, ...]]:
    """The tables of all parts below each other, and what there is to say of them."""
    read = [read_table(part, names, without=image_column, source=file) for part in parts]
    try:
        table = pa.concat_tables([table for table, _ in read], promote_options="default")
    except pa.ArrowException as error:
        why = " ".join(str(error).split())
        raise DataError(f"{file}: its files have columns of different kinds ({why}); name one of them") from None
    if suffix_of(file) in DELIMITED and any(map(is_image, table.column_names)):
        return _without_header(file, table.column_names)
    return table, tuple(note for _, notes in read for note in notes)


def _without_header(file: Location, first: list[str]) -> tuple[pa.Table, tuple[str, ...]]:
    """A list of paths and labels that names no columns, and what there is to say of it.

    Raises:
        DataError: for another table whose first line is of an image.
    """
    if suffix_of(file) != ".txt" or len(first) != len(HEADER) or not is_image(first[0]):
        shown = listed(first, 3)
        if suffix_of(file) == ".txt" and len(first) > len(HEADER):
            raise DataError(
                f"{file}: a path with blanks ({shown}) cannot be told from its label; write path,label as CSV"
            )
        raise DataError(
            f"{file}: its first line is a sample ({shown}); put the names of columns above it, as path,label"
        )
    table, notes = read_table(file, (), header=HEADER)
    return table, (*notes, f"{file} has no names of columns; each line is read as a path and a label")


def _boxes(file: Location, table: pa.Table) -> list[str]:
    """That boxes in a table are not read, as a sentence; none where there are none."""
    found = [name for name in table.column_names if name.strip().casefold() in BOXES]
    return [
        f"{file}: the boxes in '{name}' are not read, each image is judged whole; convert to COCO" for name in found[:1]
    ]


def lists_images(file: Location) -> bool:
    """Whether a table has a column for the paths and one for the labels, as far as their names tell."""
    try:
        table, _ = read_table(file, {*PATH_COLUMNS, *LABEL_COLUMNS})
    except DataError:
        return False
    names = {name.strip().casefold() for name in table.column_names}
    return bool(names & set(PATH_COLUMNS)) and bool(names & set(LABEL_COLUMNS))


def _embedded_image_column(file: Location, path_column: str | None) -> str | None:
    """The column of a Parquet file that holds encoded images, if there is one."""
    if suffix_of(file) not in COLUMNAR:
        return None
    schema = columnar_file(file).schema_arrow
    found = [
        field.name
        for field in schema
        if _holds_images(field.type) and not (_has_names(field.type) and _has_no_bytes(file, field.name))
    ]
    if path_column is not None:
        return path_column if path_column in found else None
    if any(field.name in PATH_COLUMNS and not _holds_images(field.type) for field in schema):
        found = [name for name in found if pa.types.is_struct(schema.field(name).type)]  # a thumbnail beside a path
    if len(found) > 1:
        raise DataError(f"{file}: images may be in {' or '.join(found)}; say which with --path-column")
    return found[0] if found else None


def _has_no_bytes(file: Location, column: str) -> bool:
    """Whether a struct of bytes and path is known to have paths alone, by the file's own statistics."""
    source = columnar_file(file)
    if isinstance(source, ArrowFile):
        return bool(pc.all(pc.is_null(pc.struct_field(source.table[column], "bytes"))).as_py())
    metadata = source.metadata
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        parts = map(group.column, range(group.num_columns))
        known = next((part.statistics for part in parts if part.path_in_schema == f"{column}.bytes"), None)
        if known is None or known.null_count != group.num_rows:
            return False
    return True


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return "bytes" in {field.name for field in kind}
    return "binary" in str(kind)


def _has_names(kind: pa.DataType) -> bool:
    """Whether images come with names of their own."""
    return pa.types.is_struct(kind) and "path" in {field.name for field in kind}


def _column(file: Location, columns: list[str], given: str | None, usual: tuple[str, ...], what: str) -> str:
    if given is not None:
        alike = [name for name in columns if name.strip() == given.strip()]
        if given not in columns and len(alike) != 1:
            raise DataError(f"{file}: has no column '{given}' (--{what}-column){did_you_mean(given, columns)}")
        return given if given in columns else alike[0]
    found = [name for name in columns if name.strip().casefold() in usual]
    if len(found) == 1:
        return found[0]
    if not found and suffix_of(file) == ".txt":
        raise DataError(f"{file}: its lines are not of a path and a label, nor does the first name columns: path label")
    if not found:
        known = ", ".join(columns)
        raise DataError(f"{file}: has no {what} column; say which of {known} it is with --{what}-column")
    raise DataError(f"{file}: the {what} may be in {' or '.join(found)}; say which with --{what}-column")


def _refuse_empty(file: Location, table: pa.Table, column: str, rows: np.ndarray) -> None:
    values = table[column]
    if not pa.types.is_string(values.type):
        raise DataError(f"{file}: column '{column}' holds {values.type}, not one text per row")
    empty = pc.fill_null(pc.match_substring_regex(values, r"^\s*$"), True).to_numpy()[rows]
    if empty.any():
        row = rows[empty.argmax()] + 1
        raise DataError(f"{file}: row {row} has an empty '{column}' ({empty.sum()} such rows); fill or remove them")


def encoded(labels: pa.ChunkedArray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as indices, int32 [n], into the class names, which are sorted."""
    encoded = pc.dictionary_encode(labels).combine_chunks()
    names = encoded.dictionary.to_pylist()
    order = {name: index for index, name in enumerate(sorted(names))}
    position = np.array([order[name] for name in names], dtype=np.int32)
    return position[encoded.indices.to_numpy()], tuple(order)


def _root_of_run(file: Location) -> Location | None:
    """The data root of the run that wrote this manifest, so that `scan RUN/cleaned.csv` finds the images."""
    if isinstance(file, str):
        return None
    try:
        return location(Run(file.parent).read().data.root)
    except RunError:
        return None


def _names_of_embedded(source: Location, files: Sequence[Location], column: str, count: int) -> pa.Array:
    """The images' own names where each has a different one, else file (below DATA if need be) and row number."""
    sources = [columnar_file(file) for file in files]
    kinds = [one.schema_arrow.field(column).type if column in one.schema_arrow.names else pa.null() for one in sources]
    if not all(map(_holds_images, kinds)):
        without = next(file for file, kind in zip(files, kinds, strict=True) if not _holds_images(kind))
        raise DataError(f"{without}: has no images in '{column}', where the other files have them; take it away")
    if all(map(_has_names, kinds)):
        own = [pc.struct_field(one.read(columns=[f"{column}.path"])[column], "path") for one in sources]
        chunks = [chunk.cast(pa.string()) for part in own for chunk in part.chunks]
        names = pa.chunked_array(chunks, pa.string()).combine_chunks()
        if names.null_count == 0 and pc.count_distinct(names).as_py() == count:
            return names
    called = [name_of(file) for file in files]
    if len(set(called)) < len(called):
        called = [str(file).removeprefix(f"{source}/") for file in files]
    numbered = []
    for file, one in zip(called, sources, strict=True):
        rows = pa.array(np.arange(one.metadata.num_rows)).cast(pa.string())
        numbered.append(pc.binary_join_element_wise(file, pc.utf8_lpad(rows, 7, "0"), "/"))
    return pa.chunked_array([part.cast(pa.string()) for part in numbered], pa.string()).combine_chunks()


def refuse_repeated(file: Location, samples: Samples) -> None:
    """Refuse a sample that is listed twice.

    Raises:
        DataError: by name; with the remedy where it has several labels.
    """
    paths = samples.paths
    if pc.all(pc.less(paths[:-1], paths[1:])).as_py() is not False:  # as files are listed: that needs no memory
        return
    order, again = pc.sort_indices(paths), []
    for start in range(0, len(order), ROWS):
        ordered = paths.take(order.slice(start, ROWS + 1))
        again.append(ordered[1:].filter(pc.equal(ordered[:-1], ordered[1:])))
    repeated = pa.concat_arrays(again)
    if not len(repeated):
        return
    example = repeated[0].as_py()
    here = pc.equal(paths, example)
    labels = pc.unique(samples.label_names().filter(here)).to_pylist()
    said = f"'{example}' is listed {pc.sum(here).as_py()} times"
    if len(labels) > 1:
        raise DataError(f"{file}: {said} with the labels {' and '.join(map(repr, labels[:5]))}; {ONE_LABEL}")
    raise DataError(f"{file}: {said} ({pc.count_distinct(repeated).as_py()} repeated paths); one row per image")
