import csv
from collections import Counter

import pytest

from aumclean.diagnostics.frequency.curves import curves, picked_up, shuffled
from aumclean.diagnostics.study import Options


def test_shuffling_keeps_the_size_of_every_class_and_depends_on_the_seed(study):
    first, again, other = (shuffled(study.train, seed) for seed in (0, 0, 1))
    assert Counter(first.labels.tolist()) == Counter(study.train.labels.tolist())
    assert (first.labels == again.labels).all() and (first.labels != other.labels).any()
    assert 0.1 < (first.labels == study.train.labels).mean() < 0.4


@pytest.mark.parametrize(
    ("accuracy", "epoch"), [([0.1, 0.32, 0.33, 0.2], 3), ([0.1, 0.1], None), ([0.9], 1), ([0.324, 0.325], 2)]
)
def test_a_band_is_picked_up_a_quarter_of_the_way_above_chance(accuracy, epoch):
    assert picked_up(accuracy, 0.1) == epoch


def test_natural_labels_are_learned_and_shuffled_ones_are_not(bands, tmp_path):
    asked = {"device": "cpu", "arch": "mlp_1x512", "epochs": 8, "batch_size": 16, "precision": "fp32"}
    options = Options(data=bands, out=tmp_path / "o", seeds=(0, 1), **asked)
    report, store = curves(options, radii=(3,))
    rows = {(row.labels, row.band): row for row in report.tables[0].rows}
    natural, mixed = rows["natural", "original"], rows["shuffled", "original"]
    assert natural.last_epoch > 0.95
    assert mixed.last_epoch < natural.last_epoch
    assert ("fitted to the end" in " ".join(report.said)) == (mixed.last_epoch < 0.95)
    assert natural.picked_up_at_epoch <= (mixed.picked_up_at_epoch or 99)
    assert natural.highest_low <= natural.highest <= natural.highest_high
    assert {panel.title for panel in report.figures[0].panels} == {
        f"{kind} labels, {band}-pass" for kind in ("natural", "shuffled") for band in ("low", "high")
    }
    with store.table("shuffled-labels-seed=1").open(newline="") as file:
        stored = [row["label"] for row in csv.DictReader(file)]
    assert len(stored) == 160 and "shuffled-labels-seed=1.csv" in store.read().files
    again, _ = curves(options, radii=(3,))  # everything is read
    assert again.tables[0].rows == report.tables[0].rows
