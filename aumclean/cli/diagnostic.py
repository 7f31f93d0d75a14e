"""What the commands of the diagnostics share: their options, and what a person sees of a report."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aumclean.cli.console import console, give, say, show, table
from aumclean.cli.scan import option
from aumclean.errors import ConfigError

if TYPE_CHECKING:
    from aumclean.diagnostics.report import Report
    from aumclean.diagnostics.store import Store

MOST_ROWS = 30  # of a table on the terminal
GAP = 3  # characters between two columns


def show_help_alone(context: typer.Context) -> None:
    """The callback of a group of commands: without a command it is help that is wanted."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _study_options(
    data: Annotated[Path, typer.Argument(help="Image folder or manifest.", show_default=False)],
    test: Annotated[Path | None, option("Image folder or manifest to test on.")] = None,
    test_split: Annotated[str | None, option("Split of DATA to test on. [default: test]")] = None,
    holdout: Annotated[float | None, option("Share of DATA to hold out at random and test on.")] = None,
    out: Annotated[
        Path | None,
        option("Directory; the same command goes on there where it was stopped. [default: runs/NAME-N]", "--out", "-o"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another answer that --out holds.")] = False,
    preset: Annotated[
        Literal["quick", "paper"], typer.Option(help="quick: minutes on a laptop; paper: as published, for hours.")
    ] = "quick",
    seeds: Annotated[str, typer.Option(help="Seeds; every training is repeated with each, such as 0,1,2.")] = "0",
    limit: Annotated[int | None, option("Train on at most so many images. [default: by preset]")] = None,
    test_limit: Annotated[int | None, option("Test on at most so many images. [default: by preset]")] = None,
    image_size: Annotated[int | None, option("Side in pixels. [default: median short side, at most 32]")] = None,
    arch: Annotated[str | None, option("Network. [default: by preset]")] = None,
    epochs: Annotated[int | None, option("Passes over the data. [default: by preset]")] = None,
    batch_size: Annotated[int | None, option("Images per step. [default: by preset]")] = None,
    learning_rate: Annotated[float | None, option("Rate at the start. [default: by preset]")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to train.")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="Number format; auto: bf16 where it is fast.")
    ] = "auto",
    path_column: Annotated[str | None, option("Manifest column with the paths or the images.")] = None,
    label_column: Annotated[str | None, option("Manifest column with the labels.")] = None,
    root: Annotated[Path | None, option("Folder that manifest paths are relative to.")] = None,
    split: Annotated[str | None, option("Split to train on. [default: train, where there are splits]")] = None,
    class_folder: Annotated[Literal["first", "last"] | None, option("Which of nested folders names the class.")] = None,
    cache_dir: Annotated[Path | None, option("Folder of decoded images. [default: the system's]")] = None,
) -> None:
    """Options of every diagnostic that trains."""


def with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add DATA and the options of every diagnostic; the command gets them as its first argument, an `Options`."""
    shared = inspect.signature(_study_options, eval_str=True).parameters
    own = inspect.signature(command)  # the first annotation is a name that is only there for type checkers
    _, *rest = own.parameters.values()

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        from aumclean.diagnostics.study import Options

        chosen = {name: given.pop(name) for name in shared}
        chosen["seeds"] = numbers(chosen["seeds"], "--seeds")
        command(Options(**chosen), **given)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (shared["data"], *rest, *(shared[name] for name in shared if name != "data"))
    ]
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


def numbers(text: str, name: str, kind: Callable[[str], Any] = int) -> tuple[Any, ...]:
    """A comma-separated list of different numbers, none of them negative.

    Raises:
        ConfigError: for anything else.
    """
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 0 or len(set(values)) < len(values):
        raise ConfigError(f"{name}: must be different numbers from 0 on, such as 4,8 (got {text!r})")
    return values


def _as_many_as_fit(columns: list[str], rows: list[tuple[str, ...]]) -> list[str]:
    """The first columns, as many as the terminal has room for without cutting numbers short; two at least."""
    left = console().width
    for number, name in enumerate(columns):
        left -= max(len(name), *(len(row[number]) for row in rows)) + GAP
        if left < 0 and number >= 2:
            return columns[:number]
    return columns


def show_report(report: "Report", store: "Store") -> None:
    """Sentences and tables for people, then the directory on standard output."""
    parts: list[Any] = [*(f"- {sentence}" for sentence in report.said)]
    for each in report.tables:
        if each.file_only:
            continue
        if "path" in each.columns:  # a list of images is not for a terminal
            parts.append(f"{each.title}: {len(each.rows):,} rows in {store.table(each.name)}")
            continue
        right = {column for column in each.columns if each.is_number(column)}
        rows = [tuple(cells) for cells in each.cells()]
        shown = _as_many_as_fit(each.columns, rows[:MOST_ROWS])
        cut = [row[: len(shown)] for row in rows[:MOST_ROWS]]
        parts.append(table(each.title, tuple(shown), cut, right=right))
        if len(shown) < len(each.columns):
            parts.append(f"{len(each.columns) - len(shown)} more columns in {store.table(each.name)}")
        if len(rows) > MOST_ROWS:
            parts.append(f"... and {len(rows) - MOST_ROWS:,} more rows in {store.table(each.name)}")
    show(*parts)
    say(f"page: {store.page}")
    give(store.path)
