"""What the annotation tools share: which samples go out, names that XML can hold, how an answer becomes a decision."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import DataError, printable
from aumclean.verdict.judge import Verdict

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

OTHERS = ("remove", "unsure")  # answers that are no class
_NOT_IN_XML = r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


def findings(verdict: Verdict) -> pa.Table:
    """The samples to look at: the flagged and the conflicting ones, most suspect first."""
    report = verdict.report
    return report.filter(pc.or_(pc.fill_null(report["flagged"], False), report["conflict"]))


def classes(verdict: Verdict) -> list[str]:
    """All classes of the run, in the order of the alphabet, as XML can hold them.

    Raises:
        DataError: when a name has a character that XML cannot hold, so that it could not be told when it comes back.
    """
    names = sorted(row["label"] for row in verdict.summary["per_class"])
    for name in names:
        if re.search(_NOT_IN_XML, name):
            raise DataError(f"the class '{printable(name)}' has a control character, which XML cannot hold; rename it")
    return names


def xml_text(text: str) -> str:
    """Text for XML; a control character is shown as an escape."""
    return re.sub(_NOT_IN_XML, lambda match: printable(match[0]), text)


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


def table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """A decisions table."""
    return pa.Table.from_pylist([{name: row.get(name) for name in ANSWERED.names} for row in rows], ANSWERED)


def number(value: Any) -> int | None:
    """A sample_id as tools and spreadsheets write it: 12, "12" or 12.0; None for anything else."""
    text = str(value).strip().removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
