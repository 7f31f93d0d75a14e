"""Image folders: `class/image.jpg`, optionally below `train`, `val` and `test`."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from aumclean.config.scan import ClassFolder
from aumclean.dataset.images import Files, Images
from aumclean.dataset.samples import Samples
from aumclean.dataset.splits import TRAIN, same_split, split_of
from aumclean.errors import DataError
from aumclean.files.location import Location, below, is_unseen, walked

NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow knows the name but needs another program to read
LISTS = {".csv", ".json", ".jsonl", ".parquet", ".tsv", ".txt", ".xml", ".yaml"}  # suffixes of what may say the labels
NO_CLASSES = {"annotations", "images", "imgs", "img", "jpegimages", "labels", "masks", "segmentationclass"}
UNREAD_KINDS = {".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".svg"}  # images, but not to Pillow
UNSEEN_FILES = {".ds_store", "desktop.ini", "thumbs.db"}  # of systems; nobody misses them
NUMBER = re.compile(r"\d+")


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of all kinds of images that this Pillow reads, in small letters."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in Image.OPEN and kind not in NO_PICTURES)


def is_image(name: str) -> bool:
    """Whether a file is an image by its name."""
    return os.path.splitext(name)[1].lower() in image_suffixes()  # noqa: PTH122


@dataclass
class PassedOver:
    """What lies in a folder and is not read, so that it can be said.

    Attributes:
        kinds: how many files of each kind are no images.
        latest: one of each kind.
        folders: how many folders of each name were not entered: hidden ones, and those of systems.
        links: folders that are links to what is read already.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    latest: dict[str, str] = field(default_factory=dict)
    folders: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)

    def file(self, name: str) -> None:
        """Count a file that is not read."""
        if name.lower() not in UNSEEN_FILES:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
            kind = "hidden" if name.startswith(".") else suffix or "without a suffix"
            self.kinds[kind] += 1
            self.latest[kind] = name

    def notes(self, base: Location) -> list[str]:
        """What was passed over, as sentences."""
        notes = []
        ranked = sorted(self.kinds.items(), key=lambda kind: (-kind[1], kind[0]))
        if kinds := [kind for kind in ranked if kind[0] not in UNREAD_KINDS]:
            single = {kind: f" ({self.latest[kind]})" for kind, count in kinds if kind in LISTS and count == 1}
            counted = ", ".join(f"{count:,} {kind}{single.get(kind, '')}" for kind, count in kinds[:12])
            more = sum(count for _, count in kinds[12:])
            notes.append(f"{base}: passed over files that are no images: {counted}{f' and {more:,} more' * bool(more)}")
        if unread := [f"{count:,} {kind}" for kind, count in ranked if kind in UNREAD_KINDS]:
            notes.append(
                f"{base}: passed over images that cannot be decoded: {', '.join(unread)}; convert them to JPEG or PNG"
            )
        if self.folders:
            named = ", ".join(f"{name} ({count})" for name, count in sorted(self.folders.items())[:12])
            notes.append(f"{base}: passed over hidden and system folders: {named}")
        if self.links:
            notes.append(f"{base}: passed over links to folders that are read already: {listed(self.links)}")
        return notes


def listed(names: list[str], most: int = 10) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


@dataclass(frozen=True)
class Named:
    """The images among some files, with the labels that their folders are.

    Attributes:
        rows: their positions among all files, int64, in the order of their names.
        paths: their names, in that order.
        labels: int32, index into `class_names`.
        class_names: sorted.
        notes: what there is to say.
    """

    rows: np.ndarray
    paths: list[str]
    labels: np.ndarray
    class_names: tuple[str, ...]
    notes: tuple[str, ...]

    def samples(self, source: Location, name: str, paths: pa.Array, images: Images) -> Samples:
        """The samples with these labels; `paths` and `images` are in the same order."""
        return Samples(
            name=name,
            source=source,
            root=source,
            paths=paths,
            labels=self.labels,
            class_names=self.class_names,
            images=images,
            rows=np.arange(len(paths)),
            notes=self.notes,
        )


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
    chosen, splits, notes = split_folder(root, folders_in(root), split, class_folder)
    base, passed = root / chosen, PassedOver()
    if chosen:
        notes += _beside_splits(root, [entry.name for entry in root.iterdir() if entry.is_file()])
    relative = sorted(images_below(base, passed))
    found = _labeled(base, relative, passed, folders_in(base), class_folder, [] if chosen else splits, notes)
    prefix = f"{chosen}/" if chosen else ""
    paths = pa.array([prefix + path for path in relative], pa.string())
    return found.samples(root, root.resolve().name, paths, Files(root, paths))


