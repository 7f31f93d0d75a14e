"""Labels of anything, images or not: a table, an array, an image folder, as samples whose columns are in order."""

import hashlib
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from aumclean.dataset.decode import CHUNK, read_encoded
from aumclean.dataset.images import Files
from aumclean.dataset.manifest import LABEL_COLUMNS, PATH_COLUMNS, read_manifest
from aumclean.dataset.open import Opened
from aumclean.dataset.read import read_samples
from aumclean.dataset.rows import ID_COLUMNS
from aumclean.dataset.samples import Decoding, Samples
from aumclean.dataset.table import TABLE_SUFFIXES, read_table
from aumclean.errors import ConfigError, DataError
from aumclean.files import atomic
from aumclean.files.location import expanded

NUMBER = re.compile(r"0|[1-9]\d{0,8}")


def read_labels(data: Path, **reading: Any) -> Samples:
    """List labeled samples: images as a scan reads them, or the rows of a table or of a `.npy` array of labels.

    A table without a path column names its samples by a column `id`, `sample_id`, `uid` or `key`, else by row numbers.

    Args:
        data: where the labels are.
        reading: options of `read_samples`; of these a table without paths takes `label_column` and `root` alone.

    Raises:
        DataError: when DATA does not exist or has no labels.
        ConfigError: for an option that only images have.
    """
    data = expanded(data)
    if data.suffix.lower() == ".npy" and data.is_file():
        _refuse_options_of_images(data, reading)
        return in_rows(_loaded(data), name=data.stem, source=data)
    if data.suffix.lower() not in TABLE_SUFFIXES or data.is_dir():
        return read_samples(data, **reading)
    table, _ = read_table(data, {*PATH_COLUMNS, *LABEL_COLUMNS, *ID_COLUMNS})
    names = set(table.column_names)
    has_bytes = any("binary" in str(field.type) for field in table.schema)
    if reading.get("path_column") is not None or has_bytes or names & set(PATH_COLUMNS):
        of_table: dict[str, Any] = {
            name: reading.get(name) for name in ("path_column", "label_column", "root", "split")
        }
        decoding = Decoding(reading.get("value_range"), reading.get("max_pixels"))
        return replace(read_manifest(data, **of_table), decoding=decoding)  # of texts or images, there or not
    _refuse_options_of_images(data, reading)
    column = reading.get("label_column") or next((name for name in LABEL_COLUMNS if name in names), None)
    if column is None or column not in names:
        raise DataError(f"{data}: has no label column; say which of {', '.join(sorted(names))} it is, --label-column")
    ids = next((table[name].to_pylist() for name in ID_COLUMNS if name in names), None)
    found = in_rows(table[column].to_pylist(), name=data.stem, source=data, paths=ids, root=reading.get("root"))
    return replace(found, manifest=table, label_column=column)


def _refuse_options_of_images(data: Path, reading: dict[str, Any]) -> None:
    for name, value in reading.items():
        if value is not None and name not in {"label_column", "root"}:
            raise ConfigError(f"--{name.replace('_', '-')}: is for images; {data} has labels and no paths of images")


