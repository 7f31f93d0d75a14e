"""How far a long step is: the one type of whatever shows it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Protocol, TypeVar

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
