import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from aumclean.dataset.label_noise import flip_noise
from aumclean.dataset.read import read_samples
from aumclean.diagnostics.retraining.compare import compare, oracle, removal_curve
from aumclean.diagnostics.retraining.options import Options
from aumclean.errors import ConfigError, DataError, RunError

QUICK = Options(epochs=1, batch_size=64, learning_rate=0.02, arch="mlp_1x512", flip=False, device="cpu")


def write_manifest(file, rows):
    with file.open("w", newline="") as sink:
        csv.writer(sink).writerows([("path", "label", "true_label"), *rows])
    return file


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Manifests of handwritten digits: `.raw`, 400 with 45 labels in 100 wrong, and `.test`, 300 with right ones."""
    folder, loaded = tmp_path_factory.mktemp("digits"), load_digits()
    (folder / "images").mkdir()
    for number, pixels in enumerate(loaded.images[:800]):
        Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(folder / "images" / f"{number}.png")
    noisy = flip_noise(loaded.target, 10, 0.45, np.random.default_rng(0))
    rows = [(f"images/{number}.png", noisy[number], loaded.target[number]) for number in range(400)]
    tested = [(f"images/{number}.png", loaded.target[number], "") for number in range(500, 800)]
    return SimpleNamespace(
        folder=folder,
        rows=rows,
        raw=write_manifest(folder / "raw.csv", rows),
        test=write_manifest(folder / "test.csv", tested),
    )


@pytest.fixture(scope="module")
def compared(digits):
    """Raw, a cleaned manifest that equals the oracle, one that is half as clean, and the oracle, over two seeds."""
    right = [row for row in digits.rows if row[1] == row[2]]
    wrong = [row for row in digits.rows if row[1] != row[2]]
    raw = read_samples(digits.raw)
    manifests = {
        "raw": raw,
        "cleaned": read_samples(write_manifest(digits.folder / "cleaned.csv", right)),
        "half": read_samples(write_manifest(digits.folder / "half.csv", sorted(right + wrong[: len(wrong) // 2]))),
        "oracle": oracle(raw, "true_label"),
    }
    options = Options(8, 32, 0.02, arch="mlp_1x512", flip=False, device="cpu", seeds=2)
    out = digits.folder / "out"
    summary = compare(manifests, read_samples(digits.test), options, out)
    return SimpleNamespace(summary=summary, path=out, trainings=trainings(out))


def trainings(out):
    return pyarrow.csv.read_csv(out / "results.csv")


def test_right_labels_give_a_smaller_error_and_half_of_them_a_part_of_it(compared):
    raw, cleaned, half, best = compared.summary.results
    assert [raw.images, half.images] == [400, best.images + (400 - best.images) // 2]
    assert best.error < half.error < raw.error
    assert raw.gap_closed is None
    assert best.gap_closed is None
    assert 0 < half.gap_closed < 1
    assert half.gap_closed == pytest.approx((raw.error - half.error) / (raw.error - best.error))
    assert cleaned.gap_closed == pytest.approx(1)
    assert best.better_by.low > 0


def test_the_same_images_and_labels_are_trained_on_once_whatever_the_manifest_is_called(compared):
    assert len(list((compared.path / "trainings").glob("*.parquet"))) == 3 * 2
    assert compared.trainings.num_rows == 4 * 2
    assert compared.trainings.column_names == [
        "name", "order", "removed", "seed", "images", "error", "train_accuracy", "seconds"
    ]  # fmt: skip


def test_figures_are_those_of_the_stored_predictions(compared):
    rows = compared.trainings.to_pylist()
    stored = [pq.read_table(file) for file in (compared.path / "trainings").glob("*.parquet")]
    errors = []
    for table in stored:
        answers = zip(table["label"].to_pylist(), table["predicted"].to_pylist(), strict=True)
        errors.append(sum(label != predicted for label, predicted in answers) / 300)
    assert sorted(errors) == pytest.approx(sorted(row["error"] for row in rows if row["name"] != "cleaned"))
    for result in compared.summary.results:
        own = [row["error"] for row in rows if row["name"] == result.name]
        assert result.error == pytest.approx(sum(own) / 2)
        assert result.deviation == pytest.approx(abs(own[0] - own[1]) / 2**0.5)
    assert json.loads((compared.path / "results.json").read_text()) == compared.summary.model_dump(mode="json")


def test_better_by_is_paired_over_the_test_images(compared):
    tables = {}
    for file in (compared.path / "trainings").glob("*.parquet"):
        table = pq.read_table(file)
        facts = json.loads(table.schema.metadata[b"aumclean"])
        wrong = [a != b for a, b in zip(table["label"].to_pylist(), table["predicted"].to_pylist(), strict=True)]
        tables.setdefault(facts["images"], []).append(wrong)
    best = compared.summary.results[-1]
    differences = [
        (tables[400][0][i] + tables[400][1][i]) / 2 - (tables[best.images][0][i] + tables[best.images][1][i]) / 2
        for i in range(300)
    ]
    mean = sum(differences) / 300
    spread = (sum((difference - mean) ** 2 for difference in differences) / 299 / 300) ** 0.5
    better = best.better_by
    assert [better.estimate, better.low, better.high] == pytest.approx(
        [mean, mean - 1.96 * spread, mean + 1.96 * spread]
    )


class Stopped(Exception):
    pass


def test_what_was_trained_is_not_repeated_and_what_was_stopped_goes_on(digits, tmp_path):
    raw, test = read_samples(digits.raw), read_samples(digits.test)
    options = Options(3, 64, 0.02, arch="resnet9", flip=False, device="cpu")
    seen = []

    def stopping(stream, description, done, total):
        seen.append(description)
        if description == "oracle, epoch 3/3":
            raise Stopped
        return iter(stream)

    def noting(stream, description, done, total):
        seen.append(description)
        return iter(stream)

    manifests = {"raw": raw, "oracle": oracle(raw, "true_label")}
    with pytest.raises(Stopped):
        compare(manifests, test, options, tmp_path / "out", track=stopping)
    assert len(pyarrow.csv.read_csv(tmp_path / "out" / "results.csv")) == 1
    seen.clear()
    compare(manifests, test, options, tmp_path / "out", track=noting)
    assert [what for what in seen if "epoch" in what] == ["oracle, epoch 3/3"]
    assert trainings(tmp_path / "out")["seconds"].to_pylist()[1] is None
    seen.clear()
    compare(manifests, test, options, tmp_path / "other", track=noting)
    assert len([what for what in seen if "epoch" in what]) == 6
    assert trainings(tmp_path / "out")["error"].equals(trainings(tmp_path / "other")["error"])
    assert not list((tmp_path / "out").rglob("*.pt"))


def test_the_removal_curve_removes_by_rank_and_at_random(finished, tmp_path):
    out, test = tmp_path / "out", read_samples(finished.root)
    curve = removal_curve(finished.run, test, QUICK, out, percentages=(10,), by="aum")
    flagged = finished.verdict.summary.flagged
    points = [(row.name, row.order, row.removed, row.images) for row in curve.results]
    counts = sorted({36, flagged})
    assert points == [
        ("raw", None, 0, 360),
        *((f"{by}-{count}", by, count, 360 - count) for count in counts for by in ("aum", "random")),
    ]
    before = sorted(out.glob("trainings/*"))
    rows = finished.verdict.report.sort_by("aum").slice(36).sort_by("sample_id").to_pylist()
    rest = write_manifest(tmp_path / "rest.csv", [(row["path"], row["label"], "") for row in rows])
    compare({"rest": read_samples(rest, root=finished.root)}, test, QUICK, out)
    assert sorted(out.glob("trainings/*")) == before, "the same images were trained on already"


def test_a_cleaned_manifest_of_a_run_is_data(finished, aumclean, tmp_path):
    done = aumclean(
        "train", finished.root, "--test", finished.root, "--compare", f"cleaned={finished.run.cleaned('csv')}",
        "--compare", finished.run.cleaned("parquet"), "--arch", "resnet9", "--epochs", 1, "--drop", 0.5, "--out",
        tmp_path / "out", "--device", "cpu", "--no-flip", "--learning-rate", 0.02, "--batch-size", 64,
    )  # fmt: skip
    assert (done.code, done.out.strip()) == (2, "")
    assert "two are needed" not in done.err
    assert "there are two called 'cleaned'" in done.err


def test_the_command_prints_a_table_and_gives_the_folder(finished, aumclean, tmp_path):
    arguments = (
        "train", finished.root, "--test", finished.root, "--compare", finished.run.cleaned("csv"), "--arch", "resnet9",
        "--epochs", 1, "--drop", 0.5, "--out", tmp_path / "out", "--device", "cpu", "--batch-size", 64,
    )  # fmt: skip
    done = aumclean(*arguments)
    assert (done.code, done.out.strip()) == (0, str(tmp_path / "out")), done.err
    kept = len(pyarrow.csv.read_csv(finished.run.cleaned("csv")))
    assert re.search(r"raw +360 +[\d.]+%", done.err)
    assert re.search(rf"cleaned +{kept} +[\d.]+% +[+-][\d.]+%", done.err)
    recipe = json.loads((tmp_path / "out" / "results.json").read_text())["recipe"]
    assert (recipe["batch_size"], recipe["drops"], recipe["learning_rate"]) == (64, [0.5], 0.1)
    again = aumclean(*arguments)
    assert "epoch" not in again.err.replace("1 epoch each", "")


def test_a_network_that_learned_nothing_is_warned_of(digits, aumclean, tmp_path):
    done = aumclean(
        "train", digits.raw, "--test", digits.test, "--arch", "resnet9", "--epochs", 1, "--learning-rate", 1e-9,
        "--limit", 200, "--out", tmp_path / "out", "--device", "cpu",
    )  # fmt: skip
    assert done.code == 0
    assert re.search(r"warning: raw: the network is right on [\d.]+% of the labels .* give --warmup 1", done.err)


def test_by_default_the_recipe_is_the_papers():
    options = Options()
    assert (options.epochs, options.batch_size, options.learning_rate, options.weight_decay) == (300, 256, 0.1, 1e-4)
    assert [options.drops[0] * 300, options.drops[1] * 300] == [150, 225]


def test_the_network_and_the_rest_come_from_the_preset_paper(digits, tmp_path):
    recipe = compare(
        {"few": read_samples(digits.raw, limit=40)},
        read_samples(digits.test),
        Options(epochs=2, device="cpu"),
        tmp_path,
    ).recipe
    assert (recipe.arch, recipe.warmup_epochs, recipe.crop, recipe.flip) == ("resnet32", 0, True, True)


def test_mistakes_are_named(digits, finished, own_run, tmp_path):
    raw, test = read_samples(digits.raw), read_samples(digits.test)
    with pytest.raises(ConfigError, match=r"--oracle: .*raw.csv has no column 'truth'"):
        oracle(raw, "truth")
    few = write_manifest(digits.folder / "few.csv", [row for row in digits.rows if int(row[1]) < 5])
    with pytest.raises(DataError, match=r"test.csv: has the class '5', which nothing"):
        compare({"few": read_samples(few)}, test, QUICK, tmp_path / "out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="taken: exists and holds no trainings"):
        compare({"raw": raw}, test, QUICK, tmp_path / "taken")


def test_the_removal_curve_of_data_that_have_changed_is_refused(finished, own_run, tmp_path):
    record = own_run.read()
    own_run.write(record.model_copy(update={"config": record.config.model_copy(update={"limit": 300})}))
    with pytest.raises(RunError, match="have changed since"):
        removal_curve(own_run, read_samples(finished.root), QUICK, tmp_path / "out")


def test_a_training_whose_predictions_were_deleted_is_repeated(digits, tmp_path):
    def errors():
        compare({"few": read_samples(digits.raw, limit=60)}, read_samples(digits.test), QUICK, tmp_path)
        return trainings(tmp_path)["error"]

    before = errors()
    (stored,) = (tmp_path / "trainings").glob("*.parquet")
    stored.unlink()
    assert errors().equals(before)
    assert stored.is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "DATA: name an image folder"),
        (["x", "--removal-curve", "run", "--test", "t"], "--removal-curve: trains on what the run scanned"),
        (["--removal-curve", "run"], "--test: name the test set"),
        (["x", "--remove", "10"], "--remove: goes with --removal-curve"),
        (["x", "--by", "aum"], "--by: goes with --removal-curve"),
        (["--removal-curve", "run", "--test", "t", "--remove", "100"], "--remove: 100 is not a percentage"),
        (["x", "--drop", "0"], "--drop: 0 is not a part"),
        (["x", "--epochs", "0"], "--epochs"),
        (["nowhere", "--test", "t"], "nowhere: no such file or folder"),
    ],
)
def test_mistakes_on_the_command_line(aumclean, arguments, says):
    done = aumclean("train", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert len(done.err.splitlines()) == 1


def test_data_without_a_test_part_need_one_that_is_named(aumclean, folder):
    manifest = folder.parent / "photos.csv"
    manifest.write_text("path,label\nphotos/amber/000.png,amber\nphotos/blue/000.png,blue\n")
    for data in (folder, manifest):
        said = f"aumclean: error: {data}: has no test part; name one with --test PATH or --test-split NAME\n"
        assert aumclean("train", data).err == said
    assert "--split" in aumclean("train", manifest, "--test-split", "val").err


def test_a_damaged_result_is_named(digits, tmp_path):
    manifests, test = {"raw": read_samples(digits.raw, limit=60)}, read_samples(digits.test)
    compare(manifests, test, QUICK, tmp_path / "out")
    (file,) = Path(tmp_path / "out" / "trainings").glob("*.parquet")
    file.write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"\.parquet: is damaged .*; delete it"):
        compare(manifests, test, QUICK, tmp_path / "out")
