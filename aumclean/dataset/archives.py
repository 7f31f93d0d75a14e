"""Archives: zip files and tars of class folders, and WebDataset tars, where files of one name are one sample."""

import json
import tarfile
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from aumclean.config.scan import ClassFolder
from aumclean.dataset.folder import Named, PassedOver, is_image, listed, numbered, read_names, require_utf8
from aumclean.dataset.images import Archived, Zipped
from aumclean.dataset.manifest import LABEL_COLUMNS, refuse_repeated
from aumclean.dataset.one_label import ONE_LABEL, refuse_joined, refuse_no_numbers
from aumclean.dataset.samples import Samples
from aumclean.errors import DataError
from aumclean.files.location import Location, name_of, opened, reaching

LABEL_SUFFIXES = ("cls", "json", "txt")  # in this order, when a sample has several
LARGEST_LABEL = 1 << 20  # bytes
PADDING = 1 << 20  # bytes at the end of a tar that are looked at; 10,240 are usual


@dataclass
class _Members:
    """The files in tars, as columns.

    Attributes:
        names: as they are called in there.
        shard, offset, length: where they are.
        texts: what the small files that may be labels hold, by position.
        folders: with a slash at the end.
        links: images that are links to other members.
    """

    names: list[str] = field(default_factory=list)
    shard: "array[int]" = field(default_factory=lambda: array("i"))
    offset: "array[int]" = field(default_factory=lambda: array("q"))
    length: "array[int]" = field(default_factory=lambda: array("q"))
    texts: dict[int, bytes] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def read_zip(
    source: Location, files: Sequence[Location], *, split: str | None, class_folder: ClassFolder | None
) -> Samples:
    """List the images of zip files; their folders in there are the labels, as in an image folder.

    Args:
        source: DATA itself.
        files: the archives.
        split, class_folder: as in `read_folder`.

    Raises:
        DataError: for an archive that cannot be read, and as `read_folder`.
    """
    names, shard = [], []
    for number, file in enumerate(files):
        with _blaming(file), opened(file) as stream, zipfile.ZipFile(stream) as archive:
            inside = [one.filename for one in archive.infolist()]
        names += inside
        shard += [number] * len(inside)
    shown = _without_top([name.replace("\\", "/") for name in names])  # as some programs of Windows write them
    found = read_names(source, shown, split=split, class_folder=class_folder)
    rows = found.rows
    stored = pa.array([names[row] for row in rows], pa.string())
    paths = _told_apart(found.paths, [files[shard[row]] for row in rows])
    images = Zipped(tuple(files), np.array(shard, np.int32)[rows], stored)
    samples = found.samples(source, Path(name_of(source)).stem, paths, images)
    refuse_repeated(source, samples)
    return samples


