"""What every page rests on: a policy that lets nothing foreign run or load, and templates that escape every name."""

import base64
import hashlib
import shlex
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from aumclean import __version__
from aumclean.errors import printable


def rendered(package: str, *, scripted: bool, **shown: Any) -> str:
    """The page of a package: its `page.html` with `page.css` inside it and, where it is scripted, `page.js`.

    Args:
        package: which holds these files.
        scripted: whether there is a script.
        shown: what the template shows.
    """
    own = resources.files(package)
    style = (own / "page.css").read_text(encoding="utf-8")
    script = (own / "page.js").read_text(encoding="utf-8") if scripted else None
    text = _template(package).render(
        version=__version__, policy=_policy(style, script), style=Markup(style), script=Markup(script or ""), **shown
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()  # browsers read plain ASCII a third faster


@cache  # a scan with features renders its page twice, and to compile it takes as long as to fill it
def _template(package: str) -> Template:
    return environment().from_string((resources.files(package) / "page.html").read_text(encoding="utf-8"))


def _policy(style: str, script: str | None) -> str:
    """The content security policy of a page with this style and this script and, as images, data alone."""
    scripts = "" if script is None else f"script-src {_source(script)}; "
    return (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; {scripts}base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def command_line(argv: list[str]) -> str:
    """The command line as it can be typed again."""
    program = "aumclean" if PurePath(argv[0]).stem in {"aumclean", "__main__"} else argv[0]
    return shlex.join([program, *argv[1:]])


def environment() -> Environment:
    """Templates with the filters of the pages; what is not there is an error."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "name": lambda text: printable(str(text)),
        "count": lambda number: f"{number:,}",
        "percent": lambda share: f"{100 * share:.1f}%",
        "odds": _odds,
        "number": _number,
        "heat": lambda count, highest: 0 if not count else 1 + min(7, int(8 * count / (highest + 1))),
    }
    return environment


def _odds(probability: float) -> str:
    """A probability in per cent; nothing is said to be certain."""
    if not 0.005 <= probability <= 0.995:
        return "under 1%" if probability < 0.5 else "over 99%"
    return f"{100 * probability:.0f}%"


def _number(value: Any) -> str:
    """Two decimals, with a true minus sign."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
