"""Every format of a report by its name: a verdict in, files out; nothing is written but by `write`."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from aumclean.files import atomic, csv, parquet
from aumclean.reports import (
    FOLDERS,
    Format,
    cleanlab,
    cvat,
    fiftyone,
    html,
    huggingface,
    json,
    label_studio,
    markdown,
    pred_probs,
)
from aumclean.verdict.judge import Verdict

SUFFIXES = {"markdown": "md", "pred-probs": "npy"}  # of the others the suffix is the name


def render(
    verdict: Verdict, format: Format, *, top: int | None = None, image_root_url: str | None = None
) -> dict[str, Iterable[bytes]]:
    """A verdict in a format: file names and contents, in pieces; one file, or several of a format of `FOLDERS`.

    Args:
        verdict: what to render; its run is read for pictures and curves.
        format: in which format.
        top: how many suspects html shows; 1,000 by default.
        image_root_url: what label-studio puts before each image's path; its own way to local files by default.

    Raises:
        DataError: when the format cannot hold the data.
    """
    if format in FOLDERS:
        return _several(verdict, format, image_root_url)
    return {f"report.{SUFFIXES.get(format, format)}": _one(verdict, format, html.TOP if top is None else top)}


def _one(verdict: Verdict, format: Format, top: int) -> Iterable[bytes]:
    if format == "parquet":
        return [parquet.to_parquet(verdict.report)]
    if format == "pred-probs":
        return [pred_probs.render(verdict)]
    if format == "csv":
        return csv.pieces(verdict.report, guard=True)
    if format == "jsonl":
        return (line.encode(errors="surrogateescape") for line in json.lines(verdict.report))
    renderers: dict[str, Callable[[Verdict], str]] = {
        "json": json.render,
        "markdown": markdown.render,
        "html": partial(html.render, top=top),
    }
    return [renderers[format](verdict).encode(errors="surrogateescape")]


def _several(verdict: Verdict, format: Format, image_root_url: str | None) -> dict[str, Iterable[bytes]]:
    renderers: dict[str, Callable[[Verdict], dict[str, Any]]] = {
        "cleanlab": cleanlab.render,
        "label-studio": partial(label_studio.render, image_root_url=image_root_url),
        "cvat": cvat.render,
        "fiftyone": fiftyone.render,
        "huggingface": huggingface.render,
    }
    return {name: _pieces(content) for name, content in renderers[format](verdict).items()}


def _pieces(content: Any) -> Iterable[bytes]:
    """Text, bytes, the arguments of a Parquet file, or what is in pieces already."""
    if isinstance(content, str | bytes):
        return [content.encode() if isinstance(content, str) else content]
    return parquet.pieces(*content) if isinstance(content, tuple) else content


def write(files: dict[str, Iterable[bytes]], out: Path, *, folder: bool) -> None:
    """Write what `render` made, whole or not at all: into a new folder, or its one file to `out`.

    Raises:
        OutputError: when it cannot be written, or something else stands where the folder should.
    """
    if not folder:
        (pieces,) = files.values()
        atomic.write_pieces(out, pieces)
        return
    with atomic.new_folder(out) as building:
        for name, pieces in files.items():
            atomic.write_pieces(building / name, pieces)