def read_tar(
    source: Location,
    files: Sequence[Location],
    *,
    label_column: str | None,
    split: str | None,
    class_folder: ClassFolder | None,
) -> Samples:
    """List the images of tars: as WebDataset has them, with `.cls`, `.json` or `.txt` beside each, or in class folders.

    Args:
        source: DATA itself.
        files: the archives.
        label_column: the key of `.json` files that is the label; found by its usual names when not given.
        split, class_folder: as in `read_folder`, for tars of class folders.

    Raises:
        DataError: for an archive that cannot be read, an image without a label or with several, and as `read_folder`.
    """
    members = _Members()
    for number, file in enumerate(files):
        with _blaming(file), opened(file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            _index(archive, number, members)
            _require_whole(file, stream, archive.offset)
    found = _webdataset(source, members, label_column)
    if found is None:
        inside = _without_top([*members.names, *members.folders])
        found = read_names(source, inside, split=split, class_folder=class_folder)
    if members.links:
        said = (
            f"{source}: {len(members.links)} images are links to others, such as {members.links[0]}; they are not read"
        )
        found = replace(found, notes=(*found.notes, f"{said} (tar --hard-dereference stores them whole)"))
    shard, offset, length = (np.array(column)[found.rows] for column in (members.shard, members.offset, members.length))
    paths = _told_apart(found.paths, [files[number] for number in shard])
    images = Archived(tuple(files), shard, offset, length)
    samples = found.samples(source, Path(name_of(source)).stem, paths, images)
    refuse_repeated(source, samples)
    return samples


def _index(archive: tarfile.TarFile, shard: int, members: _Members) -> None:
    for one in archive:
        archive.members = []  # type: ignore[attr-defined] # of millions tarfile would keep all
        name = one.name.removeprefix("./")
        if one.isdir() and name != ".":
            members.folders.append(f"{name}/")
        if (one.islnk() or one.issym()) and is_image(name):
            members.links.append(name)
        if not one.isfile():
            continue
        suffix = name.rsplit(".", 1)[-1].lower()
        if suffix in LABEL_SUFFIXES and one.size <= LARGEST_LABEL and "." in name.rsplit("/", 1)[-1]:
            stream = archive.extractfile(one)
            assert stream is not None
            members.texts[len(members.names)] = stream.read()
        members.names.append(name)
        members.shard.append(shard)
        members.offset.append(one.offset_data)
        members.length.append(one.size)


def _require_whole(file: Location, stream: BinaryIO, end: int) -> None:
    """Refuse a tar that goes on behind what could be listed: cut off, damaged, or several put together."""
    stream.seek(end)
    if any(stream.read(PADDING)):
        raise DataError(f"{file}: is damaged or cut off at byte {end:,}, or several put together; make it anew")


def _webdataset(source: Location, members: _Members, label_column: str | None) -> Named | None:
    """The images in the order of their names, labeled by the files beside them; None when none has a label there."""
    if not members.texts:
        return None
    labels: dict[tuple[int, str], tuple[int, bytes, str]] = {}
    images: dict[tuple[int, str], int] = {}
    passed = PassedOver()
    for row, name in enumerate(members.names):
        folder, _, base = name.rpartition("/")
        stem, _, kind = base.partition(".")
        key, kind = (members.shard[row], f"{folder}/{stem}".lstrip("/")), kind.lower()
        if base.startswith("."):
            passed.file(base)
        elif is_image(name):
            if key in images:
                raise DataError(f"{source}: the sample '{key[1]}' has several images; one is needed")
            images[key] = row
        elif row in members.texts and kind in LABEL_SUFFIXES:
            rank = LABEL_SUFFIXES.index(kind)
            if key not in labels or rank < labels[key][0]:
                labels[key] = (rank, members.texts[row], name)
        else:
            passed.file(base)
    if not set(images) & set(labels):
        return None
    missing = sorted(set(images) - set(labels))
    if missing:
        raise DataError(
            f"{source}: {len(missing)} samples have no .cls, .json or .txt with a label, such as {missing[0][1]}"
        )
    notes = passed.notes(source)
    if alone := sorted(set(labels) - set(images)):
        notes.append(f"{source}: {len(alone)} labels are of no image that can be read, such as {alone[0][1]}")
    ordered = sorted(images, key=lambda key: (key[0], members.names[images[key]]))
    names = [_label(source, *labels[key][1:], label_column) for key in ordered]
    rows = [images[key] for key in ordered]
    paths = [members.names[row] for row in rows]
    require_utf8(source, [*paths, *names])
    numbers, class_names = numbered(names, len(names))
    refuse_joined(source, "the list of its labels", class_names)
    refuse_no_numbers(source, pa.array(names, pa.string()), "its labels")
    return Named(np.array(rows, np.int64), paths, numbers, class_names, tuple(notes))


def _label(source: Location, content: bytes, name: str, label_column: str | None) -> str:
    try:
        text = content.decode("utf-8-sig").strip()
        value: Any = json.loads(text) if name.lower().endswith(".json") else text
    except (ValueError, RecursionError):
        raise DataError(f"{source}: {name} is not {'JSON' if name.lower().endswith('.json') else 'UTF-8'}") from None
    if isinstance(value, dict):
        known = [label_column] if label_column else [key for key in value if key.strip().casefold() in LABEL_COLUMNS]
        if len(known) != 1 or known[0] not in value:
            keys = listed(sorted(value))
            raise DataError(f"{source}: {name}: say which of its keys is the label with --label-column: {keys}")
        value = value[known[0]]
    if isinstance(value, list):
        raise DataError(f"{source}: {name} has several labels; {ONE_LABEL}")
    if value is None or isinstance(value, dict) or not str(value).strip():
        raise DataError(f"{source}: {name} has no label")
    return str(value)


def _without_top(names: list[str]) -> list[str]:
    """The names without the one folder that an archive of a folder has on top."""
    tops = {name.partition("/")[0] for name in names if not name.startswith("__MACOSX/")}
    nested = all(name.count("/") > 1 for name in names if is_image(name) and not name.startswith("__MACOSX/"))
    if len(tops) != 1 or not nested:
        return names
    top = f"{tops.pop()}/"
    return [name.removeprefix(top) for name in names]


def _told_apart(names: list[str], files: list[Location]) -> pa.Array:
    """The names of images; after that of their archive where some would be the same."""
    if len(set(names)) < len(names):
        names = [f"{name_of(file)}/{name}" for file, name in zip(files, names, strict=True)]
    return pa.array(names, pa.string())


@contextmanager
def _blaming(file: Location) -> Iterator[None]:
    try:
        with reaching(file):
            yield
    except (tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError, OSError) as error:
        packed = (
            " (a compressed tar cannot be read in parts: unpack it)" if isinstance(error, tarfile.ReadError) else ""
        )
        raise DataError(f"{file}: is not a readable archive ({' '.join(str(error).split())}){packed}") from None
