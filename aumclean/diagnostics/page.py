"""The page of a diagnostic: one HTML file without script, which loads nothing."""

import base64
from collections.abc import Mapping, Sequence

from aumclean.diagnostics.report import Report, setting
from aumclean.diagnostics.store import Answer
from aumclean.reports.html.safety import command_line, rendered


def render(report: Report, drawn: Mapping[str, Sequence[bytes]], record: Answer) -> str:
    """The page.

    Args:
        report: what to show.
        drawn: by name, of every figure its panels as SVG, a lone one also wide, and of every picture a PNG.
        record: `diagnostic.json`.
    """
    return rendered(
        __package__,
        scripted=False,
        report=report,
        setting=setting,
        sources={name: list(map(_as_source, contents)) for name, contents in drawn.items()},
        record=record,
        command=command_line(record.argv),
    )


def _as_source(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
