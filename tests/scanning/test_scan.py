import csv
import hashlib
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import torch

from aumclean.config.reading import load
from aumclean.dataset.read import read_samples
from aumclean.errors import ConfigError, DataError, OutputError, RunError, TrainingError
from aumclean.margins.log import epoch_file, read_block
from aumclean.reports.write import write_reports
from aumclean.run.directory import Run
from aumclean.scanning.indicator_draws import _lowest_share
from aumclean.scanning.scan import resume, scan
from aumclean.training import order
from aumclean.verdict.judge import judge, settings_of
from tests.faults.child import begun

QUICK = {"epochs": 3, "flip": False}


def scan_folder(folder, out, **options):
    return scan(read_samples(folder), load({**QUICK, "out": out, **options}, environment={}))


def results(run):
    """Every file that follows from the verdict, by content."""
    names = (
        "report.csv",
        "report.parquet",
        "cleaned.csv",
        "cleaned.parquet",
        "removed.csv",
        "summary.json",
        "unreadable.csv",
    )
    return {name: (run.path / name).read_bytes() for name in names}


def flagged_paths(verdict):
    return {row["path"] for row in verdict.report.to_pylist() if row["flagged"]}


def test_the_planted_errors_are_flagged_and_hardly_anything_else(finished):
    flagged = flagged_paths(finished.verdict)
    assert 2 * len(flagged & finished.wrong) / (len(flagged) + len(finished.wrong)) > 0.85  # F1


def test_the_published_threshold_flags_exactly_the_planted_errors(by_indicator, finished):
    assert flagged_paths(by_indicator) == finished.wrong


def test_the_planted_errors_stand_at_the_top_with_the_right_suggestion(finished):
    top = finished.verdict.report.slice(0, len(finished.wrong)).to_pylist()
    assert {row["path"] for row in top} == finished.wrong
    names = ("amber", "blue", "green")
    true = [names[int(row["path"].split("/")[1][:3]) % 3] for row in top]
    assert [row["suggested_label"] for row in top] == true
    assert all(row["suggested_confidence"] > 0.5 for row in top)


def test_the_report_is_as_the_design_says(finished):
    report = finished.verdict.report
    assert " ".join(report.column_names) == (
        "rank sample_id path label suggested_label suggested_confidence flagged aum threshold label_score aum_draw_0 "
        "aum_draw_1 flagged_draw_0 flagged_draw_1 n_epochs n_draws wrong_probability wrong_by_network "
        "wrong_by_features content_hash duplicate_of conflict reason decision new_label reviewer note"
    )
    assert report["rank"].to_pylist() == list(range(1, 361))
    assert sorted(report["sample_id"].to_pylist()) == list(range(360))
    score = report["label_score"].to_numpy()
    assert (np.diff(score) >= 0).all()
    assert ((score >= 0) & (score <= 1)).all()
    assert pq.read_table(finished.run.report("parquet")).equals(report)


def test_content_hashes_are_those_of_the_files(finished):
    row = finished.verdict.report.to_pylist()[17]
    assert row["content_hash"] == hashlib.sha256((finished.root / row["path"]).read_bytes()).hexdigest()


