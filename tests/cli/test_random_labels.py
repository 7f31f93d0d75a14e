"""Every command of the random-label diagnostic on few images, from the command line to its files."""

import csv
import json
import re

import pytest

from tests.diagnostics.conftest import require_described, write_bands

SMALL = ("--device", "cpu", "--batch-size", "32", "--epochs", "3")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """120 training and 40 test images of 12 pixels in four classes."""
    return write_bands(tmp_path_factory.mktemp("data"), {"train": 30, "test": 10}, size=12)


def record(folder):
    return json.loads((folder / "diagnostic.json").read_text())


def run(aumclean, data, out, command, *options):
    done = aumclean("random-labels", command, data, "--out", out, *options)
    assert done.code == 0, done.err
    assert done.out.strip() == str(out)
    found = record(out)
    assert found["state"] == "done" and found["kind"] == f"random-labels {command}"
    require_described(found)
    names = {name.partition(".")[2] for name in found["files"]}
    assert names >= {"csv", "html"}
    for name in found["files"]:
        assert (out / name).stat().st_size > 0
    return found


def test_the_group_alone_shows_its_commands(aumclean):
    shown = aumclean("random-labels")
    assert (shown.code, shown.err) == (2, "")
    for command in ("fit", "sweep", "regularize", "expressivity", "kernel", "rademacher", "horizon"):
        assert f"  {command}" in shown.out


def test_fit_compares_corruptions_and_goes_on_where_it_was(aumclean, data, tmp_path):
    options = ("--corruption", "true", "--corruption", "random", "--seeds", "0,1", *SMALL)
    found = run(aumclean, data, tmp_path / "out", "fit", *options)
    assert [row["corruption"] for row in found["tables"]["fit"]] == ["true", "random"]
    assert len(found["tables"]["runs"]) == 4
    assert {"fit.svg", "fit.png", "page.html", "fit.csv", "runs.csv", "epochs.csv"} == set(found["files"])
    with (tmp_path / "out" / "fit.csv").open(newline="") as file:
        assert [row["corruption"] for row in csv.DictReader(file)] == ["true", "random"]
    with (tmp_path / "out" / "epochs.csv").open(newline="") as file:
        epochs = [row for row in csv.DictReader(file) if (row["corruption"], row["seed"]) == ("random", "1")]
    assert [(row["epoch"], row["steps"]) for row in epochs] == [("1", "4"), ("2", "8"), ("3", "12")]
    assert 1 - float(epochs[-1]["train_accuracy"]) == pytest.approx(found["tables"]["runs"][3]["train_error"])
    assert "Every epoch" not in (tmp_path / "out" / "page.html").read_text()
    trained = sorted((tmp_path / "out" / "trainings").iterdir())
    before = [file.stat().st_mtime_ns for file in trained]
    again = run(aumclean, data, tmp_path / "out", "fit", *options)
    assert again["tables"] == found["tables"]
    assert [file.stat().st_mtime_ns for file in trained] == before
    other = aumclean("random-labels", "fit", data, "--out", tmp_path / "out", "--loss", "0.5", *SMALL)
    assert other.code == 2 and "another question" in other.err


def test_the_table_fits_the_terminal_and_cuts_no_name(aumclean, data, tmp_path):
    done = aumclean("random-labels", "fit", data, "--out", tmp_path / "out", "--corruption", "shuffled-pixels", *SMALL)
    (row,) = [line for line in done.err.splitlines() if line.startswith(" shuffled-pixels ")]
    assert len(row) <= 80 and len(row.split()) >= 5
    assert "columns more in" in done.err


def test_sweep_has_a_row_per_network_and_probability(aumclean, data, tmp_path):
    options = ("--probabilities", "0,1", "--arch", "mlp_1x512, resnet8,mlp_1x512", *SMALL)
    found = run(aumclean, data, tmp_path / "out", "sweep", *options)
    rows = found["tables"]["sweep"]
    assert [(row["arch"], row["probability"]) for row in rows] == [
        ("mlp_1x512", 0), ("mlp_1x512", 1), ("resnet8", 0), ("resnet8", 1),
    ]  # fmt: skip
    assert [row["realised_rate"] == 0 for row in rows] == [True, False, True, False]


def test_regularize_trains_each_variant_on_true_and_on_random_labels(aumclean, data, tmp_path):
    options = ("--only", "none", "--only", "no batch norm", "--arch", "resnet8", *SMALL)
    found = run(aumclean, data, tmp_path / "out", "regularize", *options)
    assert [(row["regularizer"], row["labels"]) for row in found["tables"]["regularize"]] == [
        ("none", "true"), ("none", "random"), ("no batch norm", "true"), ("no batch norm", "random"),
    ]  # fmt: skip
    assert all(row["best_test_error"] <= row["test_error"] for row in found["tables"]["regularize"])


def test_regularize_takes_a_rate_that_falls_slowly_for_what_augmentation_delays(aumclean, data, tmp_path):
    options = ("--only", "augmentation and weight decay", "--rate-decay", "0.999", *SMALL)
    run(aumclean, data, tmp_path / "out", "regularize", *options)
    (trained, _) = sorted((tmp_path / "out" / "trainings").glob("*-seed0.json"))
    stored = json.loads(trained.read_text())
    recipe = stored["recipe"]
    assert recipe["crop"] and recipe["flip"] and recipe["weight_decay"] == 5e-4 and recipe["dropout"] == 0
    rates = [row["learning_rate"] for row in stored["rows"]]
    assert rates[1] / rates[0] == pytest.approx(0.999)


