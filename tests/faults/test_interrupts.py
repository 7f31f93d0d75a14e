"""Ctrl-C and SIGTERM, at moments that are named by what a command does then: it ends in words and leaves a whole run.

How a process ends whose training threads still run is in `tests/cli`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aumclean.diagnostics.store import Store
from aumclean.run.directory import Run
from tests.diagnostics.conftest import write_bands
from tests.faults.child import in_child

STORED = Path(__file__).parents[1] / "data" / "run-of-version-1"
LOADING = """
import os, signal, sys
interrupted_at, seen = int(sys.argv.pop(1)), 0
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it

def hook(event, arguments):
    global seen
    seen += event == "import"
    if seen == interrupted_at and event == "import":
        os.kill(os.getpid(), signal.SIGINT)

from aumclean.__main__ import main  # what comes before is Python's, which dies of the signal
sys.addaudithook(hook)
try:
    main()
finally:
    if not interrupted_at:
        print(seen)
"""


@pytest.fixture(scope="module")
def stored_run(tmp_path_factory):
    """What a gate of a small run asks for."""
    run = tmp_path_factory.mktemp("stored") / "run"
    run.mkdir()
    for file in ("run.json", "samples.parquet", "unreadable.csv"):
        (run / file).write_bytes((STORED / "run" / file).read_bytes())
    return run


def gate_interrupted(run, at):
    command = [sys.executable, "-c", LOADING, str(at), "gate", run, "--max-flagged", "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def imports(stored_run):
    """How many imports a gate makes until it ends by itself."""
    return int(gate_interrupted(stored_run, at=0).stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "share", [0.05, 0.95, *(pytest.param(part / 40, marks=pytest.mark.release) for part in range(1, 40))]
)
def test_ctrl_c_while_a_gate_is_loaded_does_not_say_that_the_data_failed(stored_run, imports, share):
    done = gate_interrupted(stored_run, at=round(share * imports))
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr == "aumclean: error: interrupted\n"


def signal_when(word, sent, times):
    """Makes a process signal itself some times when it first opens a file with this word in its name."""

    def prepare():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        left = [times]

        def hook(event, arguments):
            while left[0] and event == "open" and word in str(arguments[0]):
                left[0] -= 1
                os.kill(os.getpid(), sent)

        sys.addaudithook(hook)

    return prepare


def of_scan(folder, out, *more):
    import aumclean.scanning.scan  # noqa: F401, before any fork

    return [
        "scan", folder, "--epochs", "3", "--batch-size", "4", "--image-size", "8", "--precision", "fp32",
        "--jobs", "2", "--arch", "resnet8-s2d", "--cache-dir", out.parent / "cache", "--out", out, *more,
    ]  # fmt: skip


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("word", "run_is_there"),
    [
        ("/photos/", False),
        ("/.run.json.", False),
        ("/.unreadable.csv.", True),
        ("/.draw=0.lock", True),
        ("/.draw=1.pt.", True),
        ("/.model.json.", True),
        ("/.report.csv.", True),
    ],
)
def test_a_scan_that_is_stopped_names_what_goes_on_if_there_is_something(folder, tmp_path, word, run_is_there, sent):
    run = Run(tmp_path / "run")
    done = in_child(of_scan(folder, run.path), signal_when(word, sent, 5))
    code, said = (130, "interrupted") if sent == signal.SIGINT else (2, "the scan was told to stop")
    none = "" if sent == signal.SIGINT else "; no run was begun"
    last = f"; go on with: aumclean scan --resume {run.path}" if run_is_there else none
    assert done.code == code, done.err
    assert done.err.splitlines()[-1] == f"aumclean: error: {said}{last}"
    assert "Traceback" not in done.err and "Exception ignored" not in done.err
    assert run.run_json.is_file() == run_is_there
    assert not list(tmp_path.rglob("*.part"))
    if run_is_there:
        assert run.read().state == "interrupted"


def test_a_draw_of_its_own_that_is_stopped_is_trained_by_the_same_command(folder, tmp_path):
    run = Run(tmp_path / "run")
    words = of_scan(folder, run.path, "--draws", "2", "--only-draw", "1")
    done = in_child(words, signal_when("/.draw=1.pt.", signal.SIGTERM, 2))
    last = "aumclean: error: the scan was told to stop; go on with: the same command once more"
    assert (done.code, done.err.splitlines()[-1]) == (2, last)
    assert run.untrained() == [0, 1]
    assert in_child(words).code == 0
    assert run.untrained() == [0]


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory):
    """16 training and 8 test images."""
    import aumclean.diagnostics.frequency.split
    import aumclean.diagnostics.random_labels.fitting
    import aumclean.diagnostics.retraining.compare  # noqa: F401, before any fork

    return write_bands(tmp_path_factory.mktemp("trained-on") / "photos", {"train": 4, "test": 2}, size=12)


def test_a_diagnostic_that_is_interrupted_says_so_and_goes_on(tmp_path, trained_on):
    store = Store(tmp_path / "out")
    words = ["random-labels", "fit", trained_on, "--corruption", "true", "--epochs", "1", "--device", "cpu"]
    words += ["--cache-dir", tmp_path / "cache", "--out", store.path]
    done = in_child(words, signal_when("/trainings/.", signal.SIGINT, 3))
    assert (done.code, done.err.splitlines()[-1]) == (130, "aumclean: error: interrupted; go on with: the same command")
    assert "Traceback" not in done.err and not list(tmp_path.rglob("*.part"))
    assert store.read().state == "interrupted"
    assert in_child(words, signal_when("/trainings/.", signal.SIGKILL, 1)).code == -signal.SIGKILL
    assert store.read().state == "running"
    assert in_child(words).code == 0
    assert store.read().state == "done"


def test_a_diagnostic_without_a_named_place_says_where_it_goes_on(tmp_path, trained_on):
    def prepare():
        os.chdir(tmp_path)
        signal_when("/.energy.csv.", signal.SIGINT, 1)()

    done = in_child(["frequency", "split", trained_on / "train", "--radius", "3", "--device", "cpu"], prepare)
    said = "aumclean: error: interrupted; go on with: the same command and --out runs/train-frequency-split-1"
    assert (done.code, done.err.splitlines()[-1]) == (130, said)
    assert Store(tmp_path / "runs" / "train-frequency-split-1").read().state == "interrupted"


def test_a_comparison_that_is_interrupted_goes_on_with_the_same_command(tmp_path, trained_on):
    words = ["train", trained_on, "--epochs", "1", "--device", "cpu", "--cache-dir", tmp_path / "cache"]
    words += ["--out", tmp_path / "out"]
    done = in_child(words, signal_when("/trainings/.", signal.SIGINT, 1))
    assert (done.code, done.err.splitlines()[-1]) == (130, "aumclean: error: interrupted; go on with: the same command")
    assert not (tmp_path / "out" / "results.json").exists() and not list(tmp_path.rglob("*.part"))
    assert in_child(words).code == 0
    assert (tmp_path / "out" / "results.json").is_file()


def test_before_a_training_is_begun_there_is_nothing_to_go_on_with(tmp_path, trained_on):
    words = ["train", trained_on, "--epochs", "1", "--device", "cpu", "--cache-dir", tmp_path / "cache"]
    done = in_child([*words, "--out", tmp_path / "out"], signal_when("/train/class-3/", signal.SIGINT, 1))
    assert (done.code, done.err.splitlines()[-1]) == (130, "aumclean: error: interrupted")
