import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from aumclean.reports.contact_sheet import contact_sheet

COLOURS = {"amber": (220, 160, 30), "blue": (30, 60, 220), "green": (30, 180, 60)}


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(finished.run.path, tmp_path / "run")


def test_the_exit_code_is_the_verdict(aumclean, run):
    assert aumclean("gate", run, "--max-flagged", "50%").code == 0
    failed = aumclean("gate", run, "--max-flagged", 3)
    assert failed.code == 1
    assert failed.out.startswith("gate failed: 1 of 1 budget exceeded\n  FAIL  max-flagged")
    assert aumclean("gate", run, "--max-flagged", 3, "--exit-zero").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "nothing to check"),
        (("--max-flagged", "many"), "--max-flagged: must be a count such as 20, or a percentage"),
        (("--max-flagged", "101%"), "--max-flagged: must be"),
        (("--min-score", "2"), "--min-score: .*less than or equal to 1"),
        (("--max-new", "2"), "--max-new: .*give --baseline FILE"),
        (("--baseline", "none.json"), "--baseline: no file none.json; make it with --write-baseline"),
        (("--max-flagged", "3", "--report", "sarif"), "must be FORMAT=PATH"),
        (("--max-flagged", "3", "--report", "sarif=-"), "is chosen with --format sarif"),
        (("--max-flagged", "3", "--report", "sarfi=x"), "no format 'sarfi'; did you mean 'sarif'"),
        (("--max-flagged", "3", "--prune"), "--prune: .*give --baseline FILE"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(aumclean, run, arguments, says):
    import re

    said = aumclean("gate", run, *arguments)
    assert said.code == 2
    assert said.out == ""
    assert re.search(says, said.err), said.err
    assert said.err.count("\n") == 1


def test_what_is_no_run_is_exit_code_2(aumclean, tmp_path):
    said = aumclean("gate", tmp_path, "--max-flagged", 3)
    assert (said.code, "is not a run directory" in said.err) == (2, True)


def test_a_baseline_accepts_what_is_and_is_pruned_of_what_is_fixed(aumclean, run, tmp_path):
    baseline = tmp_path / "baseline.json"
    written = aumclean("gate", run, "--write-baseline", baseline)
    assert (written.code, written.out) == (0, "")
    assert aumclean("gate", run, "--baseline", baseline).code == 0
    document = json.loads(baseline.read_text())
    document["suspects"].append({"content_hash": "0" * 64, "label": "blue", "path": "gone.png", "label_score": 0.1})
    baseline.write_text(json.dumps(document))
    assert "1 of the baseline's suspects are fixed" in aumclean("gate", run, "--baseline", baseline).out
    assert aumclean("gate", run, "--baseline", baseline, "--prune").code == 0
    assert len(json.loads(baseline.read_text())["suspects"]) == len(document["suspects"]) - 1


def test_suspects_that_the_baseline_lacks_fail(aumclean, run, tmp_path):
    baseline = tmp_path / "baseline.json"
    aumclean("gate", run, "--write-baseline", baseline)
    document = json.loads(baseline.read_text())
    missing = document["suspects"].pop()
    baseline.write_text(json.dumps(document))
    said = aumclean("gate", run, "--baseline", baseline, "-f", "json")
    assert said.code == 1
    assert [finding["path"] for finding in json.loads(said.out)["findings"] if finding["failing"]] == [missing["path"]]
    assert aumclean("gate", run, "--baseline", baseline, "--max-new", 1).code == 0


def test_several_formats_at_once(aumclean, run, tmp_path):
    formats = ("text", "json", "jsonl", "github", "gitlab", "sarif", "junit", "markdown")
    wanted = [part for name in formats for part in ("--report", f"{name}={tmp_path / 'deep' / name}")]
    assert aumclean("gate", run, "--max-flagged", 3, *wanted).code == 1
    for name in formats:
        printed = aumclean("gate", run, "--max-flagged", 3, "-f", name).out
        assert (tmp_path / "deep" / name).read_text() == printed


def test_budgets_may_stand_in_pyproject(aumclean, run, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.aumclean.gate]\nmax_flagged = "50%"\n\n[tool.aumclean.gate.classes]\nblue = 0\n'
    )
    monkeypatch.chdir(tmp_path)
    said = aumclean("gate", run)
    assert said.code == 1
    assert "FAIL  max-class-flagged blue" in said.out
    monkeypatch.setenv("AUMCLEAN_GATE_MAX_FLAGGED", "1")
    assert "FAIL  max-flagged" in aumclean("gate", run).out
    monkeypatch.setenv("AUMCLEAN_GATE_MAX_FLAGED", "1")
    assert "did you mean 'AUMCLEAN_GATE_MAX_FLAGGED'" in aumclean("gate", run).err


