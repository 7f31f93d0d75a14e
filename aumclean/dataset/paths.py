"""Paths as tables and annotation files write them, made relative to the root of the data."""

import os.path
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import DataError
from aumclean.files.location import Location

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
_ODD = r"^/|(^|/)\.{0,2}(/|$)|[\\:\x00]"  # absolute, with empty or dotted parts, of Windows, an address


def of_elsewhere(file: Location, paths: pa.Array, rows: np.ndarray, root: Location) -> tuple[pa.Array, tuple[str, ...]]:
    """Absolute paths of another machine, from where the root is in them; the others as they are; what there is to say.

    As much is left out in front of each as makes the first one a file below the root.
    """
    first = str(paths[int(rows[0])]).replace("\\", "/") if len(rows) else ""
    if isinstance(root, str) or not _ABSOLUTE.match(first) or is_there(first):
        return paths, ()
    cuts = (cut.end() for cut in re.finditer("/", first))
    start = next((cut for cut in cuts if is_there(os.path.join(root, first[cut:]))), None)  # noqa: PTH118
    if start is None or start == len(first):
        return paths, ()
    slashed = pc.replace_substring(paths, "\\", "/")
    inside = pc.starts_with(slashed, first[:start])
    cut = pc.utf8_slice_codeunits(slashed, start)
    return pc.if_else(inside, cut, paths), (f"{file}: {first[:start]} of another machine is taken for {root}",)


def inside_root(file: Location, paths: pa.StringArray, rows: np.ndarray, root: Location) -> pa.StringArray:
    """Normal POSIX paths relative to the root as the files are spelled there, null outside of `rows`.

    A path that leaves the root is refused: the manifest may be a stranger's.
    """
    if len(rows) < len(paths):
        wanted = np.zeros(len(paths), bool)
        wanted[rows] = True
        paths = pc.if_else(pa.array(wanted), paths, pa.scalar(None, paths.type))
    plain = pc.and_(pc.string_is_ascii(paths), pc.invert(pc.match_substring_regex(paths, _ODD)))
    odd = np.flatnonzero(~pc.fill_null(plain, True).to_numpy(zero_copy_only=False))
    if not len(odd):
        return paths
    if isinstance(root, str):
        spelled = [_below_address(file, row, str(paths[row]), root) for row in odd.tolist()]
    else:
        base = os.path.normpath(root.absolute())
        spelled = [_spelled(file, row, str(paths[row]), root, base) for row in odd.tolist()]
    chosen = np.zeros(len(paths), bool)
    chosen[odd] = True
    return pc.replace_with_mask(paths, pa.array(chosen), pa.array(spelled, paths.type))


def _spelled(file: Location, row: int, path: str, root: Path, base: str) -> str:
    """One path as the file is spelled: a backslash may be Windows', an accent one character or two."""
    forms = [_relative(form, base) for form in dict.fromkeys(_forms(path))]
    there = (form for form in forms if form is not None and is_there(os.path.join(base, form)))  # noqa: PTH118
    found = forms[-1] if len(forms) == 1 else next(there, forms[-1])
    if found is None or "://" in path or "\0" in path:
        raise DataError(f"{file}: row {row + 1}: path '{path}' is not inside {root}; say --root DIR")
    return found


def _below_address(file: Location, row: int, path: str, root: str) -> str:
    """One path of a store, relative to the address that it must be below."""
    path = path.removeprefix(f"{root.rstrip('/')}/")
    if "://" in path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise DataError(f"{file}: row {row + 1}: '{path}' is not below {root}; say --root with its address")
    return path


def _forms(path: str) -> Iterator[str]:
    slashed = path.replace("\\", "/")
    yield path
    yield from (unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))
    yield slashed


def _relative(path: str, base: str) -> str | None:
    target = os.path.normpath(os.path.join(base, path))  # noqa: PTH118
    if not target.startswith(base.rstrip(os.sep) + os.sep):
        return None
    return os.path.relpath(target, base).replace(os.sep, "/")


def is_there(file: str) -> bool:
    """Whether there is such a file, be it a link that leads nowhere."""
    try:
        return os.path.lexists(file)
    except ValueError:  # no name at all
        return False
