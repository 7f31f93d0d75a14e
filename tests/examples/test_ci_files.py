"""The files for GitHub, GitLab, DVC and pre-commit: what their services read, and commands that run."""

import json
import re
import shlex
import shutil

import pytest

from tests.examples.conftest import ACTION, CI, PROGRAMS, ROOT, in_a_checkout, read, run

pytestmark = in_a_checkout


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
