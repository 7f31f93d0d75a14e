"""A progress bar where a person looks, on a terminal or in a notebook; elsewhere nothing."""

import html
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from aumclean.progress import T, Track, untracked

BETWEEN = 0.2  # seconds, so that a notebook is not flooded


@contextmanager
def progress_bar() -> Iterator[Track]:
    """Shows how far long steps are."""
    if (display := _display_of_notebook()) is not None:
        yield _in_notebook(display)
    elif sys.stderr is not None and sys.stderr.isatty():
        from aumclean.cli.console import bars, console

        with bars(console()) as track:
            yield track
    else:
        yield untracked


def _display_of_notebook() -> Callable[..., Any] | None:
    """The function by which a notebook shows things; None where there is no notebook."""
    if "IPython" not in sys.modules:
        return None
    from IPython import display, get_ipython

    return display.display if hasattr(get_ipython(), "kernel") else None


def _in_notebook(display: Callable[..., Any]) -> Track:
    """A bar of plain HTML, so that no widgets need to be installed."""
    from aumclean.cli.console import Seen

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