def read_names(where: Location, names: list[str], *, split: str | None, class_folder: ClassFolder | None) -> Named:
    """The same of files of which only the names are known: those in an archive, or in a store.

    Args:
        where: what they are in, for messages.
        names: POSIX paths below it; a slash at the end says that it is a folder.
        split, class_folder: as in `read_folder`.

    Raises:
        DataError: as `read_folder`.
    """
    tops = {name.partition("/")[0] for name in names if "/" in name}
    chosen, splits, notes = split_folder(where, tops, split, class_folder)
    prefix, passed = f"{chosen}/" if chosen else "", PassedOver()
    if chosen:
        notes += _beside_splits(where, [name for name in names if "/" not in name])
    kept: list[int] = []
    for row, name in enumerate(names):
        folders = name.split("/")
        unseen = next((folder for folder in folders[:-1] if is_unseen(folder)), None)
        if not folders[-1] or not name.startswith(prefix):
            continue
        if unseen is not None:
            passed.folders[unseen] += 1
        elif is_image(name) and not folders[-1].startswith("."):
            kept.append(row)
        else:
            passed.file(folders[-1])
    kept.sort(key=names.__getitem__)  # a name may be there twice, in two archives
    relative = [names[row].removeprefix(prefix) for row in kept]
    inside = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    classes = {top for top, slash, _ in (name.partition("/") for name in inside) if slash and not is_unseen(top)}
    found = _labeled(below(where, chosen), relative, passed, classes, class_folder, [] if chosen else splits, notes)
    return replace(found, rows=np.array(kept, np.int64), paths=[prefix + path for path in relative])


def _labeled(
    base: Location,
    relative: list[str],
    passed: PassedOver,
    folders: set[str],
    class_folder: ClassFolder | None,
    splits: list[str],
    notes: list[str],
) -> Named:
    """The labels of images by their paths below `base`, which are sorted; `notes` is what there was to say before."""
    notes = [*notes, *passed.notes(base)]
    require_utf8(base, relative)
    if not relative:
        if passed.kinds:
            notes.append("Unpack or convert them, or pass arrays from Python: aumclean.scan((images, labels))")
        raise DataError(". ".join([f"{base}: holds no images", *notes]))
    loose = [path for path in relative if "/" not in path]
    if len(loose) == len(relative):
        said = f"{base}: images are directly in it; put each class in a folder, or pass a file that lists their labels"
        raise DataError(". ".join([said, *notes]))
    if loose:
        where = below(base, loose[0])
        raise DataError(f"{where}: is in no class folder ({len(loose)} such images); move or remove it")
    if class_folder is None:
        _refuse_nested(base, relative, splits)
    if class_folder == "first":
        notes += _parts(base, relative)
    if empty := sorted(folders - {path.partition("/")[0] for path in relative}):
        notes.append(f"{base}: class folders without an image: {listed(empty)}")
    classes = (path.split("/")[0 if class_folder != "last" else -2] for path in relative)
    labels, class_names = numbered(classes, len(relative))
    if class_folder is None and {name.casefold() for name in class_names} <= NO_CLASSES:
        named = " and ".join(class_names)
        remedy = "pass the file that lists the labels (a table, COCO, YOLO's data.yaml), or say --class-folder first"
        raise DataError(". ".join([f"{base}: images are in {named}, hardly the names of classes; {remedy}", *notes]))
    notes += _splits_in_classes(base, relative, class_names)
    return Named(np.arange(len(relative)), relative, labels, class_names, tuple(notes))


def require_utf8(where: object, names: Iterable[str]) -> None:
    """Refuse names that no table and no file of UTF-8 can hold, as Python reads those of other encodings.

    Raises:
        DataError: for the first such name.
    """
    for name in names:
        if not name.isascii() and name != name.encode(errors="replace").decode():
            raise DataError(f"{where}: the name {name!a} is not UTF-8; rename it")


def _splits_in_classes(base: Location, relative: list[str], class_names: tuple[str, ...]) -> list[str]:
    """What is called like a split and read all the same, as sentences."""
    notes = []
    if strange := list(filter(split_of, class_names)):
        notes.append(f"{base}: the folders {listed(strange)} are read as classes, though they are called like splits")
    inner = {folder for path in relative if path.count("/") > 1 for folder in path.split("/")[:-1]}
    merged = sorted(set(filter(split_of, inner)) - set(class_names))
    if len(merged) > 1:
        notes.append(f"{base}: the splits {listed(merged)} are read as one")
    return notes


