"""The GitHub Action: its script, its outputs, and what names from the data could do to it."""

import json
import os
import re
import shutil

import pyarrow.parquet as pq
import pytest

from aumclean.verdict.summary import digest_of_flagged
from tests.examples.conftest import ACTION, act, in_a_checkout, orders, run

pytestmark = in_a_checkout


def test_the_action_passes_a_run_within_its_budgets(workspace, finished):
    done = act(workspace, run="run", baseline="baseline.json", max_flagged="50%")
    assert done.code == 0, done.log
    flagged = finished.verdict.summary.flagged
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
    assert len((workspace / "with blank.jsonl").read_text().splitlines()) == finished.verdict.summary.flagged


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
    assert annotation.startswith("::error file=photos/blue/wrong.png,title")
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
    summary = json.loads((workspace / "run" / "summary.json").read_text())
    summary["flagged_digest"] = digest_of_flagged(report)
    (workspace / "run" / "summary.json").write_text(json.dumps(summary))
    done = act(workspace, run="run", max_class_flagged="0", max_flagged="0", data="")
    assert done.code == 1, done.log
    assert set(done.outputs) == {"report", "sarif", "passed", "samples", "flagged", "new"}
    assert done.outputs["passed"] == "false"
    annotations = orders(done.log)
    assert len(annotations) == 10
    assert all(re.match(r"::error file=[^:,]+,title=aumclean mislabeled::", a) for a in annotations)
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
        "::error title=aumclean gate::aumclean is not installed: give input 'install', or install it"
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
