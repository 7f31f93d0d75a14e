"""Scans with features: of the user's own, which cost nothing, and once through the backbone."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.config.reading import load
from aumclean.dataset.read import read_samples
from aumclean.errors import AumcleanError, ConfigError, DataError, RunError
from aumclean.run.directory import Run
from aumclean.scanning.plan import settle
from aumclean.scanning.scan import resume, scan
from aumclean.verdict.judge import judge
from tests.conftest import SMALL_NETWORK
from tests.features.conftest import drawing, save_jpeg
from tests.test_schemas import problems


@pytest.fixture(scope="module", autouse=True)
def few_epochs(finished):
    """Heads take the most epochs where images are few; here a quarter of these is enough.

    The scan that tests of all files share has had all of its epochs before.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aumclean.config.scan.AUTO_EPOCHS", 10)
        yield


@pytest.fixture(scope="module")
def told(planted, tmp_path_factory):
    """Features of the planted images that tell their true classes: as an array, by path, and other ones."""
    folder, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(5)
    paths = [str(path) for path in read_samples(planted.root).paths]
    centres = 3 * rng.normal(size=(3, 16))
    true = np.array([int(path.split("/")[1][:3]) % 3 for path in paths])
    values = (centres[true] + rng.normal(size=(len(paths), 16))).astype(np.float32)
    np.save(folder / "told.npy", values)
    np.save(folder / "other.npy", values + 1)
    order = rng.permutation(len(paths))
    table = {"path": [paths[i] for i in order], "embedding": pa.array(values[order].tolist(), pa.list_(pa.float32()))}
    pq.write_table(pa.table(table), folder / "told.parquet")
    return folder


def scanned(planted, out, **options):
    settled = load({"out": out, "flip": False, "precision": "fp32", **options}, environment={})
    return scan(read_samples(planted.root), settled)


def f1(verdict, wrong):
    flagged = {row["path"] for row in verdict.report.to_pylist() if row["flagged"]}
    return 2 * len(flagged & wrong) / (len(flagged) + len(wrong))


@pytest.fixture(scope="module")
def frozen(planted, told, tmp_path_factory):
    out = tmp_path_factory.mktemp("frozen") / "run"
    return scanned(planted, out, preset="frozen", features=str(told / "told.npy"))


def test_heads_on_features_alone_find_the_planted_errors(frozen, planted):
    assert f1(frozen.verdict, planted.wrong) > 0.9
    summary = frozen.verdict.summary
    assert summary.noise_rate.low < 30 / 360 < summary.noise_rate.high
    assert frozen.run.read_scan().recipe.arch == "linear"
    report = frozen.verdict.report
    assert report["wrong_by_network"].null_count == 360
    assert report["wrong_by_features"].null_count == 0
    assert not {"near_group", "near_conflict", "leaked_from", "outlier"} & set(report.column_names)
    about = json.loads(frozen.run.features.read_text())
    assert about["width"] == 16
    assert 0 < about["shrinkage"] < 1


def test_features_are_joined_by_path(frozen, planted, told, tmp_path):
    by_path = scanned(planted, tmp_path / "run", preset="frozen", features=str(told / "told.parquet"))
    assert by_path.verdict.summary.flagged_digest == frozen.verdict.summary.flagged_digest


def test_beside_a_network_they_are_a_second_witness(finished, planted, told, tmp_path):
    found = scanned(planted, tmp_path / "run", features=str(told / "told.npy"), **planted.options)
    report = found.verdict.report
    assert f1(found.verdict, planted.wrong) >= f1(finished.verdict, planted.wrong)
    assert found.run.read().state == found.run.heads.read().state == "done"
    assert set(found.run.heads.read_scan().epochs_done) == {found.run.heads.read_scan().recipe.epochs}
    assert report["wrong_by_features"].null_count == 0
    assert 0 < report["wrong_by_network"].null_count < 360


def test_heads_beside_a_network_say_what_those_of_a_frozen_scan_say(frozen, planted, told, tmp_path):
    options = {"features": str(told / "told.npy"), "arch": SMALL_NETWORK, "epochs": 2}
    beside = scanned(planted, tmp_path / "run", **options).run.heads
    record, alone = beside.read_scan(), frozen.run.read_scan()
    assert (record.recipe, record.judge, record.seed) == (alone.recipe, alone.judge, alone.seed)
    for draw in range(2):
        assert pq.read_table(beside.final_margins(draw)).equals(pq.read_table(frozen.run.final_margins(draw)))