def test_indicator_samples_are_judged_by_the_other_draw_only(finished):
    rows = finished.verdict.report.to_pylist()
    single = [row for row in rows if row["n_draws"] == 1]
    assert len(single) == 2 * (360 // 4)
    for row in single:
        assert (row["aum_draw_0"] is None) != (row["aum_draw_1"] is None)
        assert row["aum"] == (row["aum_draw_0"] if row["aum_draw_1"] is None else row["aum_draw_1"])


def test_the_run_says_what_was_done(finished):
    record = finished.run.read()
    assert record.state == "done"
    assert record.epochs_done == [6, 6]
    assert record.recipe.arch == "resnet8"
    assert record.image_size == 12
    assert record.data.class_names == ["amber", "blue", "green"]
    assert not list((finished.run.path / "checkpoints").glob("*"))
    weights = safetensors.numpy.load_file(finished.run.model(1))
    assert weights["head.weight"].shape == (4, 64)
    assert json.loads(finished.run.model_json.read_text())["class_names"] == ["amber", "blue", "green"]


def test_the_summary_counts_what_the_report_says(finished):
    summary = json.loads(finished.run.summary.read_text())
    assert summary["flagged"] == sum(row["flagged"] for row in summary["per_class"])
    assert summary["flagged"] == len(flagged_paths(finished.verdict))
    suggested = [row for row in finished.verdict.report.to_pylist() if row["flagged"] and row["suggested_label"]]
    assert len(suggested) == sum(row["flagged"] for row in summary["per_pair"])
    assert summary["noise_rate"]["low"] <= 30 / 360 <= summary["noise_rate"]["high"]
    assert "few-indicator-samples" not in [warning["code"] for warning in summary["warnings"]]  # none decides here
    published = judge(finished.run, settings_of(finished.run, threshold="indicator", combine="all"))
    assert "few-indicator-samples" in [warning.code for warning in published.summary.warnings]
    for threshold in summary["thresholds"]:
        assert threshold["low"] <= threshold["threshold"] <= threshold["high"]


def test_judging_again_needs_no_training_and_other_settings_flag_more_or_less(finished, by_indicator):
    def again(**settings):
        return judge(finished.run, settings_of(finished.run, **settings)).summary

    def flagged(**settings):
        return again(**settings).flagged

    default, published = again(), by_indicator.summary
    assert default.flagged_digest == finished.verdict.summary.flagged_digest
    assert again(threshold="estimate", percentile=1.0).flagged_digest == default.flagged_digest
    lower = again(percentile=1.0)
    assert lower.thresholds[0].threshold < published.thresholds[0].threshold
    assert lower.flagged <= published.flagged
    assert flagged(combine="all") <= flagged(combine="any")
    with pytest.raises(ConfigError, match="--first-epoch: 8 is not among the epochs that AUM is read from, 0 to 4"):
        flagged(first_epoch=8)
    with pytest.raises(ConfigError, match="--percentile: 0 is not between"):
        flagged(percentile=0.0)


def test_the_cleaned_manifest_is_data_again(finished):
    for suffix in ("csv", "parquet"):
        again = read_samples(finished.run.cleaned(suffix))
        everything = set(finished.verdict.report["path"].to_pylist())
        assert set(again.paths.to_pylist()) == everything - flagged_paths(finished.verdict)
        assert again.images.one(int(again.rows[0])).is_file()


def test_same_seed_same_flags_and_another_seed_other_indicators(planted, finished, tmp_path):
    again = scan_folder(planted.root, tmp_path / "again", **planted.options)
    assert results(again.run) == results(finished.run)
    other = scan_folder(
        planted.root, tmp_path / "other", **{**planted.options, "epochs": 1, "features": "none", "seed": 1}
    )
    indicators = [pq.read_table(next(run.margins.rglob("*.parquet")))["is_indicator"] for run in (again.run, other.run)]
    assert indicators[0] != indicators[1]


def test_manifest_columns_and_unreadable_files_come_through(folder, tmp_path):
    (folder / "blue" / "001.png").write_bytes(b"broken")
    lines = [f"{name}/{number:03d}.png,{name},n{number}" for name in ("amber", "blue", "green") for number in range(4)]
    (folder / "list.csv").write_text("\n".join(["file,class,note", *lines]))
    samples = read_samples(folder / "list.csv", path_column="file")
    options = {**QUICK, "out": tmp_path / "run", "max_unreadable": 10, "path_column": "file"}
    done = scan(samples, load(options, environment={}))
    assert done.run.unreadable.read_text() == '"path","reason"\n"blue/001.png","not an image"\n'
    cleaned = pq.read_table(done.run.cleaned("parquet"))
    assert cleaned.column_names == ["file", "class", "note"]
    assert "blue/001.png" not in cleaned["file"].to_pylist()
    assert len(cleaned) == 11 - done.verdict.summary.flagged


def test_images_inside_parquet_come_out_as_the_same_parquet(folder, tmp_path):
    samples = read_samples(folder)
    source = tmp_path / "set.parquet"
    images = [{"bytes": (samples.root / path).read_bytes(), "path": None} for path in samples.paths.to_pylist()]
    pq.write_table(pa.table({"image": images, "label": samples.label_names(), "extra": range(12)}), source)
    run = scan(read_samples(source), load({**QUICK, "out": tmp_path / "run"}, environment={})).run
    assert pq.read_table(run.cleaned("parquet")).equals(pq.read_table(source))
    assert not run.cleaned("csv").exists()


def test_too_many_unreadable_files_stop_the_scan_before_anything_is_written(folder, tmp_path):
    (folder / "blue" / "001.png").write_bytes(b"broken")
    with pytest.raises(
        DataError, match=r"1 of 12 images cannot be read \(8.3%\), such as blue/001.png: not an image.*--max"
    ):
        scan_folder(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_identical_images_under_two_labels_are_a_conflict(folder, tmp_path):
    shutil.copy(folder / "amber" / "000.png", folder / "green" / "copy.png")
    rows = {row["path"]: row for row in scan_folder(folder, tmp_path / "run").verdict.report.to_pylist()}
    assert rows["green/copy.png"]["duplicate_of"] == "amber/000.png"
    assert rows["amber/000.png"]["duplicate_of"] is None
    assert {path for path, row in rows.items() if row["conflict"]} == {"green/copy.png", "amber/000.png"}


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"arch": "resnet19"}, ConfigError, "--arch resnet19"),
        ({"draws": 5}, ConfigError, "--draws 5: with 3 classes at most 4"),
        ({"device": "cuda"}, TrainingError, "--device cuda: not available"),
        ({"limit": 3}, DataError, "too few for 2 draws"),
        ({"arch": "alexnet"}, ConfigError, "--arch alexnet: cannot take images of 12 pixels.*--image-size"),
    ],
)
def test_what_does_not_go_together_is_refused_before_training(folder, tmp_path, options, error, says):
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(error, match=says):
        settled = load({**QUICK, "out": tmp_path / "run", **options}, environment={})
        scan(read_samples(folder, limit=options.get("limit")), settled)
    assert not (tmp_path / "run").exists()


