"""Which rows of a table are of a split: by a column of words, by columns that say yes or no, or by folds."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.dataset.folder import listed
from aumclean.dataset.splits import TEST, TRAIN, VAL, same_split, split_of
from aumclean.errors import DataError
from aumclean.files.location import Location

SPLIT = "split"
ALSO_SPLITS = ("set", "subset", "partition", "phase")  # columns that are splits when all their words are
FOLDS = ("fold", "kfold")  # of cross-validation: each is trained on
YES = ("1", "1.0", "true", "yes")
NO = ("0", "0.0", "false", "no")
_FLAG = re.compile(r"is[ _]?(?P<split>\w+)")  # fastai: is_valid
_USABLE = re.compile(r"is[ _]?valid", re.IGNORECASE)  # so some people call what can be used


def rows_of_split(file: Location, table: pa.Table, split: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The rows to read, ascending int64, and what there is to say of the others.

    Args:
        file: for messages.
        table: every column as strings.
        split: its name; the rows for training by default, and all where no word is known for these.

    Raises:
        DataError: when no row is of the split that was asked for, or splits are no texts.
    """
    everything, found = np.arange(len(table)), _splits(file, table)
    if found is None:
        if split is not None:
            raise DataError(f"{file}: has no column '{SPLIT}', which --split needs")
        return everything, ()
    name, column = found
    counts = {one["values"].as_py(): one["counts"].as_py() for one in pc.value_counts(column)}
    shown = listed(sorted(word or "''" for word in counts))
    unknown = sum(count for word, count in counts.items() if word is None or split_of(word) is None)
    asked, notes = split or TRAIN, []
    if split is None and _USABLE.fullmatch(name.strip()) and 2 * counts.get(VAL, 0) > len(table):
        said = (
            f"{file}: the column '{name}' says yes in {counts[VAL]} of {len(table)} rows, too many for a validation set"
        )
        return everything, (f"{said}; all rows are read (--split val reads these alone)",)
    words = [word for word in counts if word is not None and same_split(asked, word)]
    if not words and split is not None:
        raise DataError(f"{file}: no row has the split '{split}' (--split); the column '{name}' has: {shown}")
    if not words:
        said = f"{file}: the column '{name}' has {shown}, none of them a word for training; all rows are read"
        return everything, (f"{said} (--split chooses)",)
    if split is None and len(counts) > len(words):
        reading = " and ".join(map(repr, words))
        notes.append(f"{file} has the splits {shown} (column '{name}'); reading {reading} (--split chooses)")
    if unknown and split_of(asked):
        strange = ", ".join(f"'{word}'" for word in counts if word is None or split_of(word) is None)
        notes.append(f"{file}: {unknown} rows are of no split that is known ({name}: {strange}); they are not read")
    return np.flatnonzero(pc.is_in(column, value_set=pa.array(words, pa.string())).to_numpy()), tuple(notes)


def _splits(file: Location, table: pa.Table) -> tuple[str, pa.ChunkedArray] | None:
    """What each row says of its split, and the name of the column that says it; None where none does."""
    columns = {name.strip().casefold(): name for name in table.column_names}
    if SPLIT in columns:
        name, column = columns[SPLIT], table[columns[SPLIT]]
        if not pa.types.is_string(column.type):
            raise DataError(f"{file}: column '{name}' holds {column.type}, not one text per row; take it away")
        return name, column
    texts = {plain: name for plain, name in columns.items() if pa.types.is_string(table[name].type)}
    for name in (texts[plain] for plain in ALSO_SPLITS if plain in texts):
        if all(word is not None and split_of(word) for word in pc.unique(table[name]).to_pylist()):
            return name, table[name]
    if flags := _flags(table, texts):
        return " and ".join(flags), _by_flags(flags)
    fold = next((texts[plain] for plain in FOLDS if plain in texts), None)
    return None if fold is None else (fold, table[fold])


def _flags(table: pa.Table, columns: dict[str, str]) -> dict[str, tuple[str, pa.ChunkedArray]]:
    """Columns such as `is_valid` that say yes or no in every row: by name the split, and where they say yes."""
    found = {}
    for plain, name in columns.items():
        match = _FLAG.fullmatch(plain)
        if match is None or (split := split_of(match["split"])) is None:
            continue
        said = pc.utf8_lower(pc.utf8_trim_whitespace(table[name]))
        if pc.all(pc.is_in(said, value_set=pa.array(YES + NO))).as_py():
            found[name] = (split, pc.is_in(said, value_set=pa.array(YES)))
    return found


def _by_flags(flags: dict[str, tuple[str, pa.ChunkedArray]]) -> pa.ChunkedArray:
    """The split that says yes in each row; where none does, what is not named: training, or else test."""
    rest = TEST if TRAIN in (split for split, _ in flags.values()) else TRAIN
    words = pa.scalar(rest)
    for split, yes in flags.values():
        words = pc.if_else(yes, split, words)
    return words
