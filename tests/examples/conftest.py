"""What users copy into their CI, run as its services would, as far as that goes without them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from aumclean.gate.baseline import baseline_of, write_baseline
from aumclean.gate.check import suspects
from aumclean.gate.subject import read_subject

ROOT = Path(__file__).parents[2]
CI = ROOT / "examples" / "ci"
ACTION = CI / "action"
PROGRAMS = Path(sys.executable).parent

in_a_checkout = [
    pytest.mark.skipif(not CI.exists(), reason="runs in a checkout, not in an installed package"),
    pytest.mark.skipif(sys.platform == "win32", reason="the runners' shell is bash"),
]


def read(file):
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.fixture
def workspace(finished, tmp_path):
    """A folder as a job finds it: the run of an earlier scan in `run`, and `baseline.json` that accepts all of it."""
    shutil.copytree(finished.run.path, tmp_path / "run")
    subject = read_subject(tmp_path / "run")
    write_baseline(tmp_path / "baseline.json", baseline_of(subject, suspects(subject)))
    return tmp_path


def run(command, folder, programs=PROGRAMS, **variables):
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT) if programs == PROGRAMS else "",
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="surrogateescape", check=False
    )


def act(workspace, programs=PROGRAMS, **inputs):
    """Run the action's script with the environment that GitHub gives it: `.code`, `.log`, `.outputs`, `.summary`."""
    step = read(ACTION / "action.yml")["runs"]["steps"][0]
    files = {name: workspace.parent / f"{workspace.name}.{name}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.write_text("")
    defaults = {name: str(about.get("default", "")) for name, about in read(ACTION / "action.yml")["inputs"].items()}
    given = {
        variable: (defaults | {name.replace("_", "-"): value for name, value in inputs.items()})[
            re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value)[1]
        ]
        for variable, value in step["env"].items()
    }
    assert inputs.keys() <= {name.replace("-", "_") for name in defaults}
    done = run(
        [step["shell"], "-c", step["run"]],
        workspace,
        programs,
        **given,
        **{name: str(file) for name, file in files.items()},
        GITHUB_ACTION_PATH=str(ACTION),
        GITHUB_WORKSPACE=str(workspace),
        RUNNER_TEMP=str(workspace.parent),
    )
    assert done.stderr == "", "another stream would overtake the one on which orders are turned off"
    lines = files["GITHUB_OUTPUT"].read_text().splitlines()
    return SimpleNamespace(
        code=done.returncode,
        log=done.stdout,
        outputs=dict(line.split("=", 1) for line in lines),
        summary=files["GITHUB_STEP_SUMMARY"].read_text(),
    )


def orders(log):
    """The lines of a log that GitHub's runner would obey: `::command`, blanks before it, or `##[command]` anywhere."""
    found, until = [], None
    for line in log.splitlines():
        if until is not None:
            until = None if line.strip() == until else until
        elif stop := re.match(r"\s*::stop-commands::(\w{32})$", line):
            until = f"::{stop[1]}::"
        elif re.match(r"\s*::", line) or "##[" in line:
            found.append(line)
    assert until is None, "orders stay off after the step"
    return found