def killed_at_random(planted, out):
    """A scan in a process of its own, ended by `kill -9` at a random moment after its first recorded epoch.

    The moment is after a random number of the 12 epochs of both draws, and a random share of the time of the last.
    """
    after, share = random.randint(1, 10), random.random()
    process = begun(["-q", "scan", planted.root, "--out", out, *planted.words])
    recorded = [time.monotonic()]  # when each epoch was first seen
    try:
        while len(recorded) <= after or time.monotonic() < recorded[-1] + share * (recorded[-1] - recorded[-2]):
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            assert ended is None, "before it was killed"
            assert time.monotonic() < recorded[0] + 300
            new = len(list(out.glob("margins/*/*/part-0.parquet"))) - len(recorded) + 1
            recorded += [time.monotonic()] * new
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.ended()
    return Run(out)


def test_a_scan_killed_at_a_random_moment_resumes_to_the_same_result_bit_for_bit(planted, finished, tmp_path):
    run = killed_at_random(planted, tmp_path / "run")
    with pytest.raises(RunError, match=f"aumclean scan --resume {run.path}"):
        run.require_finished()
    (run.margins / ".part-0.parquet.1.part").write_bytes(b"left by the kill")
    resumed = resume(run)
    assert results(resumed.run) == results(finished.run)
    assert not list(run.path.rglob("*.part"))


@pytest.mark.parametrize(("fewest", "done"), [(3, 4), (5, 6)])
def test_auto_closes_the_training_when_indicator_samples_are_memorised(folder, tmp_path, monkeypatch, fewest, done):
    monkeypatch.setattr("aumclean.scanning.indicator_draws.FEWEST", fewest)
    monkeypatch.setattr("aumclean.scanning.indicator_draws.MEMORISED", -2.0)
    run = scan_folder(folder, tmp_path / "run", epochs="auto", batch_size=4).run
    record, summary = run.read(), json.loads(run.summary.read_text())
    assert record.recipe.epochs == 40
    assert record.epochs_done == [done, done]  # the third or fifth decides, and a quarter is for closing
    for draw in range(2):
        files = [epoch_file(run.margins, draw, epoch) for epoch in (fewest - 1, done - 1)]
        before, closing = (json.loads(pq.read_schema(file).metadata[b"aumclean"])["rate_at_end"] for file in files)
        assert closing < before / 2
        assert summary["thresholds"][draw]["epochs"] == done
        assert 0 <= summary["thresholds"][draw]["memorised"] <= 1


