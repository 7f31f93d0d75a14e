"""The documentation as a site: `uv run --group docs sphinx-build -W -b html docs build/docs`."""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

from aumclean import __version__

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = {
    ROOT / "README.md": "index",
    ROOT / "CHANGELOG.md": "changelog",
    ROOT / "examples" / "README.md": "examples",
    ROOT / "examples" / "ci" / "README.md": "how-to/ci-files",
}
"""Files outside this folder that are pages of the site as well."""

project = "aumclean"
author = copyright = "The aumclean authors"
version = release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 4  # links to headings work here as on a code forge
html_theme = "furo"
html_title = f"aumclean {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]


def bring_in(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the file that a page stands for in place of its first line, and make links to such files lead to the page."""
    files = [file for file, page in PAGES.items() if page == docname]
    for file in files:
        text = file.read_text(encoding="utf-8").partition("\n## Documentation\n")[0]
        source[0] = _relinked(text, file.parent, docname) + source[0].partition("\n")[2]
    if not files:
        source[0] = _relinked(source[0], (DOCS / docname).parent, docname)


def _relinked(text: str, folder: Path, docname: str) -> str:
    def link(match: re.Match[str]) -> str:
        shown, target, anchor = match.groups(default="")
        if "://" in target:
            return match[0]
        file = (folder / target).resolve()
        page = DOCS / f"{PAGES[file]}.md" if file in PAGES else file
        if not page.is_relative_to(DOCS):
            return shown  # a file that is no page
        return f"[{shown}]({os.path.relpath(page, (DOCS / docname).parent)}{anchor})"

    return re.sub(r"\[([^\[\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)", link, text)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", bring_in)
