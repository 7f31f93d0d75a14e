"""What reads a finished run needs no PyTorch: an environment of the wheel and the short list runs all of it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from aumclean.run.directory import Run
from aumclean.verdict.evaluate import evaluate
from tests.conftest import COLOURS
from tests.examples.conftest import CI, ROOT, act, in_a_checkout, read, run
from tests.review.conftest import serving

UV = shutil.which("uv") or os.environ.get("UV")
LARGEST = 400 * 2**20
PIP = f"""
import os, sys
arguments = [word for word in sys.argv[2:] if word != "--no-compile"]  # as uv does unasked
os.environ.pop("UV_COMPILE_BYTECODE", None)
os.execv({UV!r}, [{UV!r}, "pip", "install", "--python", sys.executable, *arguments])
"""
"""A module in the place of pip: the same wheels, from uv's cache."""

pytestmark = [*in_a_checkout, pytest.mark.slow, pytest.mark.skipif(UV is None, reason="uv is not installed")]


def make_environment(folder):
    subprocess.run([UV, "venv", "--quiet", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "pip").mkdir()
    (site / "pip" / "__main__.py").write_text(PIP)
    return folder / "bin"


@pytest.fixture(scope="module")
def alone(finished, tmp_path_factory):
    """An environment that the action made: `.gate`, what the action did, `.aumclean` to run a command, and `.run`."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder / "wheels", ROOT], check=True)
    (wheel,) = (folder / "wheels").glob("*.whl")
    programs = make_environment(folder / "environment")
    workspace = folder / "workspace"
    shutil.copytree(finished.run.path, workspace / "run")
    gate = act(workspace, programs, install=str(wheel), run="run", max_flagged="0")
    assert "passed" in gate.outputs, gate.log

    def aumclean(*arguments):
        return run(["aumclean", *map(str, arguments)], workspace, programs)

    return SimpleNamespace(gate=gate, aumclean=aumclean, programs=programs, run=workspace / "run", folder=workspace)


def test_the_action_installs_less_than_400_megabytes_without_torch(alone, finished):
    assert alone.gate.code == 1, alone.gate.log
    assert alone.gate.outputs["flagged"] == str(finished.verdict.summary.flagged)
    sarif = json.loads((alone.folder / "aumclean-gate" / "labels.sarif").read_text())
    assert len(sarif["runs"][0]["results"]) == finished.verdict.summary.flagged
    environment = alone.programs.parent
    installed = {path.name.partition("-")[0] for path in environment.glob("lib/python*/site-packages/*.dist-info")}
    assert "aumclean" in installed
    assert not installed & {"torch", "torchvision", "accelerate"}
    assert sum(file.lstat().st_size for file in environment.rglob("*")) < LARGEST


@pytest.mark.parametrize("name", ["csv", "parquet", "json", "jsonl", "markdown", "html", "pred-probs"])
def test_every_report_is_what_it_is_with_torch(alone, aumclean, tmp_path, name):
    here, there = tmp_path / "here", tmp_path / "there"
    made = alone.aumclean("report", alone.run, "--format", name, "--out", there)
    assert made.returncode == 0, made.stderr
    assert aumclean("report", alone.run, "--format", name, "--out", here).code == 0
    assert there.read_bytes() == here.read_bytes()


@pytest.mark.parametrize("name", ["cleanlab", "label-studio", "cvat", "fiftyone", "huggingface"])
def test_every_export_can_be_made(alone, tmp_path, name):
    made = alone.aumclean("report", alone.run, "--format", name, "--out", tmp_path / "export")
    assert made.returncode == 0, made.stderr
    assert any((tmp_path / "export").iterdir())


def test_a_run_can_be_cleaned_and_copied(alone, finished, tmp_path):
    made = alone.aumclean("clean", alone.run, "--out", tmp_path / "cleaned.csv", "--copy-to", tmp_path / "copy")
    assert made.returncode == 0, made.stderr
    kept = finished.verdict.summary.samples - finished.verdict.summary.flagged
    assert len(list(csv.DictReader((tmp_path / "cleaned.csv").read_text().splitlines()))) == kept
    assert len(list((tmp_path / "copy").rglob("*.png"))) == kept


def test_a_run_can_be_evaluated(alone, finished, tmp_path):
    paths, names = finished.verdict.report["path"], list(COLOURS)
    true = [names[int(Path(path).stem) % 3] for path in paths.to_pylist()]
    rows = zip(paths.to_pylist(), true, strict=True)
    (tmp_path / "truth.csv").write_text("\n".join(["path,true_label", *(f"{path},{label}" for path, label in rows)]))
    made = alone.aumclean("evaluate", alone.run, "--truth", tmp_path / "truth.csv", "--root", finished.root, "--json")
    assert made.returncode == 0, made.stderr
    measured = json.loads(made.stdout)
    expected = evaluate(finished.verdict.report, paths.combine_chunks(), pa.array(true))
    assert {name: measured[name] for name in expected} == expected


def test_the_desk_opens_takes_a_decision_and_ends(alone):
    with serving(Run(alone.run), python=str(alone.programs / "python")) as server:
        assert server.ask(server.base)[0] == 200
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=60) == 0


def test_what_trains_says_in_one_line_what_is_missing(alone, finished):
    said = alone.aumclean("scan", finished.root, "--out", alone.folder / "new")
    assert said.returncode == 2
    assert re.search(r"\naumclean: error: torch is not installed here, .*\n$", said.stderr), said.stderr


def test_the_pre_commit_hook_makes_its_environment_once(finished, tmp_path):
    """As pre-commit would: a clone of this repository, the hook's file called from the user's folder."""
    (hook,) = read(ROOT / ".pre-commit-hooks.yaml")
    assert (hook["language"], hook["pass_filenames"]) == ("script", False)
    clone = tmp_path / "clone"
    for name in ("aumclean", "examples", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, clone / name)
    made = make_environment(tmp_path / "made")
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] && cp -R {made.parent} "$3"\n')
    python.chmod(0o755)

    shutil.copytree(finished.run.path, tmp_path / "user" / "runs" / "photos")
    text = re.search(r"- id: aumclean-gate\n +args: \[(.*)\]", (CI / "README.md").read_text())[1]
    arguments = [part.strip() for part in text.split(",")]
    command = [clone / hook["entry"], *arguments]
    first = run([clone / hook["entry"], "runs/photos", "--write-baseline", "label-baseline.json"], tmp_path / "user",
                tmp_path / "bin")  # fmt: skip
    assert first.returncode == 0, first.stderr
    python.write_text("#!/bin/sh\nexit 1\n")
    assert run(command, tmp_path / "user", tmp_path / "bin").returncode == 0
    assert run([*command, "--max-flagged", "0"], tmp_path / "user", tmp_path / "bin").returncode == 1
