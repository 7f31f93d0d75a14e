import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from aumclean.config.recipe import LINEAR
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.frequency.join import Bands, class_rows, join
from aumclean.diagnostics.frequency.test import test as judge_network
from aumclean.diagnostics.study import Options
from aumclean.errors import ConfigError, RunError
from aumclean.run.directory import Run, new_run
from aumclean.verdict.judge import judge

COLUMNS = ["margin_original", "margin_low", "margin_high", "reliance"]


@pytest.fixture(scope="module")
def joined(finished, tmp_path_factory):
    run = Run(shutil.copytree(finished.run.path, tmp_path_factory.mktemp("joined") / "run"))
    report, store = join(run, radius=2, device="cpu")
    return run, report, store


def test_classes_that_differ_in_colour_are_carried_by_the_low_band(joined):
    _, report, _ = joined
    for row in report.tables[0].rows:
        assert row.right_low + row.right_both > 0.9
        assert not row.hint
    assert report.facts["hints"] == []


def test_every_form_of_the_report_has_the_columns_and_no_flag_changes(joined, finished):
    run, _, store = joined
    verdict = judge(run)
    assert verdict.report["flagged"] == finished.verdict.report["flagged"]
    assert verdict.summary.flagged_digest == finished.verdict.summary.flagged_digest
    names = verdict.report.column_names
    assert names[names.index("reason") + 1 : names.index("decision")] == COLUMNS
    assert pq.read_schema(run.report("parquet")).names == names
    with run.report("csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stored = pq.read_table(run.frequency)
    by_id = {row["sample_id"]: row for row in stored.to_pylist()}
    for row in rows:
        assert float(row["margin_low"]) == pytest.approx(by_id[int(row["sample_id"])]["margin_low"], rel=1e-5)
        assert row["reliance"] == by_id[int(row["sample_id"])]["reliance"]
    assert json.loads(stored.schema.metadata[b"aumclean"])["radius"] == 2
    assert store.read().state == "done" and store.path == run.path / "frequency"


def test_wrong_labels_are_carried_by_neither_band_more_often_than_right_ones(joined, finished):
    run, _, _ = joined
    report = judge(run).report.to_pylist()
    wrong = [row["reliance"] for row in report if row["path"] in finished.wrong]
    right = [row["reliance"] for row in report if row["path"] not in finished.wrong]
    assert wrong.count("neither") > 0.4 * len(wrong)
    assert right.count("neither") < 0.1 * len(right)


def test_no_draw_judges_its_indicator_samples_though_few_of_many_are_kept(joined, tmp_path):
    run = Run(shutil.copytree(joined[0].path, tmp_path / "run"))
    for draw in (0, 1):
        part = run.held_out_part(draw)
        pq.write_table(pq.read_table(part).slice(0, 1), part)
    join(run, radius=2, device="cpu")
    assert pq.read_table(run.frequency).equals(pq.read_table(joined[0].frequency))


def test_a_run_of_heads_on_features_is_refused_before_its_images_are_opened(joined, tmp_path):
    run = Run(shutil.copytree(joined[0].path, tmp_path / "run"))
    record = run.read_scan()
    run.write(record.model_copy(update={"recipe": replace(record.recipe, arch=LINEAR)}))
    refused = "--preset frozen, which keeps no network that sees pixels"
    with pytest.raises(RunError, match=refused):
        join(run, device="cpu")
    with pytest.raises(RunError, match=refused):
        judge_network(Options(data=run.path, device="cpu"))


def test_a_new_scan_in_its_place_takes_the_columns_away(joined, tmp_path):
    run = Run(shutil.copytree(joined[0].path, tmp_path / "run"))
    new_run(run.path, "x", overwrite=True)
    assert not run.frequency.exists() and not run.frequency.with_suffix("").exists()


def test_data_that_changed_since_are_refused(joined, tmp_path):
    run = Run(shutil.copytree(joined[0].path, tmp_path / "run"))
    record = run.read()
    run.write(record.model_copy(update={"config": record.config.model_copy(update={"limit": 300})}))
    with pytest.raises(RunError, match="have changed since; scan them again"):
        join(run, device="cpu")
    with pytest.raises(ConfigError, match="--radius 30"):
        join(joined[0], radius=30, device="cpu")


def test_a_class_that_rests_on_the_high_band_is_named_first():
    n = 40
    dataset = Dataset(np.zeros((2 * n, 8, 8, 3), np.uint8), np.repeat([0, 1], n), ("whole", "marked"))
    low, high = np.ones(2 * n, np.float32), np.ones(2 * n, np.float32)
    low[n : n + 30] = -1  # of the marked class three in four are right on the high band alone
    high[n + 30 :] = -1
    original = np.ones(2 * n, np.float32)
    original[0] = -1
    flagged = np.zeros(2 * n, bool)
    flagged[[0, n]] = True
    bands = Bands(original, low, high)
    assert bands.reliance()[[0, n, 2 * n - 1]].tolist() == ["both", "high", "low"]
    first, second = class_rows(dataset, bands, flagged)
    assert (first.label, first.hint, first.right_high, first.flagged_high_only) == ("marked", True, 0.75, 1)
    assert (second.label, second.hint, second.right_both, second.right) == ("whole", False, 1.0, 39 / 40)


@pytest.mark.parametrize(
    ("shares", "named"),
    [
        ([0.36, 0.15, 0.07, 0.05, 0.05], [0]),  # one far above the others
        ([0.15, 0.12, 0.1, 0.1, 0.1], []),  # a little more than the others
        ([0.2, 0.0, 0.0, 0.0, 0.0], []),  # many times the others, and yet little
        ([0.6, 0.55, 0.6, 0.55, 0.6], [0, 1, 2, 3, 4]),  # most of every class
    ],
)
def test_a_class_is_named_for_most_of_it_or_for_far_more_than_the_others(shares, named):
    n = 200
    dataset = Dataset(np.zeros((5 * n, 8, 8, 3), np.uint8), np.repeat(np.arange(5), n), tuple("01234"))
    high = np.concatenate([np.arange(n) < round(share * n) for share in shares])
    bands = Bands(np.ones(5 * n), np.where(high, -1.0, 1.0), np.ones(5 * n))
    rows = class_rows(dataset, bands, np.zeros(5 * n, bool))
    assert sorted(int(row.label) for row in rows if row.hint) == named
