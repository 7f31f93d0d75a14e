"""A decision: its words and columns, and how the answer of an annotation tool becomes one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from aumclean.errors import DataError

SCHEMA = pa.schema(
    [
        ("sample_id", pa.int32()),
        ("content_hash", pa.string()),
        ("path", pa.string()),
        ("decision", pa.string()),
        ("new_label", pa.string()),
        ("reviewer", pa.string()),
        ("time", pa.string()),
        ("note", pa.string()),
    ]
)
"""A table of decisions, wherever they come from."""

ANSWERED = pa.schema([*SCHEMA, ("where", pa.string()), ("label", pa.string())])
"""Beside them which part of the file says so, and the label that was decided on."""

EXTENDED = pa.schema([*ANSWERED, ("unreadable", pa.string())])
"""Beside these why a row cannot be used, null where it can."""

WORDS = ("keep", "relabel", "remove", "unsure")
CONTRADICTORY = "contradictory"  # in the report's `decision` where reviewers disagree
OTHERS = ("remove", "unsure")  # answers that are no class


def decisions(given: str | None, labels: Sequence[str], others: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Decision and new label of one answer; none when nothing was chosen, several when the answer contradicts itself.

    Args:
        given: the label as scanned.
        labels: classes that were chosen.
        others: what else was chosen, of `OTHERS`; it outweighs the classes, which may be a suggestion left in place.
    """
    chosen = [other for other in OTHERS if other in others]
    if chosen:
        yield from ((other, None) for other in chosen)
        return
    yield from (("keep", None) if label == given else ("relabel", label) for label in dict.fromkeys(labels))


def outcome_of(decision: str, new_label: str | None) -> str:
    """A decision in words, equal where two decide the same."""
    return f"relabel to '{new_label}'" if decision == "relabel" else decision


def table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """A decisions table.

    Raises:
        DataError: for a row that holds something else than texts and numbers.
    """
    checked = [
        {name: row.get(name) if name == "sample_id" else _text(row, name) for name in ANSWERED.names} for row in rows
    ]
    return pa.Table.from_pylist(checked, ANSWERED)


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    if not isinstance(value, str | int | float | None):
        raise DataError(f"{row['where']}: its {name} is a {type(value).__name__}, not a text")
    try:
        return None if value is None else str(value).encode().decode()
    except (UnicodeEncodeError, ValueError):  # a lone surrogate; a number of more digits than Python writes
        raise DataError(f"{row['where']}: its {name} cannot be stored as text") from None


def number(value: Any) -> int | None:
    """A sample_id as tools and spreadsheets write it: 12, "12" or 12.0; None for anything else."""
    text = str(value).strip().removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Rows with every key of `EXTENDED`, empty texts as None."""
    names = [name for name in EXTENDED.names if name in table.column_names]
    return [
        {
            **dict.fromkeys(EXTENDED.names),
            "where": f"entry {number}",
            **{name: value if value != "" else None for name, value in row.items()},
        }
        for number, row in enumerate(table.select(names).to_pylist(), start=1)
    ]
