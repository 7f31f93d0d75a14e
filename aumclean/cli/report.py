"""`aumclean report`: render a finished run, also under other settings of the verdict."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aumclean.cli.console import say
from aumclean.errors import ConfigError

if TYPE_CHECKING:
    from aumclean.verdict.judge import Verdict

FOLDERS = ("label-studio", "cvat", "fiftyone", "huggingface")
"""Formats of several files."""


def command(
    run: Annotated[Path, typer.Argument(help="Run directory of a finished scan.", show_default=False)],
    format: Annotated[
        Literal[
            "csv",
            "parquet",
            "json",
            "jsonl",
            "markdown",
            "html",
            "cleanlab",
            "label-studio",
            "cvat",
            "fiftyone",
            "huggingface",
        ],
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="csv, parquet, json, jsonl, markdown, html, cleanlab; or, as several files in -o FOLDER: "
            "label-studio, cvat, fiftyone, huggingface.",
        ),
    ] = "csv",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File or new folder to write. [default: standard output]", show_default=False),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="How many suspects html shows. [default: 1000]", show_default=False)
    ] = None,
    image_root_url: Annotated[
        str | None,
        typer.Option(
            help="What label-studio puts before each path. [default: its local files]",
            show_default=False,
            metavar="URL",
        ),
    ] = None,
    percentile: Annotated[
        float | None, typer.Option(help="Judge again at this percentile.", show_default=False)
    ] = None,
    combine: Annotated[
        Literal["all", "any", "mean"] | None, typer.Option(help="Judge again, combining so.", show_default=False)
    ] = None,
    threshold: Annotated[
        Literal["indicator", "estimate"] | None, typer.Option(help="Judge again by this rule.", show_default=False)
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
    """  # fmt: skip
    if format in FOLDERS and out is None and not save:
        raise ConfigError(f"--out: {format} is several files; name a new folder with -o FOLDER")
    if top is not None and format != "html":
        raise ConfigError("--top: is for --format html")
    if image_root_url is not None and format != "label-studio":
        raise ConfigError("--image-root-url: is for --format label-studio")

    from aumclean.decisions.recorded import with_decisions
    from aumclean.reports.write import write_reports
    from aumclean.run import Run
    from aumclean.verdict.judge import judge, settings_of

    opened = Run(run)
    opened.require_finished()
    verdict = judge(
        opened,
        settings_of(opened, percentile=percentile, combine=combine, threshold=threshold, first_epoch=first_epoch),
    )
    if save:
        with opened.lock():
            write_reports(opened, verdict)
        say(f"{verdict.summary['flagged']:,} of {verdict.summary['samples']:,} flagged; {run} has its reports anew")
        if out is None:
            return
    verdict = with_decisions(verdict, opened)
    if format in FOLDERS and out is not None:
        _write_folder(verdict, format, image_root_url, out)
    else:
        _write_file(verdict, format, top, out)


def _write_file(verdict: "Verdict", format: str, top: int | None, out: Path | None) -> None:
    from aumclean import atomic, csv, parquet
    from aumclean.reports import cleanlab, html, json, markdown

    renderers: dict[str, Callable[[Verdict], str]] = {
        "json": json.render,
        "markdown": markdown.render,
        "html": partial(html.render, top=top or html.TOP),
        "cleanlab": cleanlab.render,
    }
    pieces: Iterable[bytes]
    if format == "parquet":
        pieces = [parquet.to_parquet(verdict.report)]
    elif format == "csv":
        pieces = csv.pieces(verdict.report, guard=True)
    elif format == "jsonl":
        pieces = (line.encode(errors="surrogateescape") for line in json.lines(verdict.report))
    else:
        pieces = [renderers[format](verdict).encode(errors="surrogateescape")]
    if out is not None:
        atomic.write_pieces(out, pieces)
        say(f"wrote {out}")
    else:
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()


def _write_folder(verdict: "Verdict", format: str, image_root_url: str | None, out: Path) -> None:
    import pyarrow.parquet as pq

    from aumclean import atomic
    from aumclean.reports import cvat, fiftyone, huggingface, label_studio

    renderers: dict[str, Callable[[Verdict], dict[str, Any]]] = {
        "label-studio": partial(label_studio.render, image_root_url=image_root_url),
        "cvat": cvat.render,
        "fiftyone": fiftyone.render,
        "huggingface": huggingface.render,
    }
    with atomic.new_folder(out) as folder:
        files = renderers[format](verdict)
        for name, content in files.items():
            if isinstance(content, str):
                atomic.write_text(folder / name, content)
                continue
            schema, batches = content
            with atomic.replacing(folder / name) as temporary, pq.ParquetWriter(temporary, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
    say(f"wrote {', '.join(files)} to {out}")
