"""The page for people: one HTML file that needs no network, no server and, for reading, no script.

Names come from strangers: the template escapes every one, and a content security policy lets nothing run or load but
the page's own script and style, known by their hashes.
"""

import base64
import hashlib
import shlex
from importlib import resources
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from aumclean import __version__
from aumclean.errors import printable
from aumclean.reports.html import charts, page
from aumclean.verdict.judge import Verdict

TOP = 1000


def render(verdict: Verdict, *, top: int = TOP) -> str:
    """The page.

    Args:
        verdict: what to show; its run is read for the pictures and the margin curves.
        top: how many suspects to show, the most suspect first.
    """
    record, summary = verdict.run.read(), verdict.summary
    rows = page.flagged(verdict).slice(0, top)
    found, groups_left_out = page.conflicts(verdict)
    pictures = page.thumbnails(
        verdict, [*rows["sample_id"].to_pylist(), *(members[0]["sample_id"] for members in found)]
    )
    suspects = page.suspects(verdict, pictures, top)
    files, unreadable = page.unreadable(verdict)
    class_names = record["data"]["class_names"]
    class_index = {name: index for index, name in enumerate(class_names)}
    style, script = _own("page.css"), _own("page.js")
    present = {state for suspect in suspects for state in suspect.states}
    text = (
        _environment()
        .from_string(_own("page.html"))
        .render(
            version=__version__,
            policy=_policy(style, script),
            style=Markup(style),
            script=Markup(script),
            record=record,
            command=_command(record["argv"]),
            summary=summary,
            trust=page.trust(verdict),
            histograms=[
                charts.histogram(counted, about["threshold"])
                for counted, about in zip(summary["histograms"], summary["thresholds"], strict=True)
            ],
            heat_map=page.heat_map(verdict),
            suspects=suspects,
            class_index=class_index,
            index=page.index(suspects, class_names),
            states={state: text for state, text in page.STATES.items() if state in present},
            groups=page.groups(found, pictures),
            groups_left_out=groups_left_out,
            unreadable=files,
            unreadable_left_out=unreadable - len(files),
        )
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()  # browsers read plain ASCII a third faster


def _own(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    sources = ("'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'" for text in
               (style, script))  # fmt: skip
    style_source, script_source = sources
    return (
        f"default-src 'none'; img-src data:; style-src {style_source}; script-src {script_source}; "
        "base-uri 'none'; form-action 'none'"
    )


def _command(argv: list[str]) -> str:
    """The command line as it can be typed again."""
    program = "aumclean" if PurePath(argv[0]).stem in {"aumclean", "__main__"} else argv[0]
    return shlex.join([program, *argv[1:]])


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "name": lambda text: printable(str(text)),
        "count": lambda number: f"{number:,}",
        "percent": lambda share: f"{100 * share:.1f} %",
        "number": _number,
        "heat": lambda count, highest: 0 if not count else 1 + min(7, int(8 * count / (highest + 1))),
    }
    return environment


def _number(value: Any) -> str:
    """Two decimals, with a true minus sign."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
