"""What the commands of the diagnostics share: their options, and what a person sees of a report."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aumclean.cli.console import console, give, progress, say, show, table
from aumclean.cli.help import CONTEXT, TRAIN, Command, Group
from aumclean.cli.options import Computing, Data, LimitedReading, Writing, option, with_options
from aumclean.errors import ConfigError, counted

if TYPE_CHECKING:
    from aumclean.diagnostics import study
    from aumclean.diagnostics.report import Report
    from aumclean.diagnostics.store import Store

MOST_ROWS = 30  # of a table on the terminal
GAP = 3  # characters between two columns


def show_help_alone(context: typer.Context) -> None:
    """The callback of a group of commands: without a command it is help that is wanted."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@dataclass(frozen=True, kw_only=True)
class Testing(LimitedReading):
    """How DATA is read, and what is tested on."""

    test: Annotated[Path | None, option("Image folder or manifest to test on.")] = None
    test_split: Annotated[str | None, option("Split of DATA to test on. [default: test]")] = None
    holdout: Annotated[float | None, option("Share of DATA to hold out at random and test on, such as 0.2.")] = None
    test_limit: Annotated[int | None, option("Test on at most this many images. [default: by preset]")] = None


@dataclass(frozen=True, kw_only=True)
class Study(Writing, Computing, Testing, panel=TRAIN):
    """DATA, and the options of every diagnostic that trains."""

    data: Data
    preset: Annotated[
        Literal["quick", "paper"] | None,
        option("quick: minutes on a laptop; paper: as published, for hours. [default: quick]"),
    ] = None
    arch: Annotated[str | None, option("Network. [default: by preset]")] = None
    image_size: Annotated[int | None, option("Side in pixels. [default: median short side, at most 32]")] = None
    epochs: Annotated[int | None, option("Passes over the data. [default: by preset]")] = None
    batch_size: Annotated[int | None, option("Images per step. [default: by preset]")] = None
    learning_rate: Annotated[float | None, option("Rate at the start. [default: by preset]")] = None
    seeds: Annotated[
        str | None,
        option("Seeds, such as 0,1,2; every training is repeated with each. [default: 0]"),
    ] = None

    def options(self) -> "study.Options":
        """The options as the diagnostics take them."""
        from aumclean.config.reading import checked
        from aumclean.diagnostics import study

        given = self.given()
        if "seeds" in given:
            given["seeds"] = numbers(given["seeds"], "--seeds")
        return checked(study.Options, **given)


def numbers(text: str, name: str, kind: Callable[[str], Any] = int) -> tuple[Any, ...]:
    """A comma-separated list of different numbers, none of them negative.

    Raises:
        ConfigError: for anything else.
    """
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 <= value < math.inf for value in values) or len(set(values)) < len(values):
        raise ConfigError(f"{name}: must be different numbers from 0 on, such as 4,8 (got {text!r})")
    return values


def answer(diagnostic: Callable[..., "tuple[Report, Store]"], study: Study, *asked: Any, **more: Any) -> None:
    """Ask it of a study, and show what it found."""
    with progress() as track:
        report, store = diagnostic(study.options(), *asked, track=track, **more)
    show_report(report, store)


def group(about: str, *commands: Callable[..., None]) -> typer.Typer:
    """A group of diagnostics, each a command under the name of its function; alone it shows its help."""
    app = typer.Typer(
        cls=Group,
        help=f"{about}\n\n"
        "A command that was stopped goes on when it is given again with the directory it wrote as --out.",
        invoke_without_command=True,
        callback=show_help_alone,
        context_settings=CONTEXT,
        rich_markup_mode=None,
    )
    for command in commands:
        app.command(command.__name__, cls=Command, context_settings=CONTEXT)(with_options(command))
    return app


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
            parts.append(f"{each.title}: {counted(len(each.rows), 'row')} in {store.table(each.name)}")
            continue
        right = {column for column in each.columns if each.is_number(column)}
        rows = [tuple(cells) for cells in each.cells()]
        shown = _as_many_as_fit(each.columns, rows[:MOST_ROWS])
        cut = [row[: len(shown)] for row in rows[:MOST_ROWS]]
        words = {name: name.replace("_", " ") for name in shown}  # the names are those of the CSV file
        parts.append(
            table(each.title, tuple(words.values()), cut, right={words[name] for name in shown if name in right})
        )
        if len(shown) < len(each.columns):
            more = counted(len(each.columns) - len(shown), "column")
            parts.append(f"{more} more in {store.table(each.name)}")
        if len(rows) > MOST_ROWS:
            parts.append(f"{counted(len(rows) - MOST_ROWS, 'row')} more in {store.table(each.name)}")
    show(*parts)
    say(f"page: {store.page}")
    give(store.path)
