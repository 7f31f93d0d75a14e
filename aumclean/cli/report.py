"""`aumclean report`: render a finished run, also under other settings of the verdict."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from aumclean.cli.console import say


def command(
    run: Annotated[Path, typer.Argument(help="Run directory of a finished scan.", show_default=False)],
    format: Annotated[
        Literal["csv", "parquet", "json", "jsonl", "markdown"],
        typer.Option("--format", "-f", help="What to render."),
    ] = "csv",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write. [default: standard output]", show_default=False)
    ] = None,
    percentile: Annotated[
        float | None, typer.Option(help="Judge again at this percentile.", show_default=False)
    ] = None,
    combine: Annotated[
        Literal["all", "any", "mean"] | None, typer.Option(help="Judge again, combining so.", show_default=False)
    ] = None,
    first_epoch: Annotated[
        int | None, typer.Option(help="Judge again, averaging from this epoch.", show_default=False)
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Replace the run's own reports and cleaned manifest by this verdict.")
    ] = False,
) -> None:
    """Render a finished run, without training.

    Example: `aumclean report runs/photos-1 --percentile 95 --format markdown`
    """
    from aumclean import atomic
    from aumclean.reports import csv, json, markdown, parquet
    from aumclean.reports.decisions import with_decisions
    from aumclean.reports.write import write_reports
    from aumclean.run import Run
    from aumclean.verdict.judge import Verdict, judge, settings_of

    opened = Run(run)
    opened.require_finished()
    verdict = judge(opened, settings_of(opened, percentile=percentile, combine=combine, first_epoch=first_epoch))
    if save:
        with opened.lock():
            write_reports(opened, verdict)
        say(f"{verdict.summary['flagged']:,} of {verdict.summary['samples']:,} flagged; {run} has its reports anew")
        if out is None:
            return
    verdict = with_decisions(verdict, opened)
    renderers: dict[str, Callable[[Verdict], str | bytes]] = {
        "csv": csv.render,
        "parquet": parquet.render,
        "json": json.render,
        "jsonl": json.render_lines,
        "markdown": markdown.render,
    }
    rendered = renderers[format](verdict)
    content = rendered if isinstance(rendered, bytes) else rendered.encode(errors="surrogateescape")
    if out is not None:
        with atomic.replacing(out) as temporary:
            temporary.write_bytes(content)
        say(f"wrote {out}")
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
