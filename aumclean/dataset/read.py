"""DATA, whatever it is, to Samples."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from aumclean.config.scan import ClassFolder, Source
from aumclean.dataset.annotation_tools import read_cvat, read_label_studio
from aumclean.dataset.annotations import annotated
from aumclean.dataset.archives import read_tar, read_zip
from aumclean.dataset.coco import is_coco, read_coco, read_json
from aumclean.dataset.folder import PassedOver, images_below, is_image, read_folder, read_names
from aumclean.dataset.images import Files, Objects
from aumclean.dataset.manifest import HUGGING_FACE_METADATA, lists_images, read_manifest
from aumclean.dataset.samples import Decoding, Samples, ValueRange
from aumclean.dataset.shards import Shards, shards_of
from aumclean.dataset.splits import TRAIN, same_split, split_of
from aumclean.dataset.table import COLUMNAR, TABLE_SUFFIXES
from aumclean.dataset.voc import read_voc, voc_of
from aumclean.dataset.yolo import DATA_FILE, read_yolo
from aumclean.errors import ConfigError, DataError
from aumclean.files.location import (
    Location,
    below,
    exists,
    files_below,
    is_folder,
    location,
    name_of,
    parent_of,
    suffix_of,
)

REMEDIES = {
    **dict.fromkeys((".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"), "unpack it"),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".feather"), "save it as CSV or Parquet"),
}


def read_samples(
    data: Path | str,
    *,
    source: Source | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    root: Path | str | None = None,
    split: str | None = None,
    class_folder: ClassFolder | None = None,
    value_range: ValueRange | None = None,
    max_pixels: int | None = None,
    limit: int | None = None,
    one_class: bool = False,
) -> Samples:
    """List the samples of an image folder, of a manifest, or of shards: Parquet files, tars, zip files; near or far.

    The options are those of `scan`; `one_class` says that a single class will do.

    Raises:
        DataError: when DATA does not exist or cannot serve; also for a single class.
    """
    where, base = location(data), None if root is None else location(root)
    of_annotations = _annotated(_yolo_file(where, source), source, base, split)
    shards = None if of_annotations is not None else shards_of(where, split)
    if of_annotations is None and shards is None and not exists(where):
        raise DataError(f"{where}: no such file or folder")
    notes: tuple[str, ...] = ()
    if of_annotations is not None:
        samples = of_annotations
    elif shards is not None:
        samples = replace(_of_shards(shards, split, class_folder, path_column, label_column), name=shards.name)
        notes = shards.notes
    else:
        manifest, notes = _manifest_of(where, split, source, path_column is not None or label_column is not None)
        if manifest is not None:
            own_split = None if manifest.of_split else split
            samples = read_manifest(
                manifest.file, root=base, split=own_split, path_column=path_column, label_column=label_column
            )
            notes += _unlisted(manifest.file, where, samples)
        elif isinstance(where, str):
            samples = _of_store(where, split, class_folder)
        else:
            samples = read_folder(where, split=split, class_folder=class_folder)
    decoding = Decoding(value_range, max_pixels)
    samples = replace(samples, source=where, notes=(*notes, *samples.notes), decoding=decoding)
    if limit is not None:
        samples = samples.evenly(limit)
    _refuse_unusable(samples, one_class)
    return samples


def _unlisted(manifest: Location, data: Location, samples: Samples) -> tuple[str, ...]:
    """How many images in the folder that is DATA its metadata file does not list."""
    if manifest == data or len(samples) < len(samples.manifest or ()):
        return ()
    folder = parent_of(manifest)
    inside = files_below(folder) if isinstance(folder, str) else images_below(folder, PassedOver())
    images = pa.array([name for name in inside if is_image(name)], pa.string())
    alone = images.filter(pc.invert(pc.is_in(images, value_set=samples.paths.cast(pa.string()))))
    if not len(alone):
        return ()
    return (f"{folder}: {len(alone)} images are not listed in {name_of(manifest)}, such as {pc.min(alone)}",)


def _of_shards(
    shards: Shards,
    split: str | None,
    class_folder: ClassFolder | None,
    path_column: str | None,
    label_column: str | None,
) -> Samples:
    own_split = None if shards.of_split else split
    if shards.kind in COLUMNAR:
        several = shards.files if shards.files != (shards.source,) else ()
        return read_manifest(
            shards.source, shards=several, split=own_split, path_column=path_column, label_column=label_column
        )
    if shards.kind == ".zip":
        return read_zip(shards.source, shards.files, split=own_split, class_folder=class_folder)
    return read_tar(shards.source, shards.files, label_column=label_column, split=own_split, class_folder=class_folder)


def _yolo_file(where: Location, source: Source | None) -> Location:
    """The file in the folder of a YOLO data set that says what it has; else DATA itself."""
    inside = below(where, DATA_FILE)
    return inside if isinstance(inside, Path) and source is None and inside.is_file() else where


def _annotated(where: Location, source: Source | None, root: Location | None, split: str | None) -> Samples | None:
    """The samples that a file of annotations lists, or a folder of them; None when DATA is something else."""
    if source is None and isinstance(where, Path) and (voc := voc_of(where)):
        return annotated(where, read_voc(voc, split), root or where, "voc")
    if suffix_of(where) in {".yaml", ".yml"} and isinstance(where, Path):
        found, own_root = read_yolo(where, split)
        return annotated(where, found, root or own_root, "yolo")
    if suffix_of(where) == ".xml":
        return annotated(where, read_cvat(where), root, "cvat")
    if suffix_of(where) != ".json":
        return None
    document = read_json(where)
    if is_coco(document):
        return annotated(where, read_coco(where, document), root, "coco")
    if not isinstance(document, list) or not any(isinstance(one, dict) and "data" in one for one in document):
        raise DataError(
            f"{where}: is neither COCO nor an export of Label Studio; write a list of labels as .jsonl, an object with "
            "path and label in each line, and convert boxes of other tools to COCO"
        )
    base = root or parent_of(where)
    there = lru_cache(maxsize=None)(lambda path: exists(below(base, path)))
    return annotated(where, read_label_studio(where, document, there), base, "label-studio")


def _of_store(where: str, split: str | None, class_folder: ClassFolder | None) -> Samples:
    """The images in the class folders of a store."""
    found = read_names(where, files_below(where), split=split, class_folder=class_folder)
    paths = pa.array(found.paths, pa.string())
    return found.samples(where, name_of(where), paths, Objects(where, paths))


def _refuse_unusable(samples: Samples, one_class: bool) -> None:
    n = len(samples)
    if len(samples.class_names) < 2 and not one_class:
        said = f"{samples.source}: all {n} images have the label '{samples.class_names[0]}'; two are needed"
        raise DataError(". ".join([said, *samples.notes]))
    files = samples.images
    if isinstance(files, Files) and not any(_exists(files.one(row)) for row in samples.rows.tolist()):
        example = files.one(int(samples.rows[0]))
        picture, mark, _ = str(example).rpartition("#")
        if mark and _exists(Path(picture)):
            said = f"{samples.source}: lists boxes, such as {example}, and not where they are"
            raise DataError(f"{said}; scan the annotations, which aumclean clean corrects")
        raise DataError(f"{samples.source}: none of its {n} images exists (such as {example}); say --root DIR")


def _exists(file: Path | None) -> bool:
    try:
        return file is not None and exists(file)
    except OSError:  # of a file that may not be looked at, decoding says why
        return True


@dataclass(frozen=True)
class _Manifest:
    file: Location
    of_split: bool = False  # it lies in the folder of a split, so that it need not say which


def _manifest_of(
    data: Location, split: str | None, source: Source | None, columns_named: bool
) -> tuple[_Manifest | None, tuple[str, ...]]:
    """The table that lists the samples: DATA itself, or the Hugging Face metadata file in it; None for a folder.

    And a sentence where a folder has both class folders and such a file, so that either may be meant.
    """
    if not is_folder(data):
        if source == "folder":
            raise ConfigError(f"--source folder: {data} is none")
        if suffix_of(data) not in TABLE_SUFFIXES:
            kinds = ", ".join((*TABLE_SUFFIXES, ".tar", ".zip"))
            remedy = REMEDIES.get(suffix_of(data), "pass arrays from Python: aumclean.scan((images, labels))")
            raise DataError(f"{data}: is no folder, table or archive that can be read ({kinds}); {remedy}")
        return _Manifest(data), ()
    if source == "folder":
        return None, ()
    folders = _subfolders(data)
    for name in ("", *sorted(folder for folder in folders if same_split(split or TRAIN, folder))):
        folder = below(data, name)
        found = [file for file in HUGGING_FACE_METADATA if exists(below(folder, file))]
        if len(found) > 1:
            raise DataError(f"{folder}: has {' and '.join(found)}; keep one")
        if not found:
            continue
        manifest = _Manifest(below(folder, found[0]), bool(name))
        splits = sorted(filter(split_of, folders)) if name and split is None else []
        said = (f"{data} has the splits {', '.join(splits)}; reading '{name}' (--split chooses)",) if splits[1:] else ()
        beside = folders if not name else _subfolders(folder)
        if source == "manifest" or columns_named or not beside:
            return manifest, said
        if lists_images(manifest.file):
            return manifest, (*said, f"{data}: labels are those of {found[0]} (--source folder: the folders' names)")
        why = f"{found[0]} lacks a column of paths or of labels"
        return None, (f"{data}: labels are the folders' names, as {why} (--source manifest reads it)",)
    if source == "manifest":
        raise ConfigError(f"--source manifest: {data} has no {' or '.join(HUGGING_FACE_METADATA)}")
    return None, ()


def _subfolders(folder: Location) -> set[str]:
    if isinstance(folder, str):
        return {name.partition("/")[0] for name in files_below(folder) if "/" in name}
    return {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