def test_heads_that_were_stopped_go_on_to_the_same_result(planted, told, tmp_path):
    def stop(stream, description, done, total):
        for batch in stream:
            if "head 2" in description:
                raise KeyboardInterrupt
            yield batch

    options = {**planted.options, "features": str(told / "told.npy"), "epochs": 2}
    with pytest.raises(KeyboardInterrupt):
        settled = load({"out": tmp_path / "stopped", **options}, environment={})
        scan(read_samples(planted.root), settled, track=stop)
    stopped = Run(tmp_path / "stopped")
    assert not stopped.has_heads()
    whole = scanned(planted, tmp_path / "whole", **options)
    assert resume(stopped).verdict.report.equals(whole.verdict.report)


def test_a_frozen_scan_that_was_stopped_goes_on_to_the_same_result(frozen, planted, told, tmp_path):
    seen = []

    def stop(stream, description, done, total):
        for batch in stream:
            seen.append(description)
            if "head 2" in description:
                raise KeyboardInterrupt
            yield batch

    options = {"out": tmp_path / "run", "preset": "frozen", "features": str(told / "told.npy"), "flip": False}
    with pytest.raises(KeyboardInterrupt):
        scan(read_samples(planted.root), load({**options, "precision": "fp32"}, environment={}), track=stop)
    goes_on = resume(Run(tmp_path / "run"))
    assert goes_on.verdict.summary == frozen.verdict.summary
    assert goes_on.verdict.report.equals(frozen.verdict.report)


def test_a_scan_that_was_begun_without_features_goes_on_without(planted, tmp_path):
    """As one of a version that looked at no small images by default."""

    def stop(stream, description, done, total):
        for batch in stream:
            if "draw 2" in description:
                raise KeyboardInterrupt
            yield batch

    run = Run(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        settled = load({"out": run.path, "epochs": 2, "features": "none", "device": "cpu"}, environment={})
        scan(read_samples(planted.root), settled, track=stop)
    begun = json.loads(run.run_json.read_text())
    begun["config"]["features"] = None
    run.run_json.write_text(json.dumps(begun))
    assert "wrong_by_features" not in resume(run).verdict.report.column_names


def test_other_features_under_the_same_name_are_refused_on_resume(planted, told, tmp_path):
    file = tmp_path / "mine.npy"
    file.write_bytes((told / "told.npy").read_bytes())
    scanned(planted, tmp_path / "run", preset="frozen", features=str(file), epochs=2)
    file.write_bytes((told / "other.npy").read_bytes())
    with pytest.raises(RunError, match="was begun with other features"):
        resume(Run(tmp_path / "run"))


def test_new_images_have_no_features_of_the_users_own(frozen, planted):
    from aumclean.scanning.score import score

    with pytest.raises(RunError, match="none of new images"):
        score(frozen.run, read_samples(planted.root))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((359, 4)), "has 359 rows for 360 samples"),
        (np.zeros((360, 2, 4)), "must be numbers [samples, width]"),
        (np.full((360, 4), np.nan), "not finite, such as in row 1"),
        (np.full((360, 4), "a"), "must be numbers"),
    ],
)
def test_an_array_that_does_not_fit_is_named(planted, tmp_path, values, said):
    file = tmp_path / "own.npy"
    np.save(file, values)
    with pytest.raises(DataError) as caught:
        scanned(planted, tmp_path / "run", preset="frozen", features=str(file))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert not (tmp_path / "run").exists()