def test_auto_goes_on_to_the_same_epochs_after_it_was_killed(make_folder, tmp_path, monkeypatch):
    photos = make_folder(tmp_path / "photos", per_class=20)
    monkeypatch.setattr("aumclean.config.scan.AUTO_EPOCHS", 8)
    monkeypatch.setattr("aumclean.scanning.indicator_draws.FEWEST", 1)
    shares = iter([0.05, 0.02, 0.04, 0.08] * 2)
    monkeypatch.setattr("aumclean.scanning.indicator_draws._memorised", lambda *_: next(shares))
    whole = scan_folder(photos, tmp_path / "whole", epochs="auto", jobs=1).run
    assert whole.read().epochs_done == [8, 8]  # 2 points above the lowest after the fourth, 6 after the fifth

    monkeypatch.undo()
    found = _lowest_share(whole, 0, range(2, 5), 60)
    margins = [read_block(whole.margins, 0, range(epoch, epoch + 1), 0, 60) for epoch in (2, 3, 4)]
    assert found == min((margin[0, indicator] > 0).mean() for margin, _, indicator in margins)
    assert _lowest_share(whole, 0, range(2, 2), 60) == 1.0


def test_draws_side_by_side_share_the_memory(make_folder, tmp_path, monkeypatch):
    photos, readers = make_folder(tmp_path / "photos", per_class=20), []

    def least(images, reading):
        readers.append(reading)
        return 8

    monkeypatch.setattr(order, "buffer_of", least)
    monkeypatch.setattr(order, "BLOCK", 1)
    run = scan_folder(photos, tmp_path / "run", epochs=2, jobs=2, features="none").run
    assert readers == [2, 2]
    assert all(len(read_block(run.margins, draw, range(2), 0, 60)[0][0]) == 60 for draw in (0, 1))


def test_a_finished_run_resumes_to_itself(finished, tmp_path):
    shutil.copytree(finished.run.path, tmp_path / "run")
    assert results(resume(Run(tmp_path / "run")).run) == results(finished.run)


def test_resume_refuses_data_that_changed(folder, tmp_path, save_image):
    run = scan_folder(folder, tmp_path / "run").run
    save_image(folder / "amber" / "000.png", seed=77)
    with pytest.raises(RunError, match="have changed since"):
        resume(run)


def test_a_disk_that_fills_up_leaves_no_half_file_and_the_run_goes_on_later(planted, finished, tmp_path, monkeypatch):
    from aumclean.margins import log

    real, written = log.pq.write_table, []

    def fills_up(table, where, **options):
        written.append(where)
        if len(written) > 3:
            where.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(where))
        real(table, where, **options)

    with monkeypatch.context() as patch:
        patch.setattr(log.pq, "write_table", fills_up)
        with pytest.raises(
            OutputError, match=r"epoch=00\d/part-0.parquet: cannot be written \(no space left on device\)"
        ):
            scan_folder(planted.root, tmp_path / "run", **planted.options)
    run = Run(tmp_path / "run")
    assert not list(run.path.rglob("*.part"))
    assert results(resume(run).run) == results(finished.run)


def test_overwriting_deletes_the_old_run_and_nothing_else(folder, tmp_path):
    """Even when the images lie inside the run directory."""
    out = tmp_path / "project"
    shutil.copytree(folder, out / "images")
    run = scan_folder(folder, tmp_path / "elsewhere").run
    for entry in run.path.iterdir():
        if entry.name != ".lock":
            entry.rename(out / entry.name)
    done = scan_folder(out / "images", out, overwrite=True, epochs=1)
    assert len(list((out / "images").rglob("*.png"))) == 12
    assert done.run.read().epochs_done == [1, 1]


def test_an_old_run_survives_a_scan_that_cannot_begin(folder, tmp_path):
    run = scan_folder(folder, tmp_path / "run").run
    before = results(run)
    with pytest.raises(DataError, match="too few"):
        settled = load({**QUICK, "out": run.path, "overwrite": True}, environment={})
        scan(read_samples(folder, limit=3), settled)
    assert results(run) == before


