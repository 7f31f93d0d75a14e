import json
from pathlib import Path

import pytest

from tests.diagnostics.conftest import require_described, write_bands

COMMANDS = ("split", "test", "curves", "transfer", "heuristics", "robustness", "join")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_bands(tmp_path_factory.mktemp("data") / "photos", {"train": 6, "test": 3})


def test_the_group_alone_shows_its_commands(aumclean):
    shown = aumclean("frequency")
    assert shown.code == 2
    for command in COMMANDS:
        assert f"  {command}" in shown.out
    assert aumclean("frequency", "--help").code == 0


def test_split_prints_its_directory_and_says_what_it_found(data, aumclean, tmp_path):
    done = aumclean("frequency", "split", data / "train", "--radius", 3, "-o", tmp_path / "out")
    assert (done.code, done.out) == (0, f"{tmp_path / 'out'}\n")
    assert "Energy below a radius" in done.err and "page.html" in done.err
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {
        "diagnostic.json", "page.html", "energy.csv", "energy.svg", "energy.png", "sheet.png", "low", "high",
    }  # fmt: skip
    require_described(json.loads((tmp_path / "out" / "diagnostic.json").read_text()))


@pytest.mark.parametrize("command", ["test", "curves", "transfer", "heuristics", "robustness"])
def test_every_diagnostic_runs_from_the_command_line_and_again_from_what_is_stored(command, data, aumclean, tmp_path):
    arguments = ["frequency", command, data, "-o", tmp_path / "out", "--epochs", 1, "--device", "cpu", "--seeds", "0"]
    if command == "robustness":
        arguments += ["--rhos", "0,1", "--epsilons", "0.03"]
    elif command == "heuristics":
        arguments += ["--variants", "vanilla, dropout", "--radii", "2"]
    else:
        arguments += ["--radii", "2"]
    done = aumclean(*arguments)
    assert (done.code, done.out) == (0, f"{tmp_path / 'out'}\n"), done.err
    record = json.loads((tmp_path / "out" / "diagnostic.json").read_text())
    assert record["state"] == "done" and record["kind"] == f"frequency {command}"
    require_described(record)
    if command != "test":
        assert "quick preset" in " ".join(record["said"])
    stored = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "trainings").iterdir()}
    again = aumclean(*arguments)
    assert again.code == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "trainings").iterdir()} == stored
    other = aumclean(*arguments, "--batch-size", 7)
    assert (other.code, other.out) == (2, "") and "another question" in other.err


def test_join_and_scan_frequency_add_the_columns(finished, own_run, aumclean):
    done = aumclean("frequency", "join", own_run.path, "--device", "cpu")
    assert (done.code, done.out) == (0, f"{own_run.path / 'frequency'}\n")
    assert "reliance" in own_run.report("csv").read_text().split("\n")[0]
    require_described(json.loads((own_run.path / "frequency" / "diagnostic.json").read_text()))


def test_scan_with_frequency_ends_with_the_bands(planted, aumclean, tmp_path):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in planted.options.items() if name != "flip"]
    done = aumclean("scan", planted.root, "--frequency", "-o", tmp_path / "run", "--no-flip", *options, "--epochs=2",
                    "--features=none")  # fmt: skip
    assert (done.code, done.out) == (0, f"{tmp_path / 'run'}\n")
    assert (tmp_path / "run" / "frequency.parquet").is_file()
    assert "carried by both bands" in done.err


def test_scan_without_a_network_refuses_frequency_before_it_begins(planted, aumclean, tmp_path):
    done = aumclean("scan", planted.root, "--frequency", "--preset", "frozen", "-o", tmp_path / "run")
    assert (done.code, (tmp_path / "run").exists()) == (2, False)
    assert "--frequency: asks networks that see pixels" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["split", "DATA/train", "--radius", "50"], "--radius 50: leaves nothing in the high band"),
        (["curves", "DATA/train"], "has no test part"),
        (["transfer", "DATA", "--radii", "50"], "--radii 50: leaves nothing in the high band"),
        (["curves", "DATA", "--radii", "3,3"], "--radii: must be different numbers"),
        (["curves", "DATA", "--seeds", "x"], "--seeds"),
        (["robustness", "DATA", "--epsilons", "nan"], "--epsilons: must be different numbers"),
        (["robustness", "DATA", "--rhos", "0,inf"], "--rhos: must be different numbers"),
        (["heuristics", "DATA", "--variants", "vanila"], "did you mean 'vanilla'"),
        (["join", "DATA"], "is not a run directory"),
        (["test", "absent"], "no such file or folder"),
        (["curves", "DATA", "--arch", "resnet7"], "resnet7"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, data, aumclean, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = aumclean("frequency", *(argument.replace("DATA", str(data)) for argument in arguments))
    assert (done.code, done.out) == (2, "")
    (line,) = [line for line in done.err.splitlines() if line.startswith("aumclean: error:")]
    assert message in line
    assert not Path("runs").exists() or not list(Path("runs").glob("*/page.html"))
