import json
from dataclasses import replace

import numpy as np
import pytest

from aumclean.config.recipe import Recipe
from aumclean.diagnostics.random_labels.horizon import crossing, interval, longest_scan, plant
from tests.diagnostics.conftest import write_bands


def test_the_crossing_is_interpolated_between_two_epochs():
    assert crossing([-2.0, -1.0, 1.0, 3.0]) == pytest.approx(2.5)
    assert crossing([-1.0, 0.0]) == 2
    assert crossing([0.5, 1.0]) == 1
    assert crossing([-1.0, -0.5]) is None


def test_the_interval_is_students_and_silent_where_a_draw_is_censored():
    mean, low, high = interval([4.0, 5.0, 6.0])
    assert (mean, low, high) == (5.0, pytest.approx(5 - 4.302653 / 3**0.5), pytest.approx(5 + 4.302653 / 3**0.5))
    assert interval([4.0]) == (4.0, None, None)
    assert interval([4.0, None]) == (None, None, None)


def test_the_longest_scan_ends_its_margins_before_the_horizon():
    recipe = Recipe("resnet8", 12, 0.05, 64, 0.0, closing=0.25)
    assert longest_scan(recipe, 9.8) == 12  # 9 epochs, then 3 closing ones
    assert longest_scan(replace(recipe, closing=0.0), 9.8) == 9
    assert longest_scan(recipe, 0.3) == 1


def test_planted_labels_are_wrong_and_indicator_samples_are_apart(study):
    planted = plant(study.train, 0.2, seed=3)
    labels, judged = planted.dataset.labels, planted.judged
    assert (labels[~judged] == 4).all() and (~judged).sum() == len(study.train) // 5
    wrong = planted.planted & judged
    assert (labels[wrong] != study.train.labels[wrong]).all()
    kept = ~planted.planted & judged
    assert (labels[kept] == study.train.labels[kept]).all()
    assert planted.planted.mean() == pytest.approx(0.2, abs=0.1)
    np.testing.assert_array_equal(plant(study.train, 0.2, seed=3).dataset.labels, labels)


def test_where_there_are_many_classes_as_many_indicator_samples_are_drawn_as_a_scan_takes(study):
    many = replace(study.train, class_names=tuple(f"class-{number:02d}" for number in range(30)))
    planted = plant(many, 0.2, seed=3, least_held_out=1 / 8)
    assert (planted.dataset.labels == 30).sum() == (~planted.judged).sum() == 20


def test_planted_labels_are_memorised_after_a_while_and_the_scan_is_warned(aumclean, tmp_path):
    """Few images and a high rate: the network learns wrong labels by heart within the epochs."""
    data = write_bands(tmp_path / "data", {"train": 25, "test": 2}, size=8)
    out = tmp_path / "horizon"
    options = (
        "--arch",
        "resnet8",
        "--batch-size",
        "16",
        "--epochs",
        "30",
        "--no-flip",
        "--draws",
        "1",
        "--share",
        "0.15",
    )
    done = aumclean("random-labels", "horizon", data, "--out", out, *options, "--device", "cpu")
    assert done.code == 0, done.err
    record = json.loads((out / "diagnostic.json").read_text())
    rows = record["tables"]["epochs"]
    assert rows[0]["planted_margin"] < 0
    assert rows[-1]["other_fitted"] > rows[-1]["planted_memorised"] - 0.2
    facts = record["facts"]
    assert facts["epochs"] == 30 and facts["recipe"]["arch"] == "resnet8"
    reached = [row["planted_margin"] >= 0 for row in rows]
    assert (facts["horizon"] is None) == (not any(reached))

    facts["horizon"] = 1.5
    (out / "diagnostic.json").write_text(json.dumps(record))
    scanned = aumclean(
        "scan", data, "--out", tmp_path / "run", "--horizon", out, "--arch", "resnet8", "--batch-size", "16",
        "--epochs", "3", "--no-flip", "--device", "cpu",
    )  # fmt: skip
    assert scanned.code == 0, scanned.err
    assert scanned.err.count("wrong labels are memorised after 1.5 epochs") == 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "past-horizon" in [warning["code"] for warning in summary["warnings"]]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["horizon"]["epochs"] == 1.5


def test_a_wrong_horizon_fails_before_anything_is_written(aumclean, folder, tmp_path):
    done = aumclean("scan", folder, "--out", tmp_path / "run", "--horizon", tmp_path / "nowhere")
    assert done.code == 2 and "--horizon" in done.err
    assert not (tmp_path / "run").exists()
