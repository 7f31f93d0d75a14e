"""What people see: messages, progress and tables, all on standard error; data alone go to standard output."""

import logging
import os
import sys
import textwrap
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import typer

from aumclean.errors import harmless, printable
from aumclean.progress import Seen, T, Track, bars, untracked

LONGEST_ERROR = 1000  # characters
BETWEEN = 5.0  # seconds between lines of progress, so that a log of short epochs is not flooded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from aumclean.dataset.samples import Samples

wanted = SimpleNamespace(traceback=False)
"""What --debug asked for, which outlives the command that failed."""


def console() -> "Console":
    """Standard error: colours and animation only on a terminal; NO_COLOR is honoured."""
    from rich.console import Console  # help and version do without Rich

    in_ci = bool(os.environ.get("CI")) and "TTY_COMPATIBLE" not in os.environ
    return Console(stderr=True, highlight=False, force_terminal=False if in_ci else None, soft_wrap=False)


def write(lines: str) -> None:
    """Write to standard error: the only way there for text that has names from data in it."""
    sys.stderr.write(harmless(lines))


def say(message: str) -> None:
    """Print a sentence for people, unless --quiet; the terminal breaks it, so that a path can be copied whole."""
    if logging.getLogger("aumclean").isEnabledFor(logging.INFO):
        write(printable(message) + "\n")


def say_notes(*read: "Samples") -> None:
    """Say what was decided on the user's behalf when data were read."""
    for samples in read:
        for note in samples.notes:
            say(note)


def show(*parts: "Table | str") -> None:
    """Print tables and sentences for people, unless --quiet; what follows a dash is set in from it."""
    if logging.getLogger("aumclean").isEnabledFor(logging.INFO):
        screen = console()
        with screen.capture() as captured:
            for part in parts:
                if isinstance(part, str):
                    screen.print(_indented(part, screen.width), markup=False, soft_wrap=True)
                else:
                    screen.print(part)
        write(captured.get())


def _indented(sentence: str, width: int) -> str:
    hanging = "  " if sentence.startswith("- ") else ""
    return textwrap.fill(
        printable(sentence), width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def give(data: object) -> None:
    """Print data to standard output: once, also when several processes work together."""
    if is_main_process():
        typer.echo(data)


def is_main_process() -> bool:
    """Whether this is the process that speaks, of those that a launcher such as torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def show_error(message: str) -> None:
    """Print an error as one line, whatever it holds and however narrow the terminal; of a very long one both ends."""
    said = printable(" ".join(message.split()))
    if len(said) > LONGEST_ERROR:  # a key of 200,000 characters is named, with its file before and the remedy behind
        said = f"{said[: LONGEST_ERROR // 2]} ... {said[-LONGEST_ERROR // 2 :]}"
    write(f"aumclean: error: {said}\n")


def table(
    title: str, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]], *, right: Collection[str] = ()
) -> "Table":
    """A plain table; columns in `right` are aligned right, without names there is no head; cells are never markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    named = any(header)
    made = Table(
        title=Text(printable(title), style="bold") if title else None,
        box=box.SIMPLE_HEAD if named else None,
        show_header=named,
        title_justify="left",
        pad_edge=False,
    )
    for name in header:
        made.add_column(
            Text(printable(name)), justify="right" if name in right else "left", overflow="fold", no_wrap=name in right
        )
    for row in rows:
        made.add_row(*(Text(printable(str(value))) for value in row))
    return made


class Interrupted(Exception):
    """The user pressed Ctrl-C; the argument, if there is one, is the command that goes on."""


class _ToStandardError(logging.Handler):
    """Log records as sentences of ours; found anew each time, so that a redirected stream is the one written to."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        write(f"aumclean: {kind}{printable(record.getMessage())}\n")


def set_up(*, quiet: bool, verbose: bool, debug: bool) -> None:
    """Say as much as was asked for, in the process that speaks."""
    logger = logging.getLogger("aumclean")
    wished = logging.WARNING if quiet else logging.DEBUG if verbose or debug else logging.INFO
    logger.setLevel(wished if is_main_process() else logging.ERROR)
    logger.handlers = [_ToStandardError()]
    logger.propagate = False
    wanted.traceback = debug


@contextmanager
def progress() -> Iterator[Track]:
    """Shows how far long steps are: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""
    if not logging.getLogger("aumclean").isEnabledFor(logging.INFO):
        yield untracked
        return
    screen = console()
    if not screen.is_terminal:
        yield partial(_lines, Seen(), {})
        return
    with bars(screen) as track:
        yield track


def _lines(
    seen: Seen, said: dict[int, float], stream: Iterable[T], description: str, done: int, total: int
) -> Iterator[T]:
    """Say a line when a stream ends: of the first and the last of a total, and of others when some time has passed."""
    rate = seen.begin(done, total)
    yield from seen.counted(stream, total)
    now, left = time.monotonic(), max(0, total - seen.count[total])
    if total and (not left or now - said.get(total, -BETWEEN) >= BETWEEN):
        said[total] = now
        say(f"{description}: {rate():,.0f} images/s, {duration(left / max(rate(), 1e-9))} left")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