def test_each_page_says_what_quick_cannot_show_there(aumclean, data, tmp_path):
    said = {
        command: "\n".join(run(aumclean, data, tmp_path / command, command, *SMALL, *options)["said"])
        for command, *options in (
            ("sweep", "--probabilities", "0,1", "--arch", "mlp_1x512"),
            ("regularize", "--only", "none", "--arch", "mlp_1x512"),
            ("rademacher", "--draws", "1"),
        )
    }
    assert "ends of epochs, here of 4 steps" in said["sweep"]
    assert "differences of test error below 22%, which 40 test images leave to chance" in said["regularize"]
    assert "nor batch normalisation, of which mlp_1x512 has none" in said["regularize"]
    assert "the complexity on all images" in said["rademacher"]
    options = ("--preset", "paper", "--draws", "1", "--arch", "mlp_1x512", *SMALL)
    assert "cannot show" not in "".join(run(aumclean, data, tmp_path / "paper", "rademacher", *options)["said"])


def test_expressivity_fits_everything_without_a_test_part(aumclean, data, tmp_path):
    found = run(aumclean, data / "train", tmp_path / "out", "expressivity", "--depths", "1,3", "--device", "cpu")
    assert found["tables"]["expressivity"][0]["weights"] == 2 * 120 + 3 * 12 * 12
    assert all(row["fitted"] == 1 and row["largest_error"] < 1e-4 for row in found["tables"]["expressivity"])


def test_kernel_says_its_memory_and_interpolates(aumclean, data, tmp_path):
    out = tmp_path / "out"
    done = aumclean("random-labels", "kernel", data, "--out", out, "--kernel", "gaussian", "--ridge", "0.1")
    assert done.code == 0, done.err
    assert "gaussian kernel of 120 images: 0.01 GiB of memory, by Cholesky factorisation" in done.err
    rows = record(out)["tables"]["kernel"]
    assert [(row["labels"], row["ridge"]) for row in rows] == [
        ("true", 0), ("random", 0), ("true", 0.1), ("random", 0.1),
    ]  # fmt: skip
    assert rows[0]["train_error"] == rows[1]["train_error"] == 0
    assert rows[1]["norm"] > rows[0]["norm"]


def test_kernel_says_what_does_not_interpolate(aumclean, tmp_path):
    """240 images of 192 numbers: no linear function of these meets all targets."""
    data = write_bands(tmp_path / "data", {"train": 60, "test": 4}, size=8)
    found = run(aumclean, data, tmp_path / "out", "kernel", "--ridge", "0.1")
    (said,) = (sentence for sentence in found["said"] if "not all targets" in sentence)
    assert said.split(". ")[0].endswith("shows: linear")


def test_rademacher_has_an_estimate_between_0_and_1(aumclean, data, tmp_path):
    options = ("--draws", "2", "--fractions", "0.5,1", *SMALL)
    found = run(aumclean, data / "train", tmp_path / "out", "rademacher", *options)
    rows = found["tables"]["rademacher"]
    assert [row["images"] for row in rows] == [60, 120]
    assert all(0 <= row["complexity_low"] <= row["complexity"] <= row["complexity_high"] <= 1 for row in rows)


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("fit", ("--corruption", "randum"), "--corruption randum: is none of .*did you mean 'random'"),
        ("fit", ("--corruption", "partial", "--probability", "1.5"), "--probability: 1.5 is not between 0 and 1"),
        ("fit", ("--loss", "0"), "--loss: 0 is not above 0"),
        ("fit", ("--arch", "mlp_1x512,resnet8"), "--arch: fit takes one network"),
        ("fit", ("--rate-decay", "1.1"), "--rate-decay: 1.1 is not above 0 and at most 1"),
        ("sweep", ("--probabilities", "0,1.5"), "--probabilities: 1.5 is not between 0 and 1"),
        ("regularize", ("--only", "droput"), "--only droput: .*did you mean 'dropout'"),
        ("expressivity", ("--depths", "0"), "--depth: 0 is not between 1 and"),
        ("kernel", ("--kernel", "gaussian", "--memory", "0.001"), "--memory: .* raise --memory or lower --limit"),
        ("kernel", ("--memory", "-1"), "--memory: -1 is not above 0"),
        ("rademacher", ("--fractions", "0"), "--fractions: 0 is not above 0"),
        ("horizon", ("--share", "0"), "--share: 0 is not between 0 and 1"),
    ],
)
def test_bad_input_is_one_clear_line(aumclean, data, tmp_path, command, options, message):
    done = aumclean("random-labels", command, data, "--out", tmp_path / "out", *options)
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if line.startswith("aumclean: error:")]
    assert re.search(message, line), line


def test_a_missing_test_part_is_named_with_its_remedies(aumclean, data, tmp_path):
    done = aumclean("random-labels", "fit", data / "train", "--out", tmp_path / "out")
    assert done.code == 2
    assert "has no test part" in done.err and "--holdout" in done.err
