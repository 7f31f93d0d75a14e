"""The pure parts of the detection benchmark: its bounds, its file of results, its tables."""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def detection(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("detection")


@pytest.fixture
def wrong() -> np.ndarray:
    return np.random.default_rng(0).random(500) < 0.3


def test_the_oracle_scores_one_in_every_measure(detection: ModuleType, wrong: np.ndarray) -> None:
    row = detection.judged(detection.peers.oracle(wrong), wrong)

    for name in ("auroc", "average_precision", "f1_at_true_count", "precision", "recall", "f1"):
        assert row[name] == pytest.approx(1.0), name
    assert row["flagged_share"] == row["noise_rate"] == wrong.mean()
    assert row["lift_at_100"] == pytest.approx(1 / wrong.mean())


def test_flagging_nothing_looks_bad(detection: ModuleType, wrong: np.ndarray) -> None:
    row = detection.judged(detection.peers.flag_nothing(wrong), wrong)

    assert (row["auroc"], row["f1"], row["recall"], row["flagged_share"]) == (0.5, 0.0, 0.0, 0.0)
    assert row["average_precision"] == pytest.approx(wrong.mean())
    assert row["precision"] is None


def test_the_upper_of_two_normal_distributions_is_found(detection: ModuleType) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(5, 0.5, 30), rng.normal(0, 0.5, 70)])

    assert detection.peers.upper_of_two(values).nonzero()[0].tolist() == list(range(30))


def result(method: str, row: str, seed: int, auroc: float, **more: Any) -> dict[str, Any]:
    about = {"data": "digits", "images": 600, "noise": "flip20", "seed": seed, "method": method, "row": row}
    return {**about, "samples": 600, "auroc": auroc, "environment": {"torch": "2.11"}, **more}


def test_a_stopped_suite_goes_on_after_its_last_whole_line(detection: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    first, second = result("scan", "network", 0, 0.9), result("plain", "mean loss", 0, 0.8)
    detection.append_results(file, [first])
    with file.open("a") as stream:
        stream.write(json.dumps(second)[:25])  # killed while writing

    assert detection.read_results(file) == [first]
    wanted = [("digits", 600, "flip20", 0, "scan"), ("digits", 600, "flip20", 0, "plain")]
    assert detection.missing(wanted, detection.read_results(file)) == wanted[1:]
    detection.append_results(file, [second])
    assert detection.read_results(file) == [first, second]
    assert detection.missing(wanted, detection.read_results(file)) == []


def test_the_table_shows_mean_and_spread_of_the_seeds(detection: ModuleType) -> None:
    results = [
        result("scan", "network", 0, 0.90, processor_seconds=30.0),
        result("scan", "network", 1, 0.94, processor_seconds=33.0),
        result("plain", "last margin", 0, 0.80, processor_seconds=30.0),
    ]

    text = detection.table(results)

    assert "### AUROC\n\n| | flip20 |\n| --- | --- |\n| network | 0.920 ±0.020 |\n| last margin | 0.800 |\n" in text
    assert "Scan / plain training of as many epochs, processor seconds: median 1.00 (1.00 to 1.00, 1 pairs)." in text
    assert "Recall" not in text