def test_github_is_told_where_it_says_so(aumclean, run, tmp_path, monkeypatch):
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        (tmp_path / name).write_text("before\n")
        monkeypatch.setenv(name, str(tmp_path / name))
    aumclean("gate", run, "--max-flagged", 3, "-f", "text")
    assert (tmp_path / "GITHUB_OUTPUT").read_text() == "before\n"
    aumclean("gate", run, "--max-flagged", 3, "-f", "github")
    assert (tmp_path / "GITHUB_OUTPUT").read_text().startswith("before\npassed=false\nsamples=360\n")
    assert "## Label quality: gate failed" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()


def test_the_gate_loads_neither_torch_nor_pandas(run):
    script = (
        "import sys\nfrom aumclean.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'sklearn'} & set(sys.modules)), file=sys.stderr)"
    )
    for arguments in (["--write-baseline", str(run / "b.json")], ["--baseline", str(run / "b.json"), "-f", "sarif"]):
        command = [sys.executable, "-c", script, "gate", str(run), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == "[]"


def test_what_reviewers_decided_to_keep_is_no_suspect(aumclean, run, tmp_path, finished):
    suspects = [row for row in finished.verdict.report.to_pylist() if row["flagged"]]
    kept = suspects[0]
    (tmp_path / "decisions.csv").write_text(
        "sample_id,content_hash,decision\n" + f"{kept['sample_id']},{kept['content_hash']},keep\n"
    )
    assert aumclean("review", run, "--import", tmp_path / "decisions.csv").code == 0
    said = aumclean("gate", run, "--max-flagged", len(suspects) - 1)
    assert said.code == 0
    assert "1 flagged sample that reviewers decided to keep not counted" in said.out


def test_the_worst_images_go_on_one_sheet_and_the_comment_says_where(aumclean, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("gate", finished.run.path, "--max-flagged", 3, "--contact-sheet", "worst.png")
    assert aumclean(*arguments, "--report", "markdown=page.md").code == 1
    with Image.open("worst.png") as sheet:
        assert (sheet.format, sheet.width) == ("PNG", 6 * (176 + 10) + 10)
        colours = np.asarray(sheet.convert("RGB"), int).reshape(-1, 3)
    for colour in COLOURS.values():  # tiny images, enlarged
        assert (np.abs(colours - colour).max(1) < 30).sum() > 1000
    assert (tmp_path / "worst.png").stat().st_size <= 1_000_000
    page = (tmp_path / "page.md").read_text()
    assert "The worst images are in one picture: `worst.png`." in page
    assert f"aumclean review {finished.run.path}" in page
    monkeypatch.setenv("CI_JOB_URL", "https://gitlab.example/jobs/7")
    assert "![The worst images](https://gitlab.example/jobs/7/artifacts/raw/worst.png)" in aumclean(
        *arguments, "--format", "markdown"
    ).out  # fmt: skip


def test_a_sheet_has_no_picture_of_what_is_gone_and_none_is_made_of_nothing(aumclean, run, tmp_path):
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    sheet = tmp_path / "worst.png"
    assert aumclean("gate", run, "--max-flagged", 3, "--contact-sheet", sheet, "--data", empty).code == 1
    with Image.open(sheet) as image:
        colours = np.asarray(image.convert("RGB"), int).reshape(-1, 3)
    for colour in COLOURS.values():  # words and shade alone
        assert not (np.abs(colours - colour).max(1) < 30).any()
    sheet.unlink()
    assert aumclean("gate", run, "--max-conflicts", 0, "--contact-sheet", sheet).code == 0


def test_very_long_names_are_cut_on_a_sheet():
    assert contact_sheet([(None, "n" * 100_000, "p" * 100_000)]) == contact_sheet([(None, "n" * 300, "p" * 300)])


def test_a_sheet_of_large_photographs_stays_below_a_megabyte():
    rng, shown = np.random.default_rng(0), []
    for number in range(24):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (300, 400, 3), np.uint8)).save(buffer, "PNG")
        shown.append((buffer.getvalue(), f"class {number} -> another class with a long name", "a/long/path" * 9))
    assert len(contact_sheet(shown)) <= 1_000_000