def test_a_table_that_does_not_fit_is_named(planted, told, tmp_path):
    whole, file = pq.read_table(told / "told.parquet"), tmp_path / "own.parquet"
    ragged = pa.array([[1.0] * (1 + row % 2) for row in range(360)])
    for table, said in (
        (whole.slice(1), "lacks 1 of 360 samples"),
        (whole.slice(1).drop_columns("path"), "has 359 rows for 360 samples"),
        (whole.set_column(1, "embedding", ragged), "differ in length"),
        (pa.concat_tables([whole, whole.slice(359)]), "occurs 2 times"),
        (whole.append_column("other", whole["embedding"]), "has 2 columns of lists"),
    ):
        pq.write_table(table, file)
        with pytest.raises(DataError, match=said):
            scanned(planted, tmp_path / "run", preset="frozen", features=str(file))


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "frozen", "features": "none"},
        {"preset": "frozen", "features": "auto", "arch": "resnet9"},
        {"preset": "paper", "features": "auto"},
        {"features": "none", "against": "."},
        {"features": "missing.npy"},
        {"features": "resnet50"},
    ],
)
def test_options_that_contradict_each_other_are_refused(planted, tmp_path, options):
    with pytest.raises(AumcleanError) as caught:
        scanned(planted, tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_small_images_speak_for_themselves(finished, planted):
    assert finished.run.read_scan().features == "pixels"
    about = json.loads(finished.run.features.read_text())
    assert (about["name"], about["width"], about["image_size"]) == ("pixels", 12 * 12 * 3, None)
    assert finished.verdict.report["wrong_by_features"].null_count == 0


@pytest.mark.parametrize("options", [{"features": "none"}, {"preset": "paper"}, {"threshold": "indicator"}])
def test_nothing_is_looked_at_where_that_is_not_wanted(planted, options):
    assert settle(read_samples(planted.root), load(options, environment={})).features is None


def test_pixels_are_not_asked_where_classes_are_tiny(planted):
    samples = read_samples(planted.root)
    few = samples.take(np.concatenate([np.flatnonzero(samples.labels == label)[:5] for label in range(3)]))
    assert settle(few, load({}, environment={})).features is None
    assert settle(few, load({"features": "pixels"}, environment={})).features == "pixels"


def test_a_backbone_finds_errors_copies_and_leaks(tmp_path, aumclean):
    """Drawings of two sizes of shapes; a test set that holds some of them, and one under another label."""
    for seed in range(48):
        kind = seed % 2
        image = drawing(seed, (64, 64)).convert("L" if kind else "RGB").convert("RGB")
        label = "colour" if kind == (seed in {3, 10}) else "grey"
        save_jpeg(image, tmp_path / "train" / label / f"{seed:02d}.jpg", 90)
        if seed < 4:
            save_jpeg(image, tmp_path / "test" / label / f"{seed:02d}.jpg", 70)
    save_jpeg(drawing(4, (64, 64)), tmp_path / "train" / "grey" / "copy.jpg", 80)
    run = tmp_path / "run"
    found = aumclean(
        "scan", tmp_path / "train", "--preset", "frozen", "--against", tmp_path / "test", "--out", run, "--workers", 1,
        "--cache-dir", tmp_path / "cache",
    )  # fmt: skip
    assert found.code == 0, found.err
    report = {row["path"]: row for row in pq.read_table(run / "report.parquet").to_pylist()}
    suspects = sorted(report, key=lambda path: report[path]["rank"])[:3]
    assert {"colour/03.jpg", "grey/10.jpg"} <= set(suspects)
    assert report["grey/copy.jpg"]["near_group"] == report["colour/04.jpg"]["near_group"] == "colour/04.jpg"
    assert report["grey/copy.jpg"]["near_conflict"]
    assert {path for path, row in report.items() if row["leaked_from"]} == {
        path for path in report if path[-6:-4] in {"00", "01", "02", "03"}
    }
    assert problems("report", json.loads(aumclean("report", run, "--format", "json").out)) == []
    gate = aumclean("gate", run, "--max-near-conflicts", 1, "--max-leaked", 4)
    assert gate.code == 1
    assert "max-near-conflicts" in gate.out
    scored = aumclean("score", run, tmp_path / "test", "--out", tmp_path / "scores", "--device", "cpu")
    assert scored.code == 0, scored.err
    copies = aumclean("duplicates", tmp_path / "train", tmp_path / "test", "-o", tmp_path / "d.csv",
                      "--cache-dir", tmp_path / "cache", "--workers", 1)  # fmt: skip
    assert copies.code == 0, copies.err
    assert (tmp_path / "d.csv").read_text().count("true") >= 8
    as_scanned_without_against_before(Run(run))
    assert "leaked_from" not in judge(Run(run)).report.column_names


def test_a_gate_on_near_copies_needs_a_scan_that_looked_for_them(own_run, aumclean):
    refused = aumclean("gate", own_run.path, "--max-leaked", 0)
    assert refused.code == 2
    assert "--max-leaked" in refused.err
    as_scanned_without_against_before(own_run)
    assert aumclean("gate", own_run.path, "--max-leaked", 0) == refused


def as_scanned_without_against_before(run):
    """What versions wrote whose tables had an empty column of leaks also where nobody had compared."""
    record = json.loads(run.run_json.read_text())
    record["config"]["against"] = None
    run.run_json.write_text(json.dumps(record))
    for file in (run.report("parquet"), run.neighbours):
        table = pq.read_table(file)
        table = table.drop_columns({"leaked_from"} & set(table.column_names))
        pq.write_table(table.append_column("leaked_from", pa.nulls(len(table), pa.string())), file)


def test_the_first_verdict_is_there_while_the_network_is_trained_and_decisions_on_it_stay(planted, told, tmp_path):
    from aumclean.decisions.journal import Decision, Journal
    from aumclean.review.queue import suspects

    run = Run(tmp_path / "run")

    def stop(stream, description, done, total):
        for batch in stream:
            if "draw 2" in description:
                raise KeyboardInterrupt
            yield batch

    options = {**planted.options, "out": run.path, "features": str(told / "told.npy"), "epochs": 3, "jobs": 1}
    with pytest.raises(KeyboardInterrupt):
        scan(read_samples(planted.root), load(options, environment={}), track=stop)
    first = pq.read_table(run.report("parquet"))
    flagged = set(first.filter(first["flagged"])["path"].to_pylist())
    assert 2 * len(flagged & planted.wrong) / (len(flagged) + len(planted.wrong)) > 0.9
    assert run.html.is_file()
    assert not run.removed.exists()
    assert len(suspects(run)) == len(flagged)
    with pytest.raises(RunError, match="not finished"):
        run.require_finished()
    row = first.slice(0, 1).to_pylist()[0]
    told_of = {name: row[name] for name in ("sample_id", "content_hash", "path", "label")}
    Journal(run.decisions).append([Decision(id="1", decision="keep", reviewer="ann", **told_of)])
    final = resume(run).verdict.report
    assert run.removed.is_file()
    assert "aum_draw_1" in final.column_names
    (stored,) = [one for one in pq.read_table(run.report("parquet")).to_pylist() if one["path"] == row["path"]]
    assert stored["decision"] == "keep"


def test_a_network_that_starts_from_pretrained_weights_is_trained_kept_and_scores(tmp_path, aumclean):
    for seed in range(16):
        image = drawing(seed, (48, 48)).convert("L" if seed % 2 else "RGB").convert("RGB")
        save_jpeg(image, tmp_path / "photos" / ("grey" if seed % 2 else "colour") / f"{seed:02d}.jpg", 90)
    run = tmp_path / "run"
    found = aumclean(
        "scan", tmp_path / "photos", "--pretrained", "--features", "none", "--image-size", 32, "--epochs", 2,
        "--batch-size", 8, "--out", run, "--precision", "fp32",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert Run(run).read_scan().recipe.arch == "fine-tuned:auto"
    save_jpeg(drawing(99, (48, 48)), tmp_path / "new" / "colour" / "99.jpg")
    assert aumclean("score", run, tmp_path / "new", "--out", tmp_path / "scores").code == 0
    refused = aumclean("scan", tmp_path / "photos", "--pretrained", "--arch", "resnet9", "--out", tmp_path / "no")
    assert refused.code == 2
    assert "--arch resnet9" in refused.err


def test_features_are_found_again_from_another_folder(planted, told, tmp_path, monkeypatch):
    monkeypatch.chdir(told)
    begun = scanned(planted, tmp_path / "run", preset="frozen", features="told.npy", epochs=2)
    monkeypatch.chdir(tmp_path)
    assert resume(begun.run).verdict.summary == begun.verdict.summary


def test_own_features_have_none_of_the_images_of_a_test_set(planted, told, tmp_path):
    options = {"preset": "frozen", "features": str(told / "told.npy"), "against": planted.root}
    with pytest.raises(AumcleanError, match="--against: needs a backbone"):
        scanned(planted, tmp_path / "run", **options)


def test_a_backbone_that_nobody_knows_is_refused_before_an_image_is_read(planted, tmp_path):
    seen = []

    def track(stream, description, done, total):
        seen.append(description)
        return stream

    settled = load({"out": tmp_path / "run", "features": "timm:resnet5O"}, environment={})
    with pytest.raises(ConfigError, match="did you mean 'resnet50'"):
        scan(read_samples(planted.root), settled, track=track)
    assert not seen
    assert not (tmp_path / "run").exists()
