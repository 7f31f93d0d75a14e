"""A run directory that the version before typed records wrote is read by every command that needs no network."""

import json
import shutil
from pathlib import Path

import pytest

from aumclean.review.queue import suspects
from aumclean.run.directory import Run

STORED = Path(__file__).parents[1] / "data" / "run-of-version-1"
WRONG = {f"{label}/{number:03d}.png" for label in ("amber", "blue") for number in (3, 11)}


@pytest.fixture
def old(tmp_path):
    """A copy of it, whose images are where it says, and which flags something for all that two epochs tell."""
    folder = Path(shutil.copytree(STORED, tmp_path / "data"))
    for file in (folder / "run" / "run.json", folder / "scores" / "scores.json"):
        text = file.read_text().replace('"/data/', f'"{folder}/')
        file.write_text(text.replace('"threshold": "estimate"', '"threshold": "estimate", "target_recall": 0.5'))
    return folder


def test_its_record_is_read_with_defaults_for_what_came_later(old):
    record = Run(old / "run").read()
    assert (record.state, record.draws, record.epochs_done, record.recipe.epochs) == ("done", 2, [2, 2], 2)
    assert record.data.class_names == ["amber", "blue"]
    assert record.config.reading() == dict.fromkeys(record.config.reading())


def test_report_and_its_saving_work(old, aumclean):
    shown = aumclean("report", old / "run", "--format", "json")
    assert shown.code == 0, shown.err
    assert WRONG & {finding["path"] for finding in json.loads(shown.out)["findings"]}
    assert aumclean("report", old / "run", "--save").code == 0
    assert "data:image/jpeg" in (old / "run" / "report.html").read_text()


@pytest.mark.parametrize("subject", ["run", "scores"])
def test_the_gate_reads_it(old, aumclean, subject):
    said = aumclean("gate", old / subject, "--max-flagged", "100%", "--format", "json")
    assert (said.code, json.loads(said.out)["passed"]) == (0, True), said.err


def test_reviewers_get_its_suspects(old):
    assert WRONG & {row["path"] for row in suspects(Run(old / "run")).rows}


def test_clean_drops_what_is_flagged(old, aumclean):
    said = aumclean("clean", old / "run", "-o", old / "kept.csv")
    assert said.code == 0, said.err
    assert 0 < len((old / "kept.csv").read_text().splitlines()) - 1 < 48


def test_evaluate_measures_it(old, aumclean):
    said = aumclean("evaluate", old / "run", "--truth", old / "truth.csv", "--json")
    assert (said.code, json.loads(said.out)["samples"]) == (0, 48), said.err
