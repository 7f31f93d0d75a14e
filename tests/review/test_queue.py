import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.margins.log import read_block
from aumclean.review import queue as module
from aumclean.review.pictures import alike
from aumclean.review.queue import EXAMPLES, spot_check, suspects
from aumclean.review.why import why
from aumclean.verdict.neighbours import Near, write_near


def test_the_queue_is_the_flagged_samples_most_suspect_first(finished):
    queue = suspects(finished.run)
    flagged = [row["sample_id"] for row in finished.verdict.report.to_pylist() if row["flagged"]]
    assert [row["sample_id"] for row in queue.rows] == flagged
    assert (queue.flagged, queue.unflagged) == (len(flagged), 360 - len(flagged))
    assert len(suspects(finished.run, everything=True)) == 360


def test_files_with_two_labels_are_in_the_queue_until_one_is_confirmed(own_run, finished):
    table = pq.read_table(own_run.samples)
    labels, hashes = table["label"].to_pylist(), table["content_hash"].to_pylist()
    flagged = {row["sample_id"] for row in finished.verdict.report.to_pylist() if row["flagged"]}
    one = next(n for n in range(360) if n not in flagged)
    two = next(n for n in range(360) if n not in flagged and labels[n] != labels[one])
    hashes[two] = hashes[one]
    pq.write_table(table.set_column(3, "content_hash", [hashes]), own_run.samples)
    queue = suspects(own_run)
    assert {row["sample_id"] for row in queue.rows} == flagged | {one, two}
    assert queue.copies[hashes[one]] == [(n, labels[n]) for n in sorted((one, two), key=lambda n: _rank(finished, n))]


def _rank(finished, sample):
    return finished.verdict.report["sample_id"].to_pylist().index(sample)


def test_curves_are_the_recorded_margins_of_the_draws_that_judged(finished):
    queue = suspects(finished.run)
    for position in range(0, len(queue), 5):
        row, curve = queue.rows[position], queue.curve(position)
        judging = [draw for draw in range(2) if row[f"aum_draw_{draw}"] is not None]
        assert [one["draw"] for one in curve["draws"]] == judging
        for one in curve["draws"]:
            margin, *_ = read_block(finished.run.margins, one["draw"], range(6), 0, 360)
            np.testing.assert_allclose(one["margin"], margin[:, row["sample_id"]], atol=1e-3)
            assert one["threshold"] == finished.verdict.summary.thresholds[one["draw"]].threshold


def test_examples_are_the_highest_aum_of_each_class_that_is_not_flagged(finished):
    examples = suspects(finished.run).examples
    rows = finished.verdict.report.to_pylist()
    for label in ("amber", "blue", "green"):
        best = sorted(
            (row for row in rows if row["label"] == label and not row["flagged"]), key=lambda row: -row["aum"]
        )
        assert examples[label] == [row["sample_id"] for row in best[:EXAMPLES]]


def test_a_spot_check_draws_both_halves_at_random_and_the_same_again(finished):
    queue = spot_check(finished.run, 20)
    flags = [row["flagged"] for row in queue.rows]
    assert (queue.blind, flags.count(True), flags.count(False)) == (True, 10, 10)
    assert flags != sorted(flags) and flags != sorted(flags, reverse=True)
    assert [row["sample_id"] for row in queue.rows] == [row["sample_id"] for row in spot_check(finished.run, 20).rows]
    assert len({row["sample_id"] for row in queue.rows}) == 20
    everything = spot_check(finished.run, 10_000)
    assert len(everything) == 360


def test_the_order_of_a_spot_check_tells_nothing_of_the_rank(finished):
    ranks = [row["rank"] for row in spot_check(finished.run, 300).rows]
    assert abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) < 0.2


def test_pictures_that_look_alike_are_found_and_missing_ones_are_like_none():
    vectors = np.array([[0, 0], [9, 9], [np.nan, np.nan], [1, 0], [0, 3]], np.float32)
    assert alike(vectors, 0, 2) == [3, 4]
    assert alike(vectors, 0, 9) == [3, 4, 1]
    assert alike(vectors, 2, 9) == []


def test_findings_of_features_are_decided_too_where_a_run_has_them(finished, monkeypatch):
    rows = finished.verdict.report.to_pylist()
    calm = [row["sample_id"] for row in rows if not row["flagged"]][:6]
    twins = dict(zip(calm, ["a", "a", "b", "b", None, None], strict=True))
    report = finished.verdict.report
    columns = {
        "near_group": [twins.get(row["sample_id"]) for row in rows],
        "near_conflict": [twins.get(row["sample_id"]) == "a" for row in rows],
        "leaked_from": ["test/x.png" if row["sample_id"] == calm[4] else None for row in rows],
        "wrong_by_features": [0.25] * len(rows),
    }
    for name, values in columns.items():
        report = report.append_column(name, pa.array(values))
    monkeypatch.setattr(module, "judge", lambda run: replace(finished.verdict, report=report))
    queue = suspects(finished.run)
    kinds = {row["sample_id"]: queue.kind(at) for at, row in enumerate(queue.rows)}
    expected = dict.fromkeys(calm[:2], "conflict") | dict.fromkeys(calm[2:4], "twin") | {calm[4]: "leak"}
    assert {sample: kind for sample, kind in kinds.items() if kind != "suspect"} == expected
    told = queue.columns(["amber", "blue", "green"])
    together = dict(zip(told["sample_id"], told["together"], strict=True))
    assert together[calm[0]] == together[calm[1]] != together[calm[2]] == together[calm[3]]
    assert set(told["wrong_by_features"]) == {0.25}
    assert queue.witnesses() == {"wrong_by_network": "the network", "wrong_by_features": "the features"}
    leak = next(row for row in queue.rows if row["sample_id"] == calm[4])
    assert "in another split too (test/x.png)" in why(leak, 0)
    assert "the features hold the label for wrong at 25%" in why(leak, 0)


def test_the_nearest_images_by_features_stand_with_their_labels(own_run, finished):
    label = dict(zip(*(finished.verdict.report[name].to_pylist() for name in ("sample_id", "label")), strict=True))
    nearest = np.array([[(n + step) % 360 for step in range(1, 9)] for n in range(360)], np.int32)
    near = Near(np.arange(360, dtype=np.int32), pa.nulls(360, pa.string()), nearest, np.ones((360, 8), np.float32))
    write_near(own_run.neighbours, near)
    looked = json.loads(own_run.features.read_text()) | {"name": "auto", "image_size": 224}
    own_run.features.write_text(json.dumps(looked))
    queue = suspects(own_run)
    for row, found in zip(queue.rows, queue.nearest, strict=True):
        samples = nearest[row["sample_id"], :6].tolist()
        assert found == [(sample, label[sample]) for sample in samples]
    assert "of the 6 images most like it are labeled" in why(queue.rows[0], 0, [label for _, label in queue.nearest[0]])
    assert "outlier" in queue.columns(["amber", "blue", "green"])
    for file in (own_run.neighbours, own_run.held_out_features, own_run.features):
        file.unlink()
    assert suspects(own_run).nearest == []
