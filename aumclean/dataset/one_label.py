"""Several labels per image, or none: refused by name in every format, since a margin is that of one label."""

import re
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import DataError
from aumclean.files.location import Location

ONE_LABEL = (
    "one label per image is judged: keep one, or give each class a column that says yes or no and scan with one "
    "--label-column after the other"
)
LIST = r"^\s*(\[.*[,'\"].*\]|\{.*:.*\})\s*$"  # a list or an object, as JSON or pandas writes it
SEPARATORS = ("|", ";", ",")


def refuse_several(file: Location, labels: pa.ChunkedArray, column: str) -> None:
    """Refuse a column in which a row has several labels: a list, the text of one, or names with a mark between them.

    Such a mark (| ; ,) counts where the names on both sides of it are labels of their own.

    Raises:
        DataError: with an example and the remedy.
    """
    if pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type) or pa.types.is_fixed_size_list(labels.type):
        raise DataError(f"{file}: the column '{column}' holds {labels.type}, several labels per image; {ONE_LABEL}")
    if not pa.types.is_string(labels.type):
        return
    refuse_joined(file, f"the column '{column}'", [name for name in pc.unique(labels).to_pylist() if name])


def refuse_joined(file: object, where: str, names: Collection[str]) -> None:
    """The same for the names of all classes."""
    found = pc.match_substring_regex(pa.array(list(names), pa.string()), LIST).to_pylist()
    joined = [name for name, is_list in zip(names, found, strict=True) if is_list or _is_joined(name, set(names))]
    if joined:
        raise DataError(f"{file}: {where} has several labels per image, such as '{joined[0]}'; {ONE_LABEL}")


def refuse_no_numbers(file: object, labels: pa.Array | pa.ChunkedArray, where: str) -> None:
    """Refuse NaN among labels that are numbers: as pandas writes a label that is missing.

    Raises:
        DataError: with how many there are.
    """
    names = pc.value_counts(labels)
    missing = sum(one["counts"].as_py() for one in names if one["values"].as_py().strip().casefold() == "nan")
    others = [name for name in names.field("values").to_pylist() if name.strip().casefold() != "nan"]
    if missing and all(re.fullmatch(r"[+-]?\d+(\.\d*)?", name.strip()) for name in others):
        raise DataError(f"{file}: {missing} rows have no number in {where} (NaN); fill or remove them")


def _is_joined(name: str, names: Collection[str]) -> bool:
    for mark in SEPARATORS:
        parts = [part.strip() for part in name.split(mark)]
        if len(parts) > 1 and all(part in names for part in parts):
            return True
    return False
