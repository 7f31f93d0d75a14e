"""A whole scan, killed at random moments from its first instruction to its last report, goes on to the same files.

`KILLS=200 pytest -n 0 -m release tests/faults/test_kills.py` is what docs/lab/zoo.md tells of.
"""

import json
import os
import random
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.faults.child import in_child

PHOTOS = Path(__file__).parents[1] / "data" / "run-of-version-1" / "photos"
KILLS = int(os.environ.get("KILLS", "5"))
UNLIKE = {"argv", "started", "finished", "training_seconds", "config"}  # of one run and the same run once more


def kill_after(seconds):
    """Makes a process end, as by `kill -9`, after so many seconds of its processor time."""

    def prepare():
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # nothing can catch it, flush or clean up
        signal.setitimer(signal.ITIMER_PROF, seconds)

    return prepare


def results(run):
    """Every file of a run by name, of run.json, its own and that of its heads, what does not tell of the time."""
    files = {file.relative_to(run).as_posix(): file.read_bytes() for file in run.rglob("*") if file.is_file()}
    files = {name: content for name, content in files.items() if not name.endswith((".lock", "report.html"))}
    records = {name: json.loads(content) for name, content in files.items() if name.endswith("run.json")}
    return files | {
        name: {key: value for key, value in record.items() if key not in UNLIKE} for name, record in records.items()
    }


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A scan that nobody killed: its words but for the directory, that directory's results, and its processor time."""
    import aumclean.scanning.scan  # noqa: F401, before any fork

    folder = tmp_path_factory.mktemp("kills")
    np.save(folder / "features.npy", np.random.default_rng(0).normal(size=(48, 12)))
    words = [
        "scan", PHOTOS, "--epochs", "3", "--batch-size", "16", "--image-size", "8", "--precision", "fp32",
        "--jobs", "1", "--arch", "resnet8-s2d", "--cache-dir", folder / "cache",
        "--features", folder / "features.npy", "--out",
    ]  # fmt: skip
    assert in_child([*words, folder / "cold"]).code == 0
    whole = in_child([*words, folder / "whole"])
    assert whole.code == 0
    return words, results(folder / "whole"), whole.seconds


@pytest.mark.release
@pytest.mark.parametrize("attempt", range(KILLS))
def test_a_scan_killed_at_any_moment_goes_on_to_the_same_files(scanned, tmp_path, attempt):
    words, whole, took = scanned
    rng, run = random.Random(attempt), tmp_path / "whole"  # whose name is in changes.csv
    ended = in_child([*words, run], kill_after(0.001 + took * rng.random()))
    while ended.code != 0:
        assert ended.code == -signal.SIGPROF, ended.err
        again = ["scan", "--resume", run] if (run / "run.json").is_file() else [*words, run]
        ended = in_child(again, kill_after(took * 3 if rng.random() < 0.7 else 0.001 + took * rng.random()))
    assert results(run) == whole
    assert not list(run.rglob("*.part"))
    shutil.rmtree(run)


def test_the_limit_of_processor_time_kills_at_once(tmp_path):
    assert in_child(["--version"]).code == 0
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    words = ["corrupt", PHOTOS, "--noise", "uniform", "-o", tmp_path / "x.csv"]
    assert in_child(words, kill_after(0.001)).code == -signal.SIGPROF
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun < 5
