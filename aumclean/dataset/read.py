"""DATA, whatever it is, to Samples."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from aumclean.config import ClassFolder, Source, expanded
from aumclean.dataset.folder import read_folder
from aumclean.dataset.manifest import HUGGING_FACE_METADATA, is_ours, read_manifest
from aumclean.dataset.samples import Decoding, Files, Samples, ValueRange
from aumclean.dataset.splits import TRAIN, same_split
from aumclean.dataset.table import TABLE_SUFFIXES
from aumclean.errors import ConfigError, DataError


def read_samples(
    data: Path,
    *,
    source: Source | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    root: Path | None = None,
    split: str | None = None,
    class_folder: ClassFolder | None = None,
    value_range: ValueRange | None = None,
    max_pixels: int | None = None,
    limit: int | None = None,
    one_class: bool = False,
) -> Samples:
    """List the samples of an image folder, a Hugging Face image folder, or a manifest.

    The options are those of `scan`; `one_class` says that a single class will do.

    Raises:
        DataError: when DATA does not exist or cannot serve; also for a single class.
    """
    data = expanded(data)
    if not data.exists():
        raise DataError(f"{data}: no such file or folder")
    manifest, notes = _manifest_of(data, split, source, path_column, label_column)
    if manifest is None:
        samples = read_folder(data, split=split, class_folder=class_folder)
    else:
        in_split_folder = manifest.parent != data and data.is_dir()
        samples = read_manifest(
            manifest,
            path_column=path_column,
            label_column=label_column,
            root=root,
            split=None if in_split_folder else split,
        )
    decoding = Decoding(value_range, max_pixels)
    samples = replace(samples, source=data, notes=(*notes, *samples.notes), decoding=decoding)
    if limit is not None:
        samples = samples.evenly(limit)
    if len(samples.class_names) < 2 and not one_class:
        raise DataError(f"{data}: all {len(samples)} images have the label '{samples.class_names[0]}'; two are needed")
    if isinstance(samples.images, Files) and not any(map(_exists, _each(samples.images, samples.rows))):
        example = samples.images.one(int(samples.rows[0]))
        raise DataError(f"{data}: none of its {len(samples)} images exists (such as {example}); say --root DIR")
    return samples


def _each(files: Files, rows: np.ndarray) -> Iterator[Path | None]:
    return map(files.one, rows.tolist())


def _exists(file: Path | None) -> bool:
    try:
        return file is not None and file.exists()
    except OSError as error:  # of a file that may not be looked at, decoding says why
        return error.errno != errno.ENAMETOOLONG


def _manifest_of(
    data: Path, split: str | None, source: Source | None, path_column: str | None, label_column: str | None
) -> tuple[Path | None, tuple[str, ...]]:
    """The table that lists the samples: DATA itself, or the Hugging Face metadata file in it; None for a folder.

    And a sentence where a folder has both class folders and such a file, so that either may be meant.
    """
    if not data.is_dir():
        if source == "folder":
            raise ConfigError(f"--source folder: {data} is none")
        if data.suffix.lower() not in TABLE_SUFFIXES:
            raise DataError(f"{data}: is neither a folder nor a table ({', '.join(TABLE_SUFFIXES)})")
        return data, ()
    if source == "folder":
        return None, ()
    of_split = (entry for entry in data.iterdir() if entry.is_dir() and same_split(split or TRAIN, entry.name))
    for folder in (data, *sorted(of_split)):
        found = [folder / name for name in HUGGING_FACE_METADATA if (folder / name).is_file()]
        if len(found) > 1:
            raise DataError(f"{folder}: has {' and '.join(file.name for file in found)}; keep one")
        if not found:
            continue
        beside = any(entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir())
        if source == "manifest" or path_column or label_column or not beside:
            return found[0], ()
        if is_ours(found[0]):
            return found[0], (f"{data}: labels are those of {found[0].name} (--source folder: the folders' names)",)
        why = f"{found[0].name} lacks a column of paths or of labels"
        return None, (f"{data}: labels are the folders' names, as {why} (--source manifest reads it)",)
    if source == "manifest":
        raise ConfigError(f"--source manifest: {data} has no {' or '.join(HUGGING_FACE_METADATA)}")
    return None, ()
