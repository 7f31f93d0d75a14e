"""Every write of every command fails once, is cut short once and is interrupted once: nothing or the whole is there.

Training is not among these: `tests/scanning` stops scans, and the slow tests kill them.
"""

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from tests.faults.child import in_child
from tests.faults.conftest import COMMANDS, At, at_write, state, writes_of


def fail(number):
    def failing():
        raise OSError(number, os.strerror(number))

    return failing


def interrupt():
    raise KeyboardInterrupt


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS = [(fail(errno.ENOSPC), 2), (fail(errno.EIO), 2), (interrupt, 130)]


@pytest.mark.parametrize("all_faults", [False, pytest.param(True, marks=pytest.mark.release)])
@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_write_fails_nothing_or_the_whole_is_there_and_it_can_be_repeated(
    command, all_faults, world, aumclean, monkeypatch, tmp_path
):
    words = world(command)
    before = state(tmp_path)
    count = writes_of(words)
    after = state(tmp_path)
    assert count > 0 and after != before
    for number in range(1, count + 1):
        for does, code in FAULTS if all_faults else FAULTS[number % 3 : number % 3 + 1]:
            words = world(command)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", At(number, does))
                done = aumclean(*words)
            assert (done.code, done.out) == (code, ""), done.err
            assert "internal error" not in done.err and "Traceback" not in done.err
            if code == 2:
                (line,) = [line for line in done.err.splitlines() if line.startswith("aumclean: error: ")]
                assert str(tmp_path) in line and ("no space left" in line or "input/output error" in line)
            assert not list(tmp_path.rglob("*.part"))
            for name, content in state(tmp_path).items():
                assert content in (before.get(name), after.get(name)), f"{name} is neither as before nor whole"
            assert aumclean(*words).code == 0
            assert state(tmp_path) == after


@pytest.mark.parametrize("command", COMMANDS)
def test_a_write_that_is_cut_short_leaves_nothing_half(command, world, aumclean, tmp_path):
    """A limit on the size of files cuts every writer short, those of other libraries too."""
    words = world(command)
    before = state(tmp_path)
    assert aumclean(*words).code == 0
    after = state(tmp_path)
    sizes = {
        len(content) for name, content in after.items() if isinstance(content, bytes) and before.get(name) != content
    }
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in sorted(sizes)[:: max(1, len(sizes) // 6)]:
        words = world(command)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, most))
        try:
            done = aumclean(*words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert done.code == 2, done.err
        assert "internal error" not in done.err
        assert str(tmp_path) in done.err or len(done.err) >= size - 2  # what is caught here is cut short as well
        assert not list(tmp_path.rglob("*.part"))
        for name, content in state(tmp_path).items():
            assert content in (before.get(name), after.get(name)), f"{name} is neither as before nor whole"


@pytest.mark.release
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_write_nothing_or_the_whole_is_there_and_it_can_be_repeated(command, world, aumclean, tmp_path):
    words = world(command)
    before = state(tmp_path)
    count = writes_of(words)
    after = state(tmp_path)
    for number in range(1, count + 1):
        words = world(command)
        assert in_child(words, at_write(number, kill)).code == -signal.SIGKILL
        for name, content in state(tmp_path).items():
            part = Path(name)
            is_left = any(piece.startswith(".") and piece.endswith(".part") for piece in part.parts) or ".part" in name
            assert is_left or content in (before.get(name), after.get(name)), f"{name} is neither as before nor whole"
        assert aumclean(*words).code == 0
        kept = {name: content for name, content in state(tmp_path).items() if ".part" not in name}
        assert kept == after
