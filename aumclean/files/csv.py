"""CSV, for spreadsheets: what one would run as a formula, or a build log obey, is quoted away, and back when read."""

import base64
import csv
import io
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from aumclean.errors import DataError
from aumclean.files import atomic

GUARD = "'"
SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"  # a formula begins with one, in full width too
DANGERS = (  # what stands before the guard, and after it: apostrophes of its own too, so that taking one away is exact
    rf"^()({GUARD}*[{SIGNS}\t\r\n])",  # a formula (OWASP CSV injection)
    rf"([;\t\r\n])({GUARD}*(?:[{SIGNS}]|::))",  # one where a spreadsheet splits at semicolons; a log's command
    rf"(##)({GUARD}*\w*\[)",  # a command of Azure's agents, anywhere in a line
)
PIECE = 1 << 17  # rows
DELIMITERS = (",", ";", "\t", "|")
BLANK = " "  # tells columns apart where nothing else does
HEAD = 1 << 16  # bytes that tell how a file is written


def pieces(table: pa.Table, *, guard: bool = False, header: bool = True) -> Iterator[bytes]:
    """What `to_csv` makes of the table, or of the `guarded` table, some rows at a time; perhaps without a header."""
    for start in range(0, max(header, len(table)), PIECE):
        piece = table.slice(start, PIECE)
        yield _encoded(guarded(piece) if guard else piece, header=header and not start)


def save(file: Path, table: pa.Table) -> None:
    """Write the `guarded` table, whole or not at all.

    Raises:
        OutputError: when it cannot be written.
    """
    atomic.write_pieces(file, pieces(table, guard=True))


def guarded(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before all in its texts that a spreadsheet would evaluate, or a build log obey."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column = table.column(index)
            for danger in DANGERS:
                column = pc.replace_substring_regex(column, danger, rf"\1{GUARD}\2")
            table = table.set_column(index, field, column)
    return table


def unguarded(text: str) -> str:
    """A cell as it was before `guarded`."""
    if GUARD in text:
        for danger in reversed(DANGERS):
            text = re.sub(danger.replace(")(", f"){GUARD}("), r"\1\2", text, flags=re.ASCII)
    return text


def read_rows(content: bytes, name: str, needed: str) -> Iterator[tuple[int, int, dict[str, str]]]:
    """The rows of a CSV file that a person or a spreadsheet may have saved: BOM, semicolons or tabs, CRLF, guards.

    Args:
        content: the file.
        name: what it is called in messages.
        needed: a column it must have, in small letters; by it the delimiter is found.

    Yields:
        line: on which the row begins, from 1.
        too_many: how many cells it has more than the header.
        row: the cells by column name (in small letters, without blanks around it), guards taken away; where the row
            has too few cells the rest is missing.

    Raises:
        DataError: when the file is not UTF-8, lacks the column, or has a quote that does not end.
    """
    try:
        text = content.decode("utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{name}: is not UTF-8; save it as 'CSV UTF-8'") from None
    skipped = 1 if text[:4].lower() == "sep=" else 0  # Excel's own first line
    text = text.split("\n", 1)[-1] if skipped else text
    delimiter = next((mark for mark in DELIMITERS if needed in _header(text, mark)), None)
    if delimiter is None:
        raise DataError(f"{name}: has no column '{needed}'")
    header = _header(text, delimiter)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            if begins > 1 and any(cells):
                yield (
                    begins + skipped,
                    max(0, len(cells) - len(header)),
                    dict(zip(header, map(unguarded, cells), strict=False)),
                )
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}: line {reader.line_num + skipped} is not CSV ({error})") from None


def _header(text: str, delimiter: str) -> list[str]:
    first = text.split("\n", 1)[0].split("\r", 1)[0]
    try:
        return [cell.strip().lower() for cell in next(csv.reader([first], delimiter=delimiter), [])]
    except csv.Error:  # a name of more than 131,072 characters
        return []


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes:
        encoding: as Python names it.
        delimiter: one character.
        skipped: lines before the header: Excel's `sep=`.
    """

    encoding: str
    delimiter: str
    skipped: int


def dialect_of(head: bytes, names: Collection[str], usual: str) -> Dialect:
    """How a file is written, by its first line.

    Args:
        head: the first bytes.
        names: columns that it may have: the delimiter that shows most of them is the one.
        usual: the delimiter where none shows more than the others.
    """
    encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    text = head.decode(encoding, errors="replace")
    if text[:4].lower() == "sep=":
        return Dialect(encoding, text[4:5].strip("\r\n") or usual, 1)

    def shown(delimiter: str) -> tuple[int, int, bool]:
        header = _header(text, delimiter)
        return len({cell for cell in header if cell in names}), min(len(header), 2), delimiter == usual != BLANK

    return Dialect(encoding, max((*DELIMITERS, usual), key=shown), 0)


def to_csv(table: pa.Table) -> str:
    """Any table as CSV: UTF-8, LF, quotes where needed, nulls empty; nested columns as JSON, binary as base64."""
    return b"".join(pieces(table)).decode()


def _encoded(table: pa.Table, *, header: bool) -> bytes:
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type) or "binary" in str(field.type):
            values = [None if value is None else as_text(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    buffer = io.BytesIO()
    options = pa.csv.WriteOptions(include_header=header, quoting_style="needed", quoting_header="needed")
    pa.csv.write_csv(table, buffer, options)
    return buffer.getvalue()


def as_text(value: Any) -> str:
    """A nested or binary value as text: JSON, base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return json.dumps(value, default=as_text)
