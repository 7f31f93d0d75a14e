"""The commands that write something and take no training, and a place for them to do so."""

import os
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.child import in_child

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
    """Make a run, photographs and decisions anew, in the same place; gives how a command names them.

    `.words` gives that of other words without making anything.
    """

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
        return words(COMMANDS[command])

    def words(text):
        folder = tmp_path / "data"
        found = text.split()
        for name, place in (("RUN", folder / "run"), ("PHOTOS", folder / "photos"), ("WORK", tmp_path / "work")):
            found = [word.replace(name, str(place)) for word in found]
        return found

    make.words = words
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
    """Stands for `os.fsync`, and does something else before its own the n-th time."""

    def __init__(self, number, does):
        self.left, self.does, self.real = number, does, os.fsync

    def __call__(self, descriptor):
        self.left -= 1
        if self.left == 0:
            self.does()
        self.real(descriptor)


def at_write(number, does):
    """Makes a process do something before its n-th write."""

    def prepare():
        os.fsync = At(number, does)

    return prepare


def writes_of(words):
    """How many times a command, which is run for that, puts something on disk."""
    with tempfile.TemporaryFile() as marks:

        def prepare():
            real = os.fsync
            os.fsync = lambda descriptor: (os.write(marks.fileno(), b"."), real(descriptor))

        done = in_child(words, prepare)
        assert done.code == 0, done.err
        return os.fstat(marks.fileno()).st_size
