"""DATA, whatever it is, to Samples."""

import errno
from dataclasses import replace
from pathlib import Path

from aumclean.config import ClassFolder, expanded
from aumclean.dataset.folder import read_folder
from aumclean.dataset.manifest import HUGGING_FACE_METADATA, TABLE_SUFFIXES, read_manifest
from aumclean.dataset.samples import Files, Samples
from aumclean.errors import DataError


def read_samples(
    data: Path,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    root: Path | None = None,
    split: str | None = None,
    class_folder: ClassFolder | None = None,
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
    manifest = _manifest_of(data, split)
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
    samples = replace(samples, source=data)
    if limit is not None:
        samples = samples.evenly(limit)
    if len(samples.class_names) < 2 and not one_class:
        raise DataError(f"{data}: all {len(samples)} images have the label '{samples.class_names[0]}'; two are needed")
    if isinstance(samples.images, Files) and not any(_exists(samples.images.locations[row]) for row in samples.rows):
        example = samples.images.locations[samples.rows[0]]
        raise DataError(f"{data}: none of its {len(samples)} images exists (such as {example}); say --root DIR")
    return samples


def _exists(file: Path | None) -> bool:
    try:
        return file is not None and file.exists()
    except OSError as error:  # of a file that may not be looked at, decoding says why
        return error.errno != errno.ENAMETOOLONG


def _manifest_of(data: Path, split: str | None) -> Path | None:
    """The table that lists the samples: DATA itself, or the Hugging Face metadata file in it; None for a folder."""
    if not data.is_dir():
        if data.suffix.lower() not in TABLE_SUFFIXES:
            raise DataError(f"{data}: is neither a folder nor a table ({', '.join(TABLE_SUFFIXES)})")
        return data
    for folder in (data, *(entry for entry in data.iterdir() if entry.name == (split or "train"))):
        found = [folder / name for name in HUGGING_FACE_METADATA if (folder / name).is_file()]
        if len(found) > 1:
            raise DataError(f"{folder}: has {' and '.join(file.name for file in found)}; keep one")
        if found:
            return found[0]
    return None
