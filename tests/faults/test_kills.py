"""A whole scan, killed at random moments from its first instruction to its last report, goes on to the same files.

`KILLS=200 pytest -n 0 -m release tests/faults/test_kills.py` is what docs/lab/zoo.md tells of.
"""

import json
import os
import random
import resource
import shutil
import signal
import warnings
from pathlib import Path

import pytest

PHOTOS = Path(__file__).parents[1] / "data" / "run-of-version-1" / "photos"
KILLS = int(os.environ.get("KILLS", "5"))
UNLIKE = {"argv", "started", "finished", "training_seconds", "config"}  # of one run and the same run once more


def in_child(words, seconds=None):
    """Run a command in a fork; after so many seconds of its processor time it is ended as by `kill -9`.

    Gives its exit code, and the processor time that it took.
    """
    from aumclean.cli import main

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of this process are none of the child's business
        child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        if seconds is not None:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)  # nothing can catch it, flush or clean up
            signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            os._exit(ended.code)
        finally:
            os._exit(99)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def results(run):
    """Every file of a run by name, of run.json what does not tell of the time."""
    files = {file.relative_to(run).as_posix(): file.read_bytes() for file in run.rglob("*") if file.is_file()}
    files = {name: content for name, content in files.items() if not name.endswith((".lock", "report.html"))}
    record = json.loads(files.pop("run.json"))
    return {name: value for name, value in record.items() if name not in UNLIKE}, files


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A scan that nobody killed: its words but for the directory, that directory's results, and its processor time."""
    import aumclean.scanning.scan  # noqa: F401, before any fork

    folder = tmp_path_factory.mktemp("kills")
    words = [
        "scan", PHOTOS, "--epochs", "3", "--batch-size", "16", "--image-size", "8", "--precision", "fp32",
        "--jobs", "1", "--arch", "resnet8-s2d", "--cache-dir", folder / "cache", "--out",
    ]  # fmt: skip
    code, _ = in_child([*words, folder / "cold"])
    assert code == 0
    code, took = in_child([*words, folder / "whole"])
    assert code == 0
    return words, results(folder / "whole"), took


@pytest.mark.release
@pytest.mark.parametrize("attempt", range(KILLS))
def test_a_scan_killed_at_any_moment_goes_on_to_the_same_files(scanned, tmp_path, attempt):
    words, whole, took = scanned
    rng, run = random.Random(attempt), tmp_path / "run"
    code, _ = in_child([*words, run], seconds=0.001 + took * rng.random())
    assert code in {0, -signal.SIGPROF}
    while code != 0:
        again = ["scan", "--resume", run] if (run / "run.json").is_file() else [*words, run]
        code, _ = in_child(again, seconds=took * 3 if rng.random() < 0.7 else 0.001 + took * rng.random())
        assert code in {0, -signal.SIGPROF}, again
    assert results(run) == whole
    assert not list(run.rglob("*.part"))
    shutil.rmtree(run)


def test_the_limit_of_processor_time_kills_at_once(tmp_path):
    assert in_child(["--version"])[0] == 0
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert (
        in_child(["corrupt", PHOTOS, "--noise", "uniform", "-o", tmp_path / "x.csv"], seconds=0.001)[0]
        == -signal.SIGPROF
    )
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun < 5
