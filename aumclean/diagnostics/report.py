"""What a diagnostic found, as data: tables, figures, pictures and sentences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aumclean.diagnostics.figures import Figure, Picture
from aumclean.files.records import Record


@dataclass(frozen=True)
class Table:
    """Rows with the same columns.

    Attributes:
        name: of its file.
        title: for people.
        rows: records of text, numbers, truth values and None.
        note: what to know when reading it.
        file_only: neither on the page nor on the terminal, since it is for programs to read.
        kind: of the rows, where there may be none, so that the file has its columns all the same.
    """

    name: str
    title: str
    rows: Sequence[Record]
    note: str = ""
    file_only: bool = False
    kind: type[Record] = Record

    @cached_property
    def values(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [row.model_dump() for row in self.rows]

    @property
    def meanings(self) -> dict[str, str]:
        """What the columns mean."""
        fields = (type(self.rows[0]) if self.rows else self.kind).model_fields
        return {name: field.description for name, field in fields.items() if field.description}

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.values[0] if self.rows else self.kind.model_fields)

    def cells(self) -> Iterator[list[str]]:
        """The rows for people, the numbers of a column in one format."""
        formats = {column: _format(row[column] for row in self.values) for column in self.columns}
        for row in self.values:
            yield [shown(value, formats[column]) for column, value in row.items()]

    def is_number(self, column: str) -> bool:
        """Whether a column holds numbers."""
        values = [row[column] for row in self.values if row[column] is not None]
        return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


@dataclass(frozen=True)
class Report:
    """What a diagnostic found.

    Attributes:
        title: of the page.
        lead: what was asked, of what, in a sentence.
        said: what it shows, and what it cannot show, as sentences; shown first.
        tables: of these the first ones are also printed.
        figures: drawn as SVG and PNG.
        pictures: PNG.
        settings: shown at the end of the page.
        facts: further values for programs.
    """

    title: str
    lead: str
    said: Sequence[str]
    tables: Sequence[Table]
    figures: Sequence[Figure] = ()
    pictures: Sequence[Picture] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def _format(values: Iterable[Any]) -> str | None:
    """One format for the numbers of a column, as its largest and smallest need it; None for whole ones and words."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if not any(isinstance(value, float) for value in numbers):
        return None
    sizes = sorted(abs(value) for value in numbers if value)
    if sizes and (sizes[-1] >= 1e6 or sizes[len(sizes) // 2] < 1e-2):  # most of them would say nothing otherwise
        return ".2e"
    return ",.1f" if max(sizes, default=0) >= 1000 else ".3f"


def shown(value: Any, format: str | None = None) -> str:
    """A value as a cell for people: numbers in the format, or in one of their own."""
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
