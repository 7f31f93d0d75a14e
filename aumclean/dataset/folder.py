"""Image folders: `class/image.jpg`, optionally below `train`, `val` and `test`."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean.config import ClassFolder
from aumclean.dataset.samples import Files, Samples
from aumclean.errors import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")


def read_folder(root: Path, *, split: str | None, class_folder: ClassFolder | None) -> Samples:
    """List an image folder; the label of an image is the name of the folder it is in.

    Args:
        root: the folder.
        split: which of its split folders to read; by default `train` when there are split folders.
        class_folder: which folder names the class when folders are nested: the first below the root or the
            last above the image. By default nested folders are refused, since either may be meant.

    Raises:
        DataError: no images, images without a class folder, nested classes, an unknown split.
    """
    notes: list[str] = []
    base = root
    splits = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name.lower() in SPLITS)
    if split is not None:
        if split not in {entry.name for entry in root.iterdir() if entry.is_dir()}:
            known = f"; it has: {', '.join(splits)}" if splits else ", nor any other split folder"
            raise DataError(f"{root}: has no split folder '{split}' (--split){known}")
        base = root / split
    elif splits and len(splits) == _count_folders(root):
        chosen = next((name for name in splits if name.lower().startswith("train")), splits[0])
        base = root / chosen
        notes.append(f"{root} has the splits {', '.join(splits)}; reading '{chosen}' (--split chooses)")

    relative = sorted(_images_below(base))
    for path in relative:
        if not path.isascii() and path != path.encode(errors="replace").decode():
            raise DataError(f"{base}: the name {path!a} is not UTF-8; rename it")
    if not relative:
        raise DataError(f"{base}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    parts = [path.split("/") for path in relative]
    loose = [path for path, folders in zip(relative, parts, strict=True) if len(folders) == 1]
    if len(loose) == len(relative):
        raise DataError(f"{base}: images are directly in it; put each class in a folder, or pass a manifest")
    if loose:
        raise DataError(f"{base / loose[0]}: is in no class folder ({len(loose)} such images); move or remove it")
    if class_folder is None:
        _refuse_nested(base, parts, splits if base == root else [])
    names = [folders[0 if class_folder != "last" else -2] for folders in parts]
    class_names, labels = np.unique(np.array(names, dtype=object), return_inverse=True)
    prefix = "" if base == root else f"{base.name}/"
    return Samples(
        name=root.resolve().name,
        source=root,
        root=root,
        paths=pa.array([prefix + path for path in relative], pa.string()),
        labels=labels.astype(np.int32),
        class_names=tuple(class_names),
        images=Files([base / path for path in relative]),
        rows=np.arange(len(relative)),
        notes=tuple(notes),
    )


def _count_folders(root: Path) -> int:
    return sum(entry.is_dir() and not entry.name.startswith(".") for entry in root.iterdir())


def _images_below(base: Path) -> list[str]:
    found: list[str] = []
    seen = set()  # links may lead back to where they stand
    for folder, subfolders, files in os.walk(base, followlinks=True, onerror=_refuse_closed):
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        inside = Path(folder).relative_to(base).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        found += [
            prefix + name
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
        ]
    return found


def _refuse_closed(error: OSError) -> None:
    """A folder that cannot be looked into would be a class that is silently gone."""
    raise DataError(f"{error.filename}: cannot be read ({(error.strerror or str(error)).lower()})") from None


def _refuse_nested(base: Path, parts: list[list[str]], splits: list[str]) -> None:
    nested = Counter("/".join(folders[:-1]) for folders in parts if len(folders) > 2)
    if nested:
        example = min(nested)
        first, last = example.split("/")[0], example.split("/")[-1]
        if splits:
            raise DataError(f"{base}: has {', '.join(splits)} beside other folders; say --split {splits[0]}")
        raise DataError(
            f"{base / example}: nested folders, so the class may be '{first}' or '{last}'; say --class-folder first "
            f"or --class-folder last ({len(nested)} such folders)"
        )
