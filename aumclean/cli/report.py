"""`aumclean report`: render a finished run, also under other settings of the verdict."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from aumclean.cli.console import say
from aumclean.cli.help import WRITE
from aumclean.cli.options import FinishedRun, Judging, MovedData, Options, option, with_options
from aumclean.errors import ConfigError
from aumclean.reports import FOLDERS, Format

HELD_BY_SUSPECTS = ("label-studio", "cvat", "fiftyone")
"""Exports that people open to look at suspects."""

BY_SUFFIX: dict[str, Format] = {
    "": "csv",
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "jsonl",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
    ".npy": "pred-probs",
}
"""What the name of a file asks for."""


@dataclass(frozen=True, kw_only=True)
class Rendering(Options):
    """What a format can be asked besides."""

    top: Annotated[int | None, option("How many suspects html shows. [default: 1000]", min=1)] = None
    image_root_url: Annotated[
        str | None, option("What label-studio puts in front of each path. [default: its local files]", metavar="URL")
    ] = None

    def require(self, format: str) -> None:
        """Refuse what is for another format."""
        if self.top is not None and format != "html":
            raise ConfigError("--top: is for --format html")
        if self.image_root_url is not None and format != "label-studio":
            raise ConfigError("--image-root-url: is for --format label-studio")


@with_options
def command(
    run: FinishedRun,
    judging: Judging,
    rendering: Rendering,
    format: Annotated[
        Format | None,
        option(
            "csv, parquet, json, jsonl, markdown, html, pred-probs; or, as several files in -o FOLDER: "
            "cleanlab, label-studio, cvat, fiftyone, huggingface. [default: by the suffix of --out, else csv]",
            "--format",
            "-f",
            metavar="FORMAT",
        ),
    ] = None,
    out: Annotated[
        Path | None, option("File or new folder to write. [default: standard output]", "--out", "-o", panel=WRITE)
    ] = None,
    data: MovedData = None,
    save: Annotated[
        bool, option("Replace the run's own reports and cleaned manifest with this verdict.", "--save", panel=WRITE)
    ] = False,
) -> None:
    """Write the reports of a finished run, without training.

    With any option under How to judge, the run is judged again; the others keep the run's values.

    Example: `aumclean report runs/photos-1 --percentile 95 --format markdown`
    """
    out = None if out == Path("-") else out
    format = format or _format_of(out)
    if format in FOLDERS and out is None and not save:
        raise ConfigError(f"--out: {format} is several files; name a new folder with -o FOLDER")
    rendering.require(format)

    from aumclean.decisions.recorded import with_decisions
    from aumclean.reports.render import render, write
    from aumclean.reports.write import write_reports
    from aumclean.run.directory import Run
    from aumclean.verdict.judge import judge, settings_of

    opened = Run(run, data)
    opened.require_finished()
    verdict = judge(opened, settings_of(opened, **judging.given()))
    if save:
        with opened.lock():
            write_reports(opened, verdict)
        say(f"{verdict.summary.flagged:,} of {verdict.summary.samples:,} flagged; {run} has its reports anew")
        if out is None:
            return
    if format in HELD_BY_SUSPECTS and not (verdict.summary.flagged or verdict.summary.conflicts):
        say("nothing is flagged and no copies differ in their labels: there is nothing to look at in what is written")
    files = render(with_decisions(verdict, opened), format, **rendering.given())
    if out is None:
        for pieces in files.values():
            sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
        return
    write(files, out, folder=format in FOLDERS)
    say(f"wrote {', '.join(files)} to {out}" if format in FOLDERS else f"wrote {out}")


def _format_of(out: Path | None) -> Format:
    """The format that a file's name asks for."""
    suffix = "" if out is None else out.suffix.lower()
    if suffix not in BY_SUFFIX:
        known = ", ".join(filter(None, BY_SUFFIX))
        raise ConfigError(f"--out: {suffix} says no format; give --format, or a name that ends in one of {known}")
    return BY_SUFFIX[suffix]
