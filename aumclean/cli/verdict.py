"""What people see of a verdict, whatever it rests on: how good its flags should be, and which labels to look at."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aumclean.cli.console import table

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

    from aumclean.verdict.summary import Estimated

SHOWN = 10  # labels


def expected(flags: "Mapping[Any, Estimated]") -> list[tuple[str, str]]:
    """How good the flags should be, nothing when there are none."""
    of = {"precision": "of the flagged labels should be wrong", "recall": "of the wrong labels should be flagged"}
    return [
        (name, f"{one.estimate:.0%} ({one.low:.0%} to {one.high:.0%}) {of[name]}")
        for name, one in sorted(flags.items())
    ]


def most_suspect(report: "pa.Table") -> "list[Table]":
    """A table of the flagged among the first rows of a report; none where none is flagged."""
    from aumclean.verdict.estimate import percent

    rows = [
        (row["rank"], row["path"], row["label"], row["suggested_label"] or "", percent(row["wrong_probability"]))
        for row in report.slice(0, SHOWN).to_pylist()
        if row["flagged"]
    ]
    header = ("rank", "path", "label", "suggested", "wrong")
    return [table("Most suspect", header, rows, right={"rank", "wrong"})] if rows else []
