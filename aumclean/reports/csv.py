"""CSV, for spreadsheets: a cell that a spreadsheet would run as a formula is quoted away."""

import base64
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from aumclean.verdict.judge import Verdict

FORMULA_START = r"^[=+\-@\t\r]"
GUARD = "'"


def render(verdict: Verdict) -> str:
    """The report, one row per sample; text that starts like a formula gets an apostrophe in front."""
    return to_csv(guarded(verdict.report))


def guarded(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before every text cell that a spreadsheet would evaluate (OWASP CSV injection)."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(index)
            risky = pc.match_substring_regex(column, FORMULA_START)
            prefixed = pc.binary_join_element_wise(GUARD, column, "")
            table = table.set_column(index, field, pc.if_else(pc.fill_null(risky, False), prefixed, column))
    return table


def to_csv(table: pa.Table) -> str:
    """Any table as CSV: UTF-8, LF, quotes where needed, nulls empty; nested columns as JSON, binary as base64."""
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type) or "binary" in str(field.type):
            values = [None if value is None else _as_text(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    buffer = io.BytesIO()
    options = pa.csv.WriteOptions(quoting_style="needed", quoting_header="needed")
    pa.csv.write_csv(table, buffer, options)
    return buffer.getvalue().decode()


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return json.dumps(value, default=_as_text)
