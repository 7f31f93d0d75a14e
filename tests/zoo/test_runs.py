"""Run directories of which one file is gone, cut, flipped, of another kind or from a newer version."""

import importlib
import json
import random
import shutil
from pathlib import Path

import pytest

from .conftest import DAMAGES, STORED, damaged, put

SCAN = sorted(file.relative_to(STORED / "run").as_posix() for file in (STORED / "run").rglob("*") if file.is_file())
SCORES = sorted(file.name for file in (STORED / "scores").iterdir())
READS = {  # which commands read a file; of the others every command must not care
    "report": ("report", "-f", "json"),
    "gate": ("gate", "--max-flagged", "100%", "-f", "json"),
    "clean": ("clean", "-o", "kept.csv"),
    "review": ("review", "--export", "decisions.csv"),
}
BY_GATE = ("report.parquet", "summary.json", "unreadable.csv")
BY_CLEAN = ("samples.parquet", "manifest.parquet")


def commands(file):
    """The commands a damaged file is put before: the one that rests on it most, and one more."""
    if file in BY_GATE:
        return ["gate"]
    if file in BY_CLEAN:
        return ["clean", "review"]
    return ["gate", "report"] if file == "run.json" else ["report"]


def cases():
    for file in SCAN:
        more = ["another", "newer"] if file.endswith(".json") else ["another"]
        for damage in [*DAMAGES, *more]:
            for command in commands(file) if damage in DAMAGES else commands(file)[:1]:
                yield pytest.param(file, damage, command, id=f"{file}-{damage}-{command}")


def changed(run, file, damage):
    """What stands in a file after some damage; None when it is gone."""
    content = (run / file).read_bytes()
    if damage == "newer":
        return json.dumps({**json.loads(content), "schema_version": 2, "later": True}).encode()
    if damage == "another":
        return (run / next(one for one in SCAN if Path(one).suffix == Path(file).suffix and one != file)).read_bytes()
    return dict(damaged(content, random.Random(file)))[damage]


@pytest.fixture(scope="module")
def whole(stored, tmp_path_factory):
    """The run, damaged and mended again by each case; and what its commands say when it is whole."""
    importlib.import_module("aumclean.reports.write")  # not in the time of the first case
    run = Path(shutil.copytree(stored / "run", tmp_path_factory.mktemp("zoo") / "run"))
    return run, {}


def answer(command, run, done):
    if command == "clean":
        return (run.parent / "kept.csv").read_bytes(), (run.parent / "kept.changes.csv").read_bytes()
    return done.out


def words(command, run):
    name, *rest = READS[command]
    return [name, run, *(run.parent / word if word.endswith(".csv") else word for word in rest)]


@pytest.mark.parametrize(("file", "damage", "command"), list(cases()))
def test_a_run_of_which_a_file_is_damaged_says_so_or_gives_the_same_answer(whole, ask, tally, file, damage, command):
    run, known = whole
    if command not in known:
        outcome, done = ask(*words(command, run), named=[])
        known[command] = (outcome, answer(command, run, done))
    before = (run / file).read_bytes()
    put(run / file, changed(run, file, damage))
    try:
        outcome, done = ask(*words(command, run), named=[run])
        tally(f"run directory: {'report and tables' if file.endswith('.parquet') else Path(file).suffix[1:]}", outcome)
        if outcome != "refused" and not file.endswith((".csv", ".json")):
            assert (outcome, answer(command, run, done)) == known[command], "another answer without a word"
    finally:
        (run / file).parent.mkdir(exist_ok=True)
        (run / file).write_bytes(before)


@pytest.mark.parametrize("file", SCORES)
def test_scores_of_which_a_file_is_damaged_say_so_or_pass_the_same(stored, ask, tally, tmp_path, file):
    scores = Path(shutil.copytree(stored / "scores", tmp_path / "scores"))
    content = (scores / file).read_bytes()
    command = ("gate", scores, "--max-flagged", "100%", "-f", "json")
    _, whole = ask(*command, named=[])
    for _, changed in damaged(content, random.Random(file)):
        (scores / file).write_bytes(content)
        put(scores / file, changed)
        outcome, done = ask(*command, named=[scores])
        tally("scores of new images", outcome)
        if outcome != "refused" and not file.endswith(("csv", "json")):
            assert done.out == whole.out
