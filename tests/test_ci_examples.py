"""What users copy into their CI: run as GitHub, GitLab, DVC and pre-commit would, as far as that goes without them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml

from aumclean.gate.baseline import baseline_of, write_baseline
from aumclean.gate.check import suspects
from aumclean.gate.subject import read_subject

ROOT = Path(__file__).parents[1]
CI = ROOT / "examples" / "ci"
ACTION = CI / "action"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
PROGRAMS = Path(sys.executable).parent

pytestmark = [
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


def run(command, folder, **variables):
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="surrogateescape", check=False
    )


def act(workspace, **inputs):
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


def test_the_action_passes_a_run_within_its_budgets(workspace, finished):
    done = act(workspace, run="run", baseline="baseline.json", max_flagged="50%")
    assert done.code == 0, done.log
    flagged = finished.verdict.summary["flagged"]
    report = workspace / "aumclean-gate"
    assert done.outputs == {
        "report": str(report),
        "sarif": str(report / "labels.sarif"),
        "passed": "true",
        "samples": "360",
        "flagged": str(flagged),
        "new": "0",
    }
    assert {file.name for file in report.iterdir()} == {"gate.json", "labels.sarif", "junit.xml", "comment.md"}
    assert done.summary == (report / "comment.md").read_text()
    assert json.loads((report / "gate.json").read_text())["passed"] is True
    assert "gate passed: 2 budgets held" in done.log
    assert orders(done.log) == []


def test_the_action_fails_a_run_beyond_them_and_says_where(workspace, finished):
    done = act(workspace, run="run", max_flagged="0", args="--max-conflicts=0\n--report=jsonl=with blank.jsonl\n")
    assert done.code == 1, done.log
    assert (done.outputs["passed"], done.outputs["new"]) == ("false", "")
    annotations = orders(done.log)
    assert len(annotations) == 10
    assert all(line.startswith("::error file=") for line in annotations)
    assert "gate failed: 1 of 2 budgets exceeded" in done.summary
    assert len((workspace / "with blank.jsonl").read_text().splitlines()) == finished.verdict.summary["flagged"]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "input 'run' is missing"),
        ({"run": "nowhere"}, "input 'run' names no run directory"),
        ({"run": "run"}, "nothing to check: give a budget"),
        ({"run": "run", "max_flagged": "many"}, "--max-flagged: must be a count"),
        ({"run": "run", "baseline": "nowhere.json"}, "--baseline: no file nowhere.json"),
        ({"run": "run", "data": "nowhere", "max_flagged": "0"}, "nowhere: no such file or folder"),
        ({"run": "run", "max_flagged": "0", "report": "x\npassed=true"}, "input 'report' must be one line"),
        ({"run": "run", "max_flagged": "--exit-zero"}, "--max-flagged: must be a count"),
        ({"run": "$(touch harm)`touch harm`"}, "names no run directory"),
    ],
)
def test_what_the_action_cannot_use_is_said_in_one_line_with_exit_code_2(workspace, inputs, says):
    done = act(workspace, **inputs)
    assert done.code == 2
    assert sum(says in line for line in done.log.splitlines()) == 1, done.log
    assert "passed" not in done.outputs
    assert not (workspace / "harm").exists()
    assert all(line.startswith("::error title=aumclean gate::input '") for line in orders(done.log))


@pytest.mark.slow
def test_the_action_judges_new_images_alone_when_it_is_given_data(workspace, finished, save_image):
    for number in range(4):
        save_image(workspace / "photos" / "amber" / f"right-{number}.png", (220, 160, 30), seed=9000 + number)
    wrong = save_image(workspace / "photos" / "blue" / "wrong.png", (220, 160, 30), seed=9100)
    shutil.copytree(finished.root / "green", workspace / "photos" / "green")
    done = act(workspace, run="run", data="photos", baseline="baseline.json")
    assert done.code == 1, done.log
    assert (done.outputs["samples"], done.outputs["flagged"], done.outputs["new"]) == ("5", "1", "1")
    (annotation,) = orders(done.log)
    assert annotation.startswith("::error file=photos/blue/wrong.png,line=1")
    assert "blue/wrong.png" in (workspace / "aumclean-gate" / "scores.csv").read_text()
    wrong.unlink()
    assert act(workspace, run="run", data="photos", baseline="baseline.json").code == 0


@pytest.mark.slow
def test_the_action_passes_when_no_image_is_new(workspace, finished):
    done = act(workspace, run="run", data=str(finished.root), baseline="baseline.json")
    assert done.code == 0, done.log
    assert (done.outputs["passed"], done.outputs["samples"]) == ("true", "0")
    assert done.summary == (workspace / "aumclean-gate" / "comment.md").read_text()
    assert done.summary.startswith("<!-- aumclean:gate -->\n")


@pytest.mark.parametrize(
    "name",
    [
        "x\n::set-output name=passed::true\n.png",
        "##[set-output name=passed]true.png",
        "x\r::stop-commands::all.png",
        "%0A::error::x ${{ github.token }} $(touch harm).png",
        '"><img src=x onerror=alert(1)> | @everyone <!-- aumclean:gate -->.png',
    ],
)
def test_names_from_the_data_give_no_orders(workspace, name):
    """The worst sample and its class are named by an attacker, who wants to be obeyed from the log or the outputs."""
    report = pq.read_table(workspace / "run" / "report.parquet")
    for column in ("path", "label", "suggested_label"):
        values = report[column].to_pylist()
        index = report.column_names.index(column)
        report = report.set_column(index, column, [[name, *values[1:]]])
    pq.write_table(report, workspace / "run" / "report.parquet")
    done = act(workspace, run="run", max_class_flagged="0", max_flagged="0", data="")
    assert done.code == 1, done.log
    assert set(done.outputs) == {"report", "sarif", "passed", "samples", "flagged", "new"}
    assert done.outputs["passed"] == "false"
    annotations = orders(done.log)
    assert len(annotations) == 10
    assert all(re.match(r"::error file=[^:,]+,line=1,endLine=1,title=aumclean mislabeled::", a) for a in annotations)
    assert not (workspace / "harm").exists()
    assert done.summary.count("<!-- aumclean:gate -->") == 1
    assert "<img" not in done.summary


def test_the_action_refuses_where_aumclean_is_not_installed(workspace, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "od", "tr", "mkdir", "mktemp", "cat"):
        (tools / name).symlink_to(shutil.which(name))
    done = run(["bash", ACTION / "gate.sh"], workspace, PATH=str(tools), INPUT_RUN="run")
    assert done.returncode == 2
    (said,) = orders(done.stdout)
    assert said.startswith(
        "::error title=aumclean gate::aumclean is not installed: give input 'version', or install it"
    )


def test_a_comment_is_made_once_and_then_replaced(tmp_path):
    """With a stand-in for `gh` that keeps comments in files, since there is no GitHub here."""
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "comments").mkdir()
    (tmp_path / "comments" / "6").write_text("mallory\n<!-- aumclean:gate -->\nsomebody else's")
    for body in ("first", "second", "third"):
        (tmp_path / "page.md").write_text(f"<!-- aumclean:gate -->\n{body}\n")
        done = run(
            ["bash", ACTION / "comment.sh"],
            tmp_path,
            PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            GITHUB_REPOSITORY="team/photos",
            PULL_REQUEST="12",
            PAGE="page.md",
        )
        assert (done.returncode, done.stderr) == (0, "")
    comments = {file.name: file.read_text() for file in (tmp_path / "comments").iterdir()}
    assert comments == {
        "6": "mallory\n<!-- aumclean:gate -->\nsomebody else's",
        "7": "github-actions[bot]\n<!-- aumclean:gate -->\nthird\n",
    }


GH = """#!/usr/bin/env bash
set -euo pipefail
joined=" $* "
page=${!#}; page=${page#body=@}
case $joined in
  *" --method POST repos/team/photos/issues/12/comments "*)
    printf '%s\\n' 'github-actions[bot]' "$(cat "$page")" > comments/7 ;;
  *" --method PATCH repos/team/photos/issues/comments/7 "*)
    printf '%s\\n' 'github-actions[bot]' "$(cat "$page")" > comments/7 ;;
  *" --paginate repos/team/photos/issues/12/comments --jq "*)
    for file in comments/*; do
      [[ $(head -n 1 "$file") == 'github-actions[bot]' && $(sed -n 2p "$file") == "$MARKER" ]] && basename "$file"
    done || true ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-actions", "action/action.yml"),
        ("vendor.github-workflows", "github-workflow.yml"),
        ("custom.github-workflows-require-timeout", "github-workflow.yml"),
        ("vendor.gitlab-ci", "gitlab-ci.yml"),
    ],
)
def test_files_are_what_their_services_read(schema, file):
    done = run([PROGRAMS / "check-jsonschema", "--builtin-schema", schema, CI / file], ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["action/action.yml", "github-workflow.yml"])
def test_zizmor_has_nothing_to_say(file):
    options = ["--offline", "--no-progress", "--no-config", "--min-severity=medium"]  # below: a newer way to write ./
    done = run([PROGRAMS / "zizmor", *options, CI / file], ROOT)
    assert done.returncode == 0, done.stdout


def test_actionlint_has_nothing_to_say():
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint, a Go program, is not installed")
    done = run([actionlint, CI / "github-workflow.yml"], ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["gate.sh", "comment.sh"])
def test_shellcheck_has_nothing_to_say(file):
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = run([shellcheck, ACTION / file], ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["action/action.yml", "github-workflow.yml"])
def test_other_peoples_actions_are_pinned_by_commit_and_no_script_holds_a_template(file):
    document = read(CI / file)
    jobs = [document["runs"]] if "runs" in document else list(document["jobs"].values())
    for step in (step for job in jobs for step in job["steps"]):
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"\./[\w./-]+|[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"])
    for line in (CI / file).read_text().splitlines():
        assert "@" not in line.partition("uses:")[2] or re.search(r" # v\d+\.\d+\.\d+$", line)


def test_the_readme_has_every_input_and_output_of_the_action():
    text = (CI / "README.md").read_text()
    action = read(ACTION / "action.yml")
    for name in (*action["inputs"], *action["outputs"]):
        assert f"`{name}`" in text


def test_the_pre_commit_hook_runs_as_pre_commit_would(workspace):
    (hook,) = read(HOOKS)
    assert hook.keys() >= {"id", "name", "entry", "language"}
    assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    text = re.search(r"- id: aumclean-gate\n +args: \[(.*)\]", (CI / "README.md").read_text())[1]
    arguments = [part.strip() for part in text.split(",")]
    place(workspace)
    command = [*shlex.split(hook["entry"]), *arguments]
    assert run(command, workspace).returncode == 0
    assert run([*command, "--max-flagged", "0"], workspace).returncode == 1


def test_the_stages_of_dvc_run_and_leave_what_they_name(workspace, aumclean):
    scan, gate = (read(CI / "dvc.yaml")["stages"][name] for name in ("scan", "gate"))
    place(workspace)
    assert set(gate["deps"]) == {*scan["outs"], "label-baseline.json"}
    first, copy = scan["cmd"]
    command, *options = shlex.split(first)[1:]
    assert aumclean(command, "--help").code == 0
    assert options == [*scan["deps"], "--out", *scan["outs"]]
    for line, stage in ((copy, scan), (gate["cmd"], gate)):
        done = run(["bash", "-c", line], workspace)
        assert done.returncode == 0, done.stderr
        (metric,) = (name for entry in stage["metrics"] for name in entry)
        assert json.loads((workspace / metric).read_text())["flagged"] > 0


@pytest.mark.slow
def test_the_gate_of_gitlab_runs_and_leaves_its_reports(workspace, save_image):
    job = read(CI / "gitlab-ci.yml")["label-gate"]
    place(workspace)
    save_image(workspace / "photos" / "blue" / "wrong.png", (220, 160, 30), seed=9100)
    fetch, score, gate = job["script"]
    assert '"$RUN_URL" | tar -x' in fetch
    assert run(["bash", "-c", score], workspace).returncode == 0
    assert run(["bash", "-c", gate], workspace).returncode == 1
    reports = job["artifacts"]["reports"]
    (entry,) = json.loads((workspace / reports["codequality"]).read_text())
    assert entry["location"]["path"] == "photos/blue/wrong.png"
    assert "<failure" in (workspace / reports["junit"]).read_text()


def place(workspace):
    """Put the run and the baseline where the examples have them."""
    shutil.copytree(workspace / "run", workspace / "runs" / "photos")
    shutil.copy(workspace / "baseline.json", workspace / "label-baseline.json")