def _loaded(file: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: is no array of labels ({error})") from None


def in_rows(
    labels: Any, *, name: str, source: Path, paths: Sequence[str] | None = None, root: Path | None = None
) -> Samples:
    """Samples of labels that are in memory, texts or whole numbers, in their order.

    Args:
        labels: [n], an array, a tensor or a list.
        name: of the data.
        source: the file that they are from.
        paths: of images or names of samples, [n], each once; row numbers by default.
        root: the folder that paths are relative to.

    Raises:
        DataError: for labels that are neither, or of one class; for paths that are not one per label.
    """
    if isinstance(labels, list):
        given = [one.item() if isinstance(one, np.generic) else one for one in labels]
    else:
        given = np.asarray(labels).tolist()
    if not isinstance(given, list) or not given or not all(isinstance(one, str | int | None) for one in given):
        raise DataError(f"{source.name}: labels must be a list of texts or of whole numbers, one per sample")
    texts = [str(int(one)) if isinstance(one, int) else one or "" for one in given]
    for row, text in enumerate(texts, start=1):
        if not text.strip():
            raise DataError(f"{source.name}: row {row} has no label")
    named = [f"{row:07d}" for row in range(len(texts))] if paths is None else [str(path) for path in paths]
    if len(named) != len(texts) or len(set(named)) != len(named):
        raise DataError(
            f"{source.name}: {len(texts)} labels have {len(set(named))} different ids or paths; one for each"
        )
    names = tuple(sorted(set(texts)))
    if len(names) < 2:
        raise DataError(f"{source.name}: all {len(texts)} labels are '{names[0]}'; two classes are needed")
    root = root or source.parent
    return Samples(
        name=name,
        source=source,
        root=root,
        paths=pa.array(named, pa.string()),
        labels=pc.index_in(pa.array(texts), pa.array(names)).to_numpy().astype(np.int32),
        class_names=names,
        images=Files(root, pa.array([None] * len(named) if paths is None else named, pa.string())),
        rows=np.arange(len(texts)),
    )


def store_labels(samples: Samples, file: Path) -> Samples:
    """Labels that were objects in memory, written to a Parquet table that is their source from now on."""
    with atomic.replacing(file) as temporary:
        pq.write_table(pa.table({"path": samples.paths, "label": samples.label_names()}), temporary)
    return replace(samples, source=file)


def with_classes(samples: Samples, classes: Sequence[str] | None, width: int | None) -> Samples:
    """The samples with class names in the order of the columns of predictions.

    Args:
        samples: with the names that occur, sorted.
        classes: names of the columns; by default the numbers 0, 1, ... where all labels are whole numbers, else the
            names that occur, sorted as texts.
        width: number of columns; None where there are no predictions.

    Raises:
        DataError: when a label is none of the classes, or there are more or fewer columns.
    """
    numbers = all(NUMBER.fullmatch(name) for name in samples.class_names)
    known = samples.class_names
    if classes is not None:
        classes = [str(name) for name in classes]
        if numbers and not set(classes) & set(known):  # whole numbers that count the names
            known = tuple(classes[int(name)] if int(name) < len(classes) else name for name in known)
        names = tuple(classes)
    elif numbers:
        most = max(map(int, known)) + 1
        names = tuple(map(str, range(most if width is None else max(width, most))))
    else:
        names = known
    place = {name: index for index, name in enumerate(names)}
    missing = [name for name in known if name not in place]
    if len(place) != len(names):
        raise DataError("--classes: names a class twice")
    if missing:
        raise DataError(f"the label '{missing[0]}' is none of the {len(names)} classes; see --classes")
    if width is not None and width != len(names):
        raise DataError(
            f"predictions have {width} columns for {len(names)} classes; name the column of each class with --classes"
        )
    labels = np.array([place[name] for name in known], np.int32)[samples.labels]
    return replace(samples, labels=labels, class_names=names)


def opened(samples: Samples) -> tuple[Opened, bool]:
    """The samples as a run lists them, no image decoded; and whether there are images at all.

    A sample without an image has the hash of its path as its content, so that it is like no other.
    """
    digests: list[bytes] = []
    sizes: list[tuple[int | None, int | None]] = []
    paths = iter(samples.paths.to_pylist())
    for chunk in samples.images.chunks(samples.rows, CHUNK):
        for item in chunk:
            encoded = next(paths).encode(errors="surrogateescape")
            size: tuple[int | None, int | None] = (None, None)
            with suppress(Exception):  # there is no file, or an empty one: the sample is no image
                encoded = read_encoded(item)
                size = _size(encoded)
            digests.append(hashlib.sha256(encoded).digest())
            sizes.append(size)
    width, height = zip(*sizes, strict=True)
    columns = [pa.array(digests, pa.binary(32)), pa.array(width, pa.int32()), pa.array(height, pa.int32())]
    files = pa.table(columns, ["sha256", "width", "height"])
    nothing = pa.table({"path": pa.array([], pa.string()), "reason": pa.array([], pa.string())})
    return Opened(samples, np.empty((len(samples), 0)), files, nothing), any(width)


def _size(encoded: bytes) -> tuple[int | None, int | None]:
    """Width and height by the header of an image; nothing of another file."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.size
    except Exception:  # as its readers raise for bytes that are no image
        return None, None