def test_a_class_that_loses_all_its_images_is_not_scanned_as_one_class(tmp_path, save_image):
    for number in range(20):
        save_image(tmp_path / "photos" / "a" / f"{number}.png", seed=number)
    (tmp_path / "photos" / "b").mkdir()
    (tmp_path / "photos" / "b" / "x.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="all readable images have the label 'a'"):
        scan_folder(tmp_path / "photos", tmp_path / "run", max_unreadable=50)


@pytest.mark.parametrize("where", ["before the model", "after the model"])
def test_a_kill_around_the_model_file_costs_nothing(finished, tmp_path, monkeypatch, where):
    shutil.copytree(finished.run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    weights = run.model(0).read_bytes()
    run.model(0).unlink()
    kept = []
    real = Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "unlink", lambda path, **options: kept.append(path) or (path.suffix == ".pt") or real(path, **options)
        )
        resume(run)  # trains draw 0 again and keeps its checkpoint
    if where == "before the model":
        run.model(0).unlink()
    assert run.checkpoint(0).is_file()
    resume(run)
    assert run.model(0).read_bytes() == weights
    assert not run.checkpoint(0).exists()
    assert results(run) == results(finished.run)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda run: run.samples.unlink(), "samples.parquet: cannot be read"),
        (lambda run: next(run.margins.rglob("*.parquet")).write_bytes(b"junk"), "cannot be read"),
        (lambda run: run.run_json.write_text("[]"), "was not written by aumclean"),
        (lambda run: run.run_json.write_text('{"schema_version": 1}'), "is damaged"),
    ],
)
def test_a_damaged_run_is_named(finished, tmp_path, damage, says):
    shutil.copytree(finished.run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    damage(run)
    with pytest.raises(RunError, match=says):
        judge(run)


def test_a_damaged_checkpoint_is_named(finished, tmp_path):
    shutil.copytree(finished.run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    run.model(0).unlink()
    run.checkpoint(0).write_bytes(b"junk")
    with pytest.raises(RunError, match="draw=0.pt: is damaged.*delete it"):
        resume(run)


def test_a_run_begun_with_relative_paths_resumes_from_elsewhere(folder, tmp_path, monkeypatch):
    lines = [f"{name}/{number:03d}.png,{name}" for name in ("amber", "blue", "green") for number in range(4)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
    monkeypatch.chdir(tmp_path)
    settled = load({**QUICK, "out": Path("run"), "root": Path("photos")}, environment={})
    done = scan(read_samples(Path("list.csv"), root=Path("photos")), settled)
    monkeypatch.chdir("/")
    assert results(resume(Run(tmp_path / "run")).run) == results(Run(tmp_path / "run")) != {}
    assert done.run.path == Path("run")


def test_a_source_that_changed_is_not_read_by_row(folder, tmp_path):
    samples = read_samples(folder)
    images = [{"bytes": (samples.root / path).read_bytes(), "path": None} for path in samples.paths.to_pylist()]
    table = pa.table({"image": images, "label": samples.label_names()})
    source = tmp_path / "set.parquet"
    pq.write_table(table, source)
    run = scan(read_samples(source), load({**QUICK, "out": tmp_path / "run"}, environment={})).run
    before = run.report("csv").read_bytes()
    pq.write_table(table.take(list(reversed(range(12)))), source)
    with pytest.raises(DataError, match="is gone or has changed"):
        write_reports(run, judge(run, settings_of(run, percentile=5.0)))
    assert run.report("csv").read_bytes() == before


def test_columns_that_a_csv_cannot_hold_become_json(folder, tmp_path):
    samples = read_samples(folder)
    vectors = [[1.0, 2.0]] * 12
    table = pa.table({"path": samples.paths, "label": samples.label_names(), "vector": vectors, "raw": [b"\xff"] * 12})
    pq.write_table(table, folder / "list.parquet")
    settled = load({**QUICK, "out": tmp_path / "run"}, environment={})
    run = scan(read_samples(folder / "list.parquet"), settled).run
    rows = list(csv.DictReader(run.cleaned("csv").read_text().splitlines()))
    assert (json.loads(rows[0]["vector"]), rows[0]["raw"]) == ([1.0, 2.0], "/w==")
    assert pq.read_table(run.cleaned("parquet"))["vector"].to_pylist() == vectors
