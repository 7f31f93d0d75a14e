"""How far a long step is: a bar where a person looks, on a terminal or in a notebook; elsewhere nothing."""

import html
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aumclean.errors import harmless, printable

if TYPE_CHECKING:
    from rich.console import Console

BETWEEN = 0.2  # seconds, so that a notebook is not flooded

T = TypeVar("T", bound=Sized)


class Track(Protocol):
    """Passes a stream of batches on, and shows how many samples have gone by.

    Several streams of the same total may run at once, in threads; they add up to it, beyond what was done before.
    """

    def __call__(self, stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
        """Pass the stream on.

        Args:
            stream: batches; the length of each is how many samples it holds.
            description: what is being done, in a few words.
            done: samples that are done already.
            total: samples there are.
        """
        ...


def untracked(stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
    """Show nothing."""
    return iter(stream)


def part_of(track: Track, what: str, before: int, whole: int) -> Track:
    """Progress of one of several steps that follow each other.

    Args:
        track: what shows all of them.
        what: the step's name, put before its own description; may be empty.
        before: samples that earlier steps had.
        whole: samples that all steps have.
    """

    def tracked(stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
        return track(stream, ", ".join(filter(None, (what, description))), before + done, whole)

    return tracked


class Seen:
    """How many samples of each total are done; several streams of the same total may run at once, in threads."""

    def __init__(self) -> None:
        self.count: dict[int, int] = {}
        self.running: dict[int, int] = {}  # streams of each total
        self.lock = threading.Lock()

    def begin(self, done: int, total: int) -> Callable[[], float]:
        """Before a stream, when `done` are done; gives what says how many a second all streams do from now.

        What counts is what `done` says, since the step before may have ended early; but of streams that run side by
        side, what they have counted.
        """
        with self.lock:
            self.count[total] = max(self.count[total], done) if self.running.get(total) else done
            started, before = time.perf_counter(), self.count[total]
        return lambda: (self.count[total] - before) / max(time.perf_counter() - started, 1e-9)

    def counted(self, stream: Iterable[T], total: int) -> Iterator[T]:
        """Pass a stream on, and count it."""
        with self.lock:
            self.running[total] = self.running.get(total, 0) + 1
        try:
            for item in stream:
                yield item
                with self.lock:
                    self.count[total] += len(item)
        finally:
            with self.lock:
                self.running[total] -= 1


@contextmanager
def progress_bar() -> Iterator[Track]:
    """Shows how far long steps are."""
    if (display := _display_of_notebook()) is not None:
        yield _in_notebook(display)
    elif sys.stderr is not None and sys.stderr.isatty():
        from rich.console import Console

        with bars(Console(stderr=True)) as track:
            yield track
    else:
        yield untracked


def by_default(stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
    """What shows a function's progress where its caller did not say what should: a bar for one stream at a time."""
    if (display := _display_of_notebook()) is None:
        with progress_bar() as track:
            yield from track(stream, description, done, total)
        return
    if not done or not _of_notebook:
        _of_notebook[:] = [_in_notebook(display)]  # another step; its epochs share a line
    yield from _of_notebook[0](stream, description, done, total)


_of_notebook: list[Track] = []


@contextmanager
def bars(screen: "Console") -> Iterator[Track]:
    """Draws bars, one for all streams of the same total; they go when all is done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # it may name data
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as shown:
        seen, tasks = Seen(), dict[int, Any]()

        def bar(stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
            rate, description = seen.begin(done, total), harmless(printable(description))
            for other in [other for other in tasks if other != total and not seen.running[other]]:
                shown.remove_task(tasks.pop(other))  # it ended early, and this is another stage
            if total not in tasks:
                tasks[total] = shown.add_task(description, total=total, completed=seen.count[total], rate="")
            shown.update(tasks[total], description=description, completed=seen.count[total])
            for item in seen.counted(stream, total):
                yield item
                shown.update(tasks[total], completed=seen.count[total], rate=f"{rate():,.0f} images/s")
            if seen.count[total] >= total and total in tasks:  # no line stays where the next stage's will be
                shown.remove_task(tasks.pop(total))

        yield bar


def _display_of_notebook() -> Callable[..., Any] | None:
    """The function by which a notebook shows things; None where there is no notebook."""
    if "IPython" not in sys.modules:
        return None
    from IPython import display, get_ipython

    return display.display if hasattr(get_ipython(), "kernel") else None


def _in_notebook(display: Callable[..., Any]) -> Track:
    """A bar of plain HTML, so that no widgets need to be installed."""
    seen = Seen()
    shown = display({"text/plain": ""}, raw=True, display_id=True)

    def track(stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
        rate = seen.begin(done, total)
        last = 0.0
        for item in seen.counted(stream, total):
            yield item
            count, now = seen.count[total], time.monotonic()
            if now - last < BETWEEN and count < total:
                continue
            last = now
            text = f"{description}: {count:,} of {total:,} images, {rate():,.0f} images/s"
            bar = f'<progress value="{count}" max="{total}"></progress> {html.escape(text)}'
            shown.update({"text/html": bar, "text/plain": text}, raw=True)

    return track
