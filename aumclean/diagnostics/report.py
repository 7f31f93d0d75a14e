"""What a diagnostic found, as data: tables, figures, pictures and sentences."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aumclean.diagnostics.figures import Figure, Picture


@dataclass(frozen=True)
class Table:
    """Rows of plain values with the same keys.

    Attributes:
        name: of its file.
        title: for people.
        rows: values are text, numbers, truth values or None; a number that is not finite counts as None.
        note: what to know when reading it.
        file_only: neither on the page nor on the terminal, since it is for programs to read.
    """

    name: str
    title: str
    rows: Sequence[dict[str, Any]]
    note: str = ""
    file_only: bool = False

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.rows[0]) if self.rows else []

    def plain(self) -> list[dict[str, Any]]:
        """The rows for JSON."""
        return [{name: _plain(value) for name, value in row.items()} for row in self.rows]

    def cells(self) -> Iterator[list[str]]:
        """The rows for people, the numbers of a column in one format."""
        formats = {column: _format(row[column] for row in self.rows) for column in (self.rows[0] if self.rows else ())}
        for row in self.rows:
            yield [shown(value, formats[column]) for column, value in row.items()]

    def is_number(self, column: str) -> bool:
        """Whether a column holds numbers."""
        values = [row[column] for row in self.rows if row[column] is not None]
        return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


@dataclass(frozen=True)
class Report:
    """What a diagnostic found.

    Attributes:
        kind: the command, such as `frequency curves`.
        title: of the page.
        lead: what was asked, of what, in a sentence.
        said: what it shows, and what it cannot show, as sentences; shown first.
        tables: of these the first ones are also printed.
        figures: drawn as SVG and PNG.
        pictures: PNG.
        settings: shown at the end of the page.
        facts: further values for programs.
    """

    kind: str
    title: str
    lead: str
    said: Sequence[str]
    tables: Sequence[Table]
    figures: Sequence[Figure] = ()
    pictures: Sequence[Picture] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def over_seeds(rows: Sequence[Sequence[dict[str, Any]]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Mean over seeds, and of several seeds also the least and the greatest.

    Args:
        rows: per seed the same rows in the same order.
        keys: columns that say what a row is of; taken from the first seed. All others are averaged, None counting as
            absent.
    """
    if len(rows) == 1:
        return [dict(row) for row in rows[0]]  # whole numbers stay whole
    merged = []
    for same in zip(*rows, strict=True):
        row = {key: same[0][key] for key in keys}
        for name in (name for name in same[0] if name not in keys):
            values = [each[name] for each in same if each[name] is not None]
            row[name] = float(np.mean(values)) if values else None
            row[f"{name}_low"], row[f"{name}_high"] = (min(values), max(values)) if values else (None, None)
        merged.append(row)
    return merged


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _format(values: Iterable[Any]) -> str | None:
    """One format for the numbers of a column, as its largest and smallest need it; None for whole ones and words."""
    numbers = [
        value for value in map(_plain, values) if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if not any(isinstance(value, float) for value in numbers):
        return None
    sizes = sorted(abs(value) for value in numbers if value)
    if sizes and (sizes[-1] >= 1e6 or sizes[len(sizes) // 2] < 1e-2):  # most of them would say nothing otherwise
        return ".2e"
    return ",.1f" if max(sizes, default=0) >= 1000 else ".3f"


def shown(value: Any, format: str | None = None) -> str:
    """A value as a cell for people: numbers in the format, or in one of their own."""
    value = _plain(value)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and format is None:
        return f"{value:,}"
    if isinstance(value, (int, float)):
        format = format or _format([value])
        if format == ".3f" and 0 < abs(value) < 5e-4:
            return "<0.001" if value > 0 else ">-0.001"
        return f"{value:{format}}"
    return str(value)


def setting(value: Any) -> str:
    """A setting for people: as short as it is exact."""
    if isinstance(value, (tuple, list)):
        return ", ".join(setting(each) for each in value) or "-"
    return f"{value:g}" if isinstance(value, float) else shown(value)
