"""Markdown (GitHub flavoured): the summary, the worst classes and pairs, the most suspect samples."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from aumclean.errors import printable

if TYPE_CHECKING:  # the gate uses the tables below, and loads nothing that judges
    from aumclean.verdict.judge import Verdict

MARKER = "<!-- aumclean:report -->"
TOP_SAMPLES = 50
TOP_ROWS = 10


def render(verdict: "Verdict") -> str:
    """A report that fits a pull-request comment; its first line is a marker by which a bot finds it again."""
    from aumclean.verdict.estimate import percent, said

    summary = verdict.summary
    rate = summary.noise_rate
    facts = [
        ("samples", f"{summary.samples:,}"),
        ("unreadable", f"{summary.unreadable:,}"),
        ("flagged", f"{summary.flagged:,} ({summary.flagged_share:.1%})"),
        ("estimated noise rate", said(rate.estimate, rate.low, rate.high)),
        *((f"estimated {name} of the flags", f"{one.estimate:.0%}") for name, one in summary.flags.items()),
        ("same image, different labels", f"{summary.conflicts:,}"),
        ("flagged set", f"`{summary.flagged_digest}`"),
    ]
    parts = [MARKER, "## Label quality", table(("", ""), facts)]
    parts += [f"> **{warning.code}**: {cell(warning.message)}" for warning in summary.warnings]
    classes = [
        (row.label, f"{row.samples:,}", f"{row.flagged:,}", f"{row.flagged_share:.1%}")
        for row in summary.per_class
        if row.flagged
    ]
    if classes:
        parts += ["### Classes", table(("class", "samples", "flagged", "share"), classes[:TOP_ROWS])]
    pairs = [(row.label, row.suggested_label, f"{row.flagged:,}") for row in summary.per_pair]
    if pairs:
        parts += ["### Confusions", table(("label", "looks like", "samples"), pairs[:TOP_ROWS])]
    flagged = verdict.report.filter(pc.fill_null(verdict.report["flagged"], False))
    if len(flagged):
        rows = [
            (row["rank"], row["path"], row["label"], row["suggested_label"] or "", percent(row["wrong_probability"]))
            for row in flagged.slice(0, TOP_SAMPLES).to_pylist()
        ]
        listed = table(("rank", "path", "label", "suggested label", "wrong"), rows)
        title = f"The {len(rows)} most suspect of {len(flagged):,}"
        parts.append(f"<details><summary>{title}</summary>\n\n{listed}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table whose cells are text and nothing else."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def cell(value: Any) -> str:
    """Text that no name can turn into markup, a mention or another cell."""
    text = str(value)
    if re.fullmatch(r"`[0-9a-f]+`|---", text):
        return text
    escaped = html.escape(printable(" ".join(text.split())), quote=False)
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", escaped)
