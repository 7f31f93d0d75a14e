"""The page of a diagnostic: one HTML file without script, which loads nothing."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources

from markupsafe import Markup

from aumclean import __version__
from aumclean.diagnostics.report import Report, setting
from aumclean.diagnostics.store import Answer
from aumclean.reports.html.safety import command_line, environment, policy


def render(report: Report, drawn: Mapping[str, Sequence[bytes]], record: Answer) -> str:
    """The page.

    Args:
        report: what to show.
        drawn: by name, of every figure its panels as SVG, a lone one also wide, and of every picture a PNG.
        record: `diagnostic.json`.
    """
    style = _own("page.css")
    text = (
        environment()
        .from_string(_own("page.html"))
        .render(
            version=__version__,
            policy=policy(style),
            style=Markup(style),
            report=report,
            setting=setting,
            sources={name: list(map(_as_source, contents)) for name, contents in drawn.items()},
            record=record,
            command=command_line(record.argv),
        )
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()


def _own(name: str) -> str:
    return resources.files("aumclean.diagnostics").joinpath(name).read_text(encoding="utf-8")


def _as_source(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
