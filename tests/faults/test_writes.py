"""Every write of every command fails once, is cut short once and is interrupted once: nothing or the whole is there.

Training is not among these: `tests/scanning` stops scans, and the slow tests kill them.
"""

import errno
import os
import resource
import shutil
import signal
import warnings
from pathlib import Path

import pyarrow.parquet as pq
import pytest

STORED = Path(__file__).parents[1] / "data" / "run-of-version-1"
ROWS = pq.read_table(STORED / "run" / "samples.parquet").to_pylist()
HEADER = "sample_id,content_hash,path,label,decision,new_label,reviewer,time,note\n"
COMMANDS = {
    "report --save": "report RUN --save --target-recall 0.9",
    "report to a file": "report RUN -f html -o WORK/page.html",
    "report to a folder": "report RUN -f label-studio -o WORK/tasks",
    "clean": "clean RUN --decisions WORK/decided.csv -o WORK/kept.csv --ledger WORK/ledger.csv",
    "clean with copies": "clean RUN --copy-to WORK/copies",
    "review --import": "review RUN --import WORK/decided.csv",
    "review --export": "review RUN --export WORK/out.csv",
    "gate --write-baseline": "gate RUN --write-baseline WORK/baseline.json",
    "gate --report": "gate RUN --max-flagged 100% --report sarif=WORK/a.sarif --report junit=WORK/b.xml",
    "corrupt": "corrupt PHOTOS --noise uniform --rate 0.5 -o WORK/noisy.csv",
    "corrupt by pictures": "corrupt PHOTOS --noise instance --rate 0.5 -o WORK/noisy.csv --cache-dir WORK/cache",
}


@pytest.fixture
def world(tmp_path):
    """Make a run, photographs and decisions anew, in the same place; gives how a command names them."""

    def make(command):
        for left in tmp_path.iterdir():
            shutil.rmtree(left)
        folder = Path(shutil.copytree(STORED, tmp_path / "data"))
        (tmp_path / "work").mkdir()
        run = folder / "run" / "run.json"
        text = run.read_text().replace('"/data/', f'"{folder}/')
        run.write_text(text.replace('"threshold": "estimate"', '"threshold": "estimate", "target_recall": 0.5'))
        lines = [
            f"{row['sample_id']},{row['content_hash']},{row['path']},{row['label']},keep,,ann,2026-01-01T00:00:00,"
            for row in ROWS[:30]
            if row["label"] == ROWS[0]["label"]
        ]
        (tmp_path / "work" / "decided.csv").write_text(HEADER + "\n".join(lines) + "\n")
        (folder / "photos" / "amber" / "torn.png").unlink()
        places = {"RUN": folder / "run", "PHOTOS": folder / "photos", "WORK": tmp_path / "work"}
        words = COMMANDS[command].split()
        for name, place in places.items():
            words = [word.replace(name, str(place)) for word in words]
        return words

    return make


def state(folder):
    """What is in a folder but locks and decoded images; of the journal, whose ids and times differ, how many lines."""
    found = {}
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.endswith(".lock") and "cache" not in file.parts:
            content = file.read_bytes()
            is_journal = file.name == "decisions.jsonl"
            found[file.relative_to(folder).as_posix()] = content.count(b"\n") if is_journal else content
    return found


class At:
    """Stands for `os.fsync`, and does something else the n-th time."""

    def __init__(self, number, does):
        self.left, self.does, self.real = number, does, os.fsync

    def __call__(self, descriptor):
        self.left -= 1
        if self.left == 0:
            self.does()
        self.real(descriptor)


def fail(number):
    def failing():
        raise OSError(number, os.strerror(number))

    return failing


def interrupt():
    raise KeyboardInterrupt


def writes_of(aumclean, words, monkeypatch):
    """How many times a command puts something on disk."""
    counter = At(0, None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counter)
        assert aumclean(*words).code == 0
    return -counter.left


FAULTS = [(fail(errno.ENOSPC), 2), (fail(errno.EIO), 2), (interrupt, 130)]


@pytest.mark.parametrize("all_faults", [False, pytest.param(True, marks=pytest.mark.release)])
@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_write_fails_nothing_or_the_whole_is_there_and_it_can_be_repeated(
    command, all_faults, world, aumclean, monkeypatch, tmp_path
):
    words = world(command)
    before = state(tmp_path)
    count = writes_of(aumclean, words, monkeypatch)
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


def killed(words, number):
    """Run a command in a process of its own, which kills itself at a write."""
    from aumclean.cli import main

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of this process are none of the child's business
        child = os.fork()
    if child == 0:
        os.fsync = At(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            main(words)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.release
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_write_nothing_or_the_whole_is_there_and_it_can_be_repeated(
    command, world, aumclean, monkeypatch, tmp_path
):
    words = world(command)
    before = state(tmp_path)
    count = writes_of(aumclean, words, monkeypatch)
    after = state(tmp_path)
    for number in range(1, count + 1):
        words = world(command)
        assert killed(words, number) == -signal.SIGKILL
        for name, content in state(tmp_path).items():
            part = Path(name)
            is_left = any(piece.startswith(".") and piece.endswith(".part") for piece in part.parts) or ".part" in name
            assert is_left or content in (before.get(name), after.get(name)), f"{name} is neither as before nor whole"
        assert aumclean(*words).code == 0
        kept = {name: content for name, content in state(tmp_path).items() if ".part" not in name}
        assert kept == after