def numbered(names: Iterable[str], count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The names of so many classes as numbers, int32 [count], and the different ones, sorted."""
    seen: dict[str, int] = {}
    labels = np.fromiter((seen.setdefault(name, len(seen)) for name in names), np.int32, count)
    ordered = sorted(seen)
    place = np.empty(len(seen), np.int32)
    place[[seen[name] for name in ordered]] = np.arange(len(seen), dtype=np.int32)
    return place[labels], tuple(ordered)


def split_folder(
    where: Location, folders: set[str], split: str | None, class_folder: ClassFolder | None
) -> tuple[str, list[str], list[str]]:
    """The folder that has the class folders ("" for all), the names of all split folders, and what there is to say."""
    names = sorted(name for name in folders if not is_unseen(name))
    splits = [name for name in names if split_of(name)]
    if split is None and (not splits or len(splits) < len(names)):
        return "", splits, []
    asked = split or (TRAIN if any(split_of(name) == TRAIN for name in splits) else splits[0])
    parts = [name for name in names if name == split] or [name for name in names if same_split(asked, name)]
    if not parts:
        known = f"; it has: {', '.join(splits)}" if splits else ", nor any other split folder"
        raise DataError(f"{where}: has no split folder '{split}' (--split){known}")
    if parts[1:] and parts == names:
        if class_folder == "last":
            return "", [], []
        raise DataError(
            f"{where}: {listed(parts)} are one split; --class-folder last reads all, --split NAME one of them"
        )
    if parts[1:]:
        raise DataError(f"{where}: {listed(parts)} are one split; name one of them with --split, or put them together")
    said = f"{where} has the splits {', '.join(splits)}; reading '{parts[0]}' (--split chooses)"
    return parts[0], splits, [said] if split is None else []


def _beside_splits(where: Location, files: list[str]) -> list[str]:
    """What files lie beside the split folders, as sentences."""
    images, passed = 0, PassedOver()
    for name in files:
        if is_image(name) and not name.startswith("."):
            images += 1
        else:
            passed.file(name)
    said = [f"{where}: {images} images are in none of its split folders; they are not read"] if images else []
    return said + passed.notes(where)


def folders_in(root: Path) -> set[str]:
    """Names of the folders in a folder that are read: neither hidden nor of a system."""
    return {entry.name for entry in root.iterdir() if entry.is_dir() and not is_unseen(entry.name)}


def images_below(base: Path, passed: PassedOver) -> list[str]:
    """The images in a folder, relative and POSIX, in no order; what else is there is counted."""
    found: list[str] = []
    for prefix, subfolders, files in walked(base, passed.links):
        passed.folders.update(name for name in subfolders if is_unseen(name))
        subfolders[:] = sorted(name for name in subfolders if not is_unseen(name))
        for name in files:
            if is_image(name) and not name.startswith("."):
                found.append(prefix + name)
            else:
                passed.file(name)
    return found


def _parts(base: Location, relative: list[str]) -> list[str]:
    """That the first folders seem to be parts of one set, as a sentence; none where they do not."""
    inside: dict[str, set[str]] = {}
    for path in relative:
        first, *folders, _ = path.split("/")
        if len(folders) != 1:
            return []
        inside.setdefault(first, set()).update(folders)
    names = set().union(*inside.values())
    shared = sum(map(len, inside.values())) > len(inside) * len(names) / 2
    numbered = len(inside) > 1 and len({NUMBER.sub("", first) for first in inside}) == 1
    if not (numbered and shared and len(names) > 1) or all(map(split_of, names)):
        return []
    said = f"{base}: {listed(sorted(inside))} differ by a number alone and hold the same folders, as parts of a set do"
    return [f"{said}; --class-folder last takes these for the classes"]


def _refuse_nested(base: Location, relative: list[str], splits: list[str]) -> None:
    nested = Counter(path.rpartition("/")[0] for path in relative if path.count("/") > 1)
    if nested:
        example = min(nested)
        first, last = example.split("/")[0], example.split("/")[-1]
        if splits:
            raise DataError(f"{base}: has {', '.join(splits)} beside other folders; say --split {splits[0]}")
        said = (
            f"{below(base, example)}: nested folders, so the class may be '{first}' or '{last}'; say "
            f"--class-folder first or --class-folder last ({len(nested)} such folders)"
        )
        raise DataError(". ".join([said, *_parts(base, relative)]))
