"""A progress bar where a person looks, on a terminal or in a notebook; elsewhere nothing."""

import html
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aumclean.errors import harmless, printable
from aumclean.progress import Seen, T, Track, untracked

if TYPE_CHECKING:
    from rich.console import Console

BETWEEN = 0.2  # seconds, so that a notebook is not flooded


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
