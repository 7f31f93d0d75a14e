"""Readers of everything that is stored, before files that were changed at random: a value, or an error that names them.

The long run is once before a release: `MUTATIONS=10000 pytest -n 0 -m release tests/zoo/test_mutations.py`.
"""

import json
import os
import random
import shutil
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from aumclean.config.reading import load, load_gate
from aumclean.dataset.read import read_samples
from aumclean.decisions import ledger
from aumclean.decisions.clean import read_changes
from aumclean.decisions.journal import Decision, Journal
from aumclean.decisions.read import read
from aumclean.errors import AumcleanError
from aumclean.gate.baseline import read_baseline
from aumclean.gate.subject import read_subject
from aumclean.margins.final import read_final
from aumclean.margins.held_out import HeldOut, read_part, write_held_out
from aumclean.margins.log import read_block
from aumclean.run import tables
from aumclean.run.directory import Run

from .conftest import SECONDS
from .test_words_of_people import BASELINE, CVAT, HEADER, LINE, ROW, TASK

MUTATIONS = int(os.environ.get("MUTATIONS", "10000"))
PART = "margins/draw=0/epoch=000/part-0.parquet"
OF_RUN = {
    "run.json": lambda run: Run(run).read(),
    "samples.parquet": lambda run: tables.read_samples(Run(run), "path", "label", "content_hash"),
    "unreadable.csv": lambda run: tables.read_unreadable(Run(run)),
    "report.parquet": read_subject,
    "summary.json": read_subject,
    "changes.csv": lambda run: read_changes(run / "changes.csv"),
    PART: lambda run: read_block(run / "margins", 0, range(1), 0, 48),
    "models/draw=0.margins.parquet": lambda run: list(read_final(run / "models/draw=0.margins.parquet", 48)),
    "held_out/part-0.parquet": lambda run: read_part(run / "held_out/part-0.parquet", 2),
}
DECIDED = {"sample_id": 5, "content_hash": ROW["content_hash"], "decision": "keep", "reviewer": "ann"}
JOURNAL = "".join(Decision(id=f"{number}", **DECIDED).model_dump_json() + "\n" for number in range(3))
ROWS = '{"path": "amber/000.png", "label": "a"}\n{"path": "blue/001.png", "label": "b"}\n'
MANIFEST = "path,label\namber/000.png,a\nblue/001.png,b\n"


def options(load, file):
    return load({}, file=file, environment={})


OF_PEOPLE = {
    "decisions.jsonl": (JOURNAL, lambda file: Journal(file).current()),
    "decided.csv": (f"{HEADER}\n{LINE}\n", read),
    "decided.json": (json.dumps([TASK]), read),
    "decided.xml": (CVAT, read),
    "baseline.json": (json.dumps(BASELINE), read_baseline),
    "ledger.csv": ("content_hash,label,reviewer,time,run\nabc,a,ann,2026-01-01T00:00:00,r\n", ledger.read),
    "manifest.csv": (MANIFEST, read_samples),
    "manifest.tsv": (MANIFEST.replace(",", "\t"), read_samples),
    "manifest.jsonl": (ROWS, read_samples),
    "options.toml": ('[scan]\nepochs = 3\npreset = "fast"\n', partial(options, load)),
    "budgets.toml": ('[gate]\nmax_flagged = "3%"\nmax_new = 2\n', partial(options, load_gate)),
}  # fmt: skip
TOKENS = [
    b"9" * 5000, b"-1", b"1e999", b"null", b"true", b'"\\ud800"', b"[", b"{}", b"NaN", b"\0", b",", b'"', b"\r", b"\n",
    b"10000000000", b"\xff", b"\xef\xbb\xbf", b"[" * 3000, b":", b"0.5", b"\\u0000", b"=1+1", b"x" * 200_000, b"'",
]  # fmt: skip


def mutated(content, rng):
    """Bytes with some of them flipped, left out, put twice, moved, or replaced by what means something."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice([0, 1, 2, 8, 64, len(content)]))
        kind = rng.randrange(5)
        if kind == 0 and at < len(content):
            content = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        elif kind == 1:
            content = content[:at] + content[end:]
        elif kind == 2:
            content = content[:end] + content[at:]
        elif kind == 3:
            content = content[:at] + rng.choice(TOKENS) + content[end:]
        else:
            content = content[end:] + content[at:end] + content[:at]
    return content


def assert_each_is_read_or_refused(name, file, reader, argument, count):
    """Read a file after each of so many mutations of it; gives how many of them were refused in time and by name."""
    whole, refused = file.read_bytes(), 0
    for number in range(count):
        file.write_bytes(mutated(whole, random.Random(f"{name} {number}")))
        begun = time.process_time()
        try:
            reader(argument)
        except AumcleanError as error:
            refused += 1
            assert str(argument) in str(error) or file.name in str(error), (number, str(error)[:500])
        except Exception as error:
            raise AssertionError(f"{name}: mutation {number}") from error
        assert time.process_time() - begun < SECONDS, number
    file.write_bytes(whole)
    return refused


def written(name, folder):
    """A file of people, beside the images that a manifest names."""
    for image in ("amber/000.png", "blue/001.png"):
        (folder / image).parent.mkdir(exist_ok=True)
        (folder / image).touch()
    (folder / name).write_text(OF_PEOPLE[name][0])
    return folder / name


def copied(stored, folder):
    run = Path(shutil.copytree(stored / "run", folder / "run"))
    write_held_out(run / "held_out/part-0.parquet", HeldOut(np.arange(8), np.zeros(8), np.log(np.full((8, 2), 0.5))))
    return run


def counts():
    each = -(-MUTATIONS // (len(OF_RUN) + len(OF_PEOPLE)))
    return [10, pytest.param(each, marks=pytest.mark.release)]


@pytest.mark.parametrize("count", counts())
@pytest.mark.parametrize("name", OF_RUN)
def test_a_file_of_a_run_is_read_or_refused_whatever_was_changed_in_it(stored, tmp_path, name, count, record_property):
    run = copied(stored, tmp_path)
    record_property("refused", assert_each_is_read_or_refused(name, run / name, OF_RUN[name], run, count))


@pytest.mark.parametrize("count", counts())
@pytest.mark.parametrize("name", OF_PEOPLE)
def test_a_file_of_people_is_read_or_refused_whatever_was_changed_in_it(tmp_path, name, count, record_property):
    file, reader = written(name, tmp_path), OF_PEOPLE[name][1]
    record_property("refused", assert_each_is_read_or_refused(name, file, reader, file, count))


def test_the_readers_read_what_was_not_changed(stored, tmp_path):
    run = copied(stored, tmp_path)
    for name, reader in OF_RUN.items():
        assert reader(run) is not None, name
    for name, (_, reader) in OF_PEOPLE.items():
        assert reader(written(name, tmp_path)) is not None, name
    assert len(pq.read_table(stored / "run" / PART)) == 48
