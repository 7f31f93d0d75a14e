"""How far a long step is: the one type of whatever shows it."""

from collections.abc import Iterable, Iterator, Sized
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
