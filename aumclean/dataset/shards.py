"""Shards: Parquet, Arrow, tar and zip files; one, a folder of them, or a pattern such as `train-{000..009}.tar`."""

import itertools
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from aumclean.dataset.folder import PassedOver, is_image, listed
from aumclean.dataset.splits import TRAIN, same_split, split_of
from aumclean.dataset.table import COLUMNAR
from aumclean.errors import DataError
from aumclean.files.location import Location, below, files_below, is_folder, name_of, parent_of, suffix_of

KINDS = (*COLUMNAR, ".tar", ".zip")
METADATA = "metadata.parquet"  # lists the images of a folder
OF_DATASETS = {"dataset_dict.json", "dataset_info.json", "state.json"}  # of save_to_disk: what the Arrow files say too
LOOKED_AT = 200  # entries of a folder, to see of what kind it is
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_WORDS = re.compile(r"[^A-Za-z]+")


@dataclass(frozen=True)
class Shards:
    """The parts of a data set.

    Attributes:
        source: DATA itself.
        kind: the suffix of all files.
        files: in the order of their names.
        of_split: whether the files were chosen by the split in their names, so that it need not be looked for inside.
        notes: what there is to say.
    """

    source: Location
    kind: str
    files: tuple[Location, ...]
    of_split: bool
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """A short name for the data, without the marks of a pattern."""
        stem = name_of(self.source).removesuffix(self.kind)
        return re.sub(r"[^\w.]+", "-", stem).strip("-") or name_of(parent_of(self.source))


def shards_of(data: Location, split: str | None) -> Shards | None:
    """The shards that DATA names; None when it is something else.

    Raises:
        DataError: for a pattern without a file, files of several kinds, or a split that no file is of.
    """
    named = _named(data)
    if named is None:
        return None
    base, names = named
    kinds = sorted({suffix_of(name) for name in names})
    if not names or not set(kinds) <= set(KINDS):
        raise DataError(f"{data}: names no shards ({', '.join(KINDS)})")
    if len(kinds) > 1:
        raise DataError(
            f"{data}: has files of several kinds ({', '.join(kinds)}); name one with a pattern such as '*.tar'"
        )
    in_folder = base == data
    chosen, of_split, notes = _of_split(data, names, split) if len(names) > 1 or in_folder else (names, False, ())
    if in_folder:
        notes = (*notes, *_of_folders(data, chosen), *_besides(data, names))
    return Shards(data, kinds[0], tuple(below(base, name) for name in chosen), of_split, notes)


def _of_folders(data: Location, chosen: list[str]) -> list[str]:
    """What folders `name=value` say; and where shards of several others are read, which may be of several data sets."""
    columns, folders = set[str](), set[str]()
    for folder in {name.rpartition("/")[0] for name in chosen}:
        names = [part for part in folder.split("/") if "=" in part and not split_of(part)]
        columns |= {name.partition("=")[0] for name in names}
        folders.add("/".join(part for part in folder.split("/") if part not in names) or ".")
    notes = [f"{data}: the names of its folders say {listed(sorted(columns))}"] if columns else []
    several = f"{data}: reads the files of {len(folders)} folders as one: {listed(sorted(folders))}"
    return [*notes, several] if len(folders) > 1 else notes


def _besides(data: Location, shards: list[str]) -> list[str]:
    """What else lies in a folder of shards, as sentences."""
    passed = PassedOver()
    for name in sorted(set(files_below(data)) - set(shards)):
        if not any(map(_is_hidden, name.split("/")[:-1])) and name_of(name) not in OF_DATASETS:
            passed.file(name_of(name))
    return passed.notes(data)


def _is_pattern(name: str) -> bool:
    return bool(_BRACES.search(name)) or any(mark in name for mark in "*?[")


def _named(data: Location) -> tuple[Location, list[str]] | None:
    """A folder, which is DATA itself or that of a file or a pattern, and paths below it; None for something else."""
    name, folder = name_of(data), parent_of(data)
    if isinstance(data, Path) and data.exists():
        if not data.is_dir():
            return (folder, [name]) if suffix_of(data) in (".tar", ".zip") else None
        return (data, _in_folder(data)) if _has_shards(data) else None
    if _is_pattern(name):
        return folder, _matching(data, name)
    if isinstance(data, str):
        if suffix_of(data) in (".tar", ".zip"):
            return folder, [name]
        if is_folder(data):
            files = files_below(data)
            shards = [file for file in files if suffix_of(file) in KINDS and name_of(file) != METADATA]
            return (data, shards) if shards and not any(map(is_image, files)) else None
    return None


def _matching(data: Location, pattern: str) -> list[str]:
    if found := _BRACES.search(pattern):
        first, last = found[1], found[2]
        width = len(first)
        numbers = (str(number).zfill(width) for number in range(int(first), int(last) + 1))
        return [pattern.replace(found[0], number) for number in numbers]
    folder = parent_of(data)
    names = files_below(folder) if isinstance(folder, str) else [entry.name for entry in folder.glob("*")]
    matching = sorted(name for name in names if fnmatchcase(name, pattern))
    if not matching:
        raise DataError(f"{data}: no file is called so")
    return matching


def _has_shards(folder: Path) -> bool:
    """Whether a folder holds shards, at the top or one folder below, and no images beside them."""
    names = _some(folder, 1)
    return any(suffix_of(name) in KINDS for name in names) and not any(map(is_image, names))


def _some(folder: Path, deep: int) -> list[str]:
    """Names of some entries, so many folders deep; those called `name=value` do not count."""
    with suppress(OSError), os.scandir(folder) as entries:  # whoever reads it as a folder of images says why
        found = [entry for entry in itertools.islice(entries, LOOKED_AT) if entry.name != METADATA]
        names = [entry.name for entry in found]
        for entry in found:
            if entry.is_dir() and not entry.name.startswith(".") and (deep or "=" in entry.name):
                names += _some(folder / entry.name, deep - ("=" not in entry.name))
        return names
    return []


def _in_folder(folder: Path) -> list[str]:
    return [
        name
        for name in files_below(folder)
        if suffix_of(name) in KINDS
        and name_of(name) != METADATA
        and not any(map(_is_hidden, name.split("/")))
        and not (suffix_of(name) == ".arrow" and name_of(name).startswith("cache-"))  # of `datasets`, beside its own
    ]


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _of_split(data: Location, names: list[str], split: str | None) -> tuple[list[str], bool, tuple[str, ...]]:
    """The files of one split, by the first word or folder of their names that is one: `data/train-00000-of-00002`."""
    words = {name: _split_word(name) for name in names}
    known = sorted({word for word in words.values() if word is not None})
    if not known or (split is None and not any(split_of(word) == TRAIN for word in known)):
        return names, False, ()
    chosen = [name for name, word in words.items() if word is not None and same_split(split or TRAIN, word)]
    if not chosen:
        raise DataError(f"{data}: no file is of the split '{split}' (--split); it has: {', '.join(known)}")
    if split is not None or len(chosen) == len(names):
        return chosen, True, ()
    others = ", ".join(known) + (" and files of none" if None in words.values() else "")
    return chosen, True, (f"{data} has the splits {others}; reading '{TRAIN}' (--split chooses)",)


def _split_word(name: str) -> str | None:
    *folders, file = name.split("/")
    parts = [*folders, *_WORDS.split(file.partition(".")[0])[:1]]
    return next((part for part in parts if split_of(part)), None)
