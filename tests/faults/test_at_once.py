"""Two of the same command at once, and readers beside a writer: one is stopped before a write, then the other runs."""

import os
import signal
import sys

import pytest

from tests.faults.child import begun, in_child
from tests.faults.conftest import COMMANDS, at_write, state, writes_of

WRITERS = ("report --save", "clean", "review --import")
READERS = ("report RUN -f json", "gate RUN --max-flagged 10% -f json", "review RUN --export WORK/read.csv")


def stopped_at(words, number):
    """A command that has stopped itself at a write."""
    one = begun(words, at_write(number, lambda: os.kill(os.getpid(), signal.SIGSTOP)))
    _, status = os.waitpid(one.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), one.ended().err
    return one


def go_on(one):
    os.kill(one.pid, signal.SIGCONT)
    return one.ended()


def until_it_meets_a_lock(words):
    """A command that has ended, or is at its first lock and may wait there."""
    reading, writing = os.pipe()

    def prepare():
        def hook(event, arguments):
            if event == "open" and str(arguments[0]).endswith(".lock"):
                os.write(writing, b"x")

        sys.addaudithook(hook)

    one = begun(words, prepare)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return one


def some(count, all_of_them):
    """The writes at which to stop: all, or the first and the last."""
    return range(1, count + 1) if all_of_them else sorted({1, count})


@pytest.mark.parametrize("all_writes", [False, pytest.param(True, marks=pytest.mark.release)])
@pytest.mark.parametrize("command", COMMANDS)
def test_two_of_the_same_command_at_once_leave_what_one_leaves(command, all_writes, world, tmp_path):
    words = world(command)
    count = writes_of(words)
    after = state(tmp_path)
    for number in some(count, all_writes):
        words = world(command)
        first = stopped_at(words, number)
        second = until_it_meets_a_lock(words)
        done, other = go_on(first), second.ended()
        assert done.code == 0 or other.code == 0, (done.err, other.err)
        for one in (done, other):
            assert one.code in {0, 2} and "internal error" not in one.err and "Traceback" not in one.err, one.err
        assert state(tmp_path) == after
        assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("all_writes", [False, pytest.param(True, marks=pytest.mark.release)])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_reader_beside_a_writer_sees_what_was_or_what_will_be_or_refuses(writer, all_writes, world, tmp_path):
    def read():
        done = [in_child(words) for words in readers]
        assert not [one.err for one in done if "internal error" in one.err or "Traceback" in one.err]
        return [(one.code, one.out) for one in done]

    words, readers = world(writer), [world.words(text) for text in READERS]
    before = read()
    words = world(writer)
    count = writes_of(words)
    after = read()
    for number in some(count, all_writes):
        words = world(writer)
        one = stopped_at(words, number)
        seen = read()
        assert go_on(one).code == 0
        for text, found, old, new in zip(READERS, seen, before, after, strict=True):
            assert found in (old, new, (2, "")), f"{text} saw neither what was nor what will be"
