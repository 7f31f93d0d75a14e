"""Labels judged by predictions of somebody's own: every form of file, every command after it, and bad input."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from pyarrow import csv

from aumclean.errors import ConfigError
from aumclean.run.directory import Run

N, CLASSES = 600, 3
NAMES = ["ant", "bee", "cat"]


@pytest.fixture(scope="session")
def told(tmp_path_factory):
    """600 labels of three classes, a tenth of them wrong, and logits that know the classes: a folder of files."""
    folder = tmp_path_factory.mktemp("told")
    rng = np.random.default_rng(3)
    true = rng.integers(0, CLASSES, N)
    labels = np.where(rng.random(N) < 0.1, (true + rng.integers(1, CLASSES, N)) % CLASSES, true)
    logits = rng.normal(size=(N, CLASSES)).astype(np.float32)
    logits[np.arange(N), true] += 4
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "wrong.npy", labels != true)
    np.save(folder / "logits.npy", logits)
    np.save(folder / "probs.npy", probs)
    lines = [f"text-{row},{NAMES[label]}" for row, label in enumerate(labels)]
    (folder / "labels.csv").write_text("\n".join(["id,label", *lines]) + "\n")
    lines = [f"text-{row},{NAMES[label]}" for row, label in enumerate(true)]
    (folder / "truth.csv").write_text("\n".join(["path,true_label", *lines]) + "\n")
    return folder


@pytest.fixture(scope="session")
def judged(told, tmp_path_factory):
    """A run of the CSV labels and the probabilities."""
    from aumclean.dataset.rows import read_rows
    from aumclean.judging.judge import Sources, judge_labels
    from aumclean.judging.labels import read_labels

    out = tmp_path_factory.mktemp("judged") / "run"
    given = Sources([read_rows(told / "probs.npy", "pred-probs")])
    run, _ = judge_labels(read_labels(told / "labels.csv"), given, out=out)
    return run


def suspects(run):
    report = pq.read_table(run.report("parquet"), columns=["sample_id", "flagged"])
    return set(report.filter(report["flagged"])["sample_id"].to_pylist())


def test_planted_errors_are_found_and_the_rate_is_known(judged, told):
    wrong, found = set(np.flatnonzero(np.load(told / "wrong.npy"))), suspects(judged)
    assert len(wrong & found) > 0.75 * len(wrong) and len(found - wrong) < 0.15 * len(found)
    rate = json.loads(judged.summary.read_text())["noise_rate"]
    assert rate["low"] < len(wrong) / N < rate["high"]


def test_the_record_says_what_the_verdict_rests_on(judged, told):
    record = judged.read()
    (evidence,) = record.evidence
    assert (record.made_by, record.draws, record.data.class_names) == ("judge", 0, NAMES)
    assert (evidence.kind, evidence.source, evidence.samples) == ("pred-probs", str(told / "probs.npy"), N)
    assert 0.8 < evidence.agreement < 0.95


def _shuffled(told):
    order = np.random.default_rng(0).permutation(N)
    return order, np.load(told / "probs.npy")[order]


def _npz(folder, told):
    order, probs = _shuffled(told)
    np.savez(folder / "p.npz", pred_probs=probs, ids=order, other=np.zeros(3))
    return folder / "p.npz"


def _npz_by_path(folder, told):
    order, probs = _shuffled(told)
    np.savez(folder / "p.npz", probs=probs, paths=np.array([f"text-{row}" for row in order]))
    return folder / "p.npz"


def _safetensors(folder, told):
    order, probs = _shuffled(told)
    safetensors.numpy.save_file({"probs": np.ascontiguousarray(probs), "ids": order}, folder / "p.safetensors")
    return folder / "p.safetensors"


def _parquet(folder, told):
    order, probs = _shuffled(told)
    columns = {name: probs[:, NAMES.index(name)] for name in reversed(NAMES)}  # named, so their order is theirs
    pq.write_table(pa.table({"path": [f"text-{row}" for row in order], **columns}), folder / "p.parquet")
    return folder / "p.parquet"


def _parquet_of_lists(folder, told):
    order, probs = _shuffled(told)
    pq.write_table(pa.table({"sample_id": order, "probs": list(probs)}), folder / "p.parquet")
    return folder / "p.parquet"


def _folder_of_parquet(folder, told):
    whole = pq.read_table(_parquet_of_lists(folder, told))
    (folder / "parts.parquet").mkdir()
    for part, start in enumerate(range(0, N, N // 3)):
        pq.write_table(whole.slice(start, N // 3), folder / "parts.parquet" / f"part-{part}.parquet")
    (folder / "parts.parquet" / "_SUCCESS").touch()  # as Spark does
    return folder / "parts.parquet"


@pytest.mark.parametrize("write", [_npz, _npz_by_path, _safetensors, _parquet, _parquet_of_lists, _folder_of_parquet])
def test_every_form_of_file_gives_the_same_verdict(write, told, judged, aumclean, tmp_path):
    said = aumclean("judge", told / "labels.csv", "--pred-probs", write(tmp_path, told), "-o", tmp_path / "run")
    assert said.code == 0, said.err
    assert suspects(Run(tmp_path / "run")) == suspects(judged)


def test_logits_and_numbered_labels_give_it_too(told, judged, aumclean, tmp_path):
    said = aumclean("judge", told / "labels.npy", "--logits", told / "logits.npy", "-o", tmp_path / "run")
    assert said.code == 0, said.err
    assert suspects(Run(tmp_path / "run")) == suspects(judged)


def test_folds_are_one_witness_and_models_are_several(told, judged, tmp_path, aumclean):
    probs, half = np.load(told / "probs.npy"), N // 2
    np.savez(tmp_path / "a.npz", probs=probs[:half], ids=np.arange(half))
    np.savez(tmp_path / "b.npz", probs=probs[half:], ids=np.arange(half, N))
    folds = ["--pred-probs", tmp_path / "a.npz", "--pred-probs", tmp_path / "b.npz"]
    assert aumclean("judge", told / "labels.csv", *folds, "-o", tmp_path / "folds").code == 0
    assert suspects(Run(tmp_path / "folds")) == suspects(judged)
    models = ["--pred-probs", told / "probs.npy", "--logits", told / "logits.npy"]
    assert aumclean("judge", told / "labels.csv", *models, "-o", tmp_path / "models").code == 0
    assert len(suspects(Run(tmp_path / "models")) ^ suspects(judged)) < 0.1 * N
    assert [one.kind for one in Run(tmp_path / "models").read().evidence] == ["pred-probs", "logits"]


def test_what_reports_say_of_predictions(told, judged, aumclean, tmp_path):
    for format in ("html", "cleanlab", "pred-probs"):
        said = aumclean("report", judged.path, "--format", format, "-o", tmp_path / format)
        assert said.code == 0, (format, said.err)
    np.testing.assert_allclose(np.load(tmp_path / "pred-probs"), np.load(told / "probs.npy"), atol=2e-3)
    issues = csv.read_csv(tmp_path / "cleanlab" / "label_issues.csv")
    assert issues["predicted_label"].null_count == 0
    assert pc.not_equal(issues["predicted_label"], issues["given_label"]) == issues["is_label_issue"]
    page = (tmp_path / "html").read_text()
    assert "probabilities of networks of your own" in page and "gone or has changed" not in page
    said = aumclean("clean", judged.path, "--policy", "relabel", "-o", tmp_path / "clean.csv")
    assert said.code == 0 and (tmp_path / "clean.csv").read_text().startswith('"id","label"'), said.err
    said = aumclean("evaluate", judged.path, "--truth", told / "truth.csv", "--json")
    assert said.code == 0 and json.loads(said.out)["aum"]["auroc"] is None, said.err
    said = aumclean("report", judged.path, "--target-recall", "0.5")
    assert said.code == 0 and said.out.count(",true,") < len(suspects(judged))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["score", "RUN", "photos"], "was not made by aumclean scan"),
        (["scan", "--resume", "RUN"], "was not made by aumclean scan"),
        (["report", "RUN", "--threshold", "indicator"], "has no margins"),
    ],
)
def test_what_needs_a_scan_says_so(arguments, why, judged, aumclean, folder):
    said = aumclean(
        *[str(folder if word == "photos" else judged.path if word == "RUN" else word) for word in arguments]
    )
    assert (said.code, said.err.count("\n")) == (2, 1) and why in said.err


def test_reviewers_get_its_suspects_without_curves(judged):
    from aumclean.review.queue import spot_check
    from aumclean.review.queue import suspects as to_review

    queue = to_review(judged)
    assert len(queue) == len(suspects(judged)) and queue.curve(0) is None
    assert len(spot_check(judged, 10)) == 10


def test_pictures_are_on_the_page_where_paths_lead_to_images(folder, aumclean, tmp_path):
    probs = np.full((12, 3), 0.1)
    probs[np.arange(12), np.repeat([0, 1, 2], 4)] = 0.8
    probs[[0, 5]] = probs[[5, 0]]
    np.save(tmp_path / "p.npy", probs)
    said = aumclean(
        "judge", folder, "--pred-probs", tmp_path / "p.npy", "-o", tmp_path / "run", "--target-recall", ".9"
    )
    assert said.code == 0, said.err
    assert "data:image/jpeg" in (tmp_path / "run" / "report.html").read_text()
    samples = pq.read_table(tmp_path / "run" / "samples.parquet")
    assert samples["width"].to_pylist() == [12] * 12


def _broken(values):
    values[7, 1] = np.nan
    return values


@pytest.mark.parametrize(
    ("option", "change", "why"),
    [
        ("--pred-probs", _broken, "row 8 has a number that is not finite (1 such rows)"),
        ("--logits", _broken, "row 8 has a number that is not finite (1 such rows)"),
        ("--pred-probs", lambda p: p[:, :2], "predictions have 2 columns for 3 classes"),
        ("--pred-probs", lambda p: p[:-1], "has 599 rows for 600 samples"),
        ("--pred-probs", lambda p: p * 2, "row 1 does not sum to 1; logits? give them as --logits (600 such rows)"),
        ("--pred-probs", lambda p: p - 0.4, "has a probability below 0"),
        ("--logits", lambda p: p, "holds probabilities, not logits"),
        ("--pred-probs", lambda p: p[:, 0], "must be numbers [samples, classes]"),
        ("--pred-probs", lambda p: p.astype(str), "must be numbers [samples, classes]"),
    ],
)
def test_bad_predictions_get_one_line_and_leave_nothing(option, change, why, told, aumclean, tmp_path):
    np.save(tmp_path / "p.npy", change(np.load(told / "probs.npy")))
    said = aumclean("judge", told / "labels.csv", option, tmp_path / "p.npy", "-o", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1) and why in said.err, said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (np.arange(N) + 1, "1 ids are of no sample, such as '600'"),
        (np.arange(N) // 2, "the id '0' occurs 2 times"),
        (np.arange(N - 1), "has 599 ids for 600 rows"),
        (np.array([f"text-{row + 5}" for row in range(N)]), "5 ids are of no sample, such as 'text-600'"),
    ],
)
def test_bad_ids_get_one_line(ids, why, told, aumclean, tmp_path):
    np.savez(tmp_path / "p.npz", probs=np.load(told / "probs.npy"), ids=ids)
    said = aumclean("judge", told / "labels.csv", "--pred-probs", tmp_path / "p.npz", "-o", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1) and why in said.err, said.err


@pytest.mark.parametrize(
    "option", [("--split", "test"), ("--max-pixels", "9"), ("--source", "manifest"), ("--value-range", "0,9")]
)
def test_options_of_images_are_refused_for_labels_without_paths(option, told, aumclean, tmp_path):
    for labels in ("labels.csv", "labels.npy"):
        said = aumclean("judge", told / labels, "--pred-probs", told / "probs.npy", *option, "-o", tmp_path / "run")
        assert (said.code, said.err.count("\n")) == (2, 1) and f"{option[0]}: is for images" in said.err, said.err


def test_options_of_images_serve_where_labels_are_of_images(folder, aumclean, tmp_path):
    np.save(tmp_path / "p.npy", np.full((12, 3), 1 / 3))
    given = ["--pred-probs", tmp_path / "p.npy", "--max-pixels", "1000", "--source", "folder"]
    said = aumclean("judge", folder, *given, "-o", tmp_path / "run")
    assert said.code == 0, said.err


def test_a_row_without_a_label_is_named(told, aumclean, tmp_path):
    pq.write_table(pa.table({"id": ["a", "b", "c"], "label": ["ant", None, "bee"]}), tmp_path / "labels.parquet")
    said = aumclean("judge", tmp_path / "labels.parquet", "--pred-probs", told / "probs.npy")
    assert (said.code, said.err) == (2, "aumclean: error: labels.parquet: row 2 has no label\n")


@pytest.mark.parametrize("names", [np.array(NAMES), tuple(NAMES)])
def test_labels_and_names_of_numpy_are_those_of_python(names, told, judged, tmp_path):
    import aumclean

    labels = list(np.load(told / "labels.npy"))  # as a comprehension over a data set makes them
    run = aumclean.judge(labels, pred_probs=told / "probs.npy", class_names=names, out=tmp_path / "run")
    assert set(run.suspects["sample_id"]) == suspects(judged)
    assert Run(tmp_path / "run").read().data.class_names == NAMES


@pytest.mark.parametrize(
    ("judging", "why"),
    [
        ({"threshold": "x"}, "--threshold: input should be"),
        ({"target_recall": "x"}, "--target-recall: input should be"),
    ],
)
def test_a_setting_of_another_type_gets_one_line(judging, why, told, tmp_path):
    import aumclean

    with pytest.raises(ConfigError, match=why):
        aumclean.judge(np.load(told / "labels.npy"), pred_probs=told / "probs.npy", out=tmp_path / "run", **judging)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("listed", ["in a file", "between commas"])
def test_very_many_classes_can_be_named(listed, aumclean, tmp_path):
    names = [f"class number {number:03d}" for number in range(50)]
    (tmp_path / "labels.csv").write_text("\n".join(["label", *names, *names]) + "\n")
    np.save(tmp_path / "p.npy", np.tile(np.eye(50), (2, 1)))
    (tmp_path / "names.txt").write_text("\ufeff" + "\n".join(names) + "\n\n")  # as Windows' editor saves it
    classes = tmp_path / "names.txt" if listed == "in a file" else ",".join(names)
    given = ["--pred-probs", tmp_path / "p.npy", "--classes", classes, "-o", tmp_path / "run"]
    said = aumclean("judge", tmp_path / "labels.csv", *given)
    assert said.code == 0, said.err
    assert Run(tmp_path / "run").read().data.class_names == names


def test_a_file_of_classes_that_is_not_utf8_gets_one_line(told, aumclean, tmp_path):
    (tmp_path / "names.txt").write_bytes("café\n".encode("latin-1"))
    given = ["--pred-probs", told / "probs.npy", "--classes", tmp_path / "names.txt"]
    said = aumclean("judge", told / "labels.csv", *given)
    assert (said.code, said.err.count("\n")) == (2, 1) and "names.txt cannot be read" in said.err


def test_an_overwritten_run_stays_when_what_should_replace_it_is_bad(told, judged, aumclean, tmp_path):
    here = ["judge", told / "labels.csv", "-o", tmp_path / "run"]
    assert aumclean(*here, "--pred-probs", told / "probs.npy").code == 0
    before = (tmp_path / "run" / "report.csv").read_bytes()
    assert aumclean(*here, "--overwrite", "--pred-probs", told / "logits.npy").code == 2
    assert (tmp_path / "run" / "report.csv").read_bytes() == before


def test_predictions_that_repeat_the_labels_are_marked(told, aumclean, tmp_path):
    labels = np.load(told / "labels.npy")
    probs = np.full((N, CLASSES), 0.01)
    probs[np.arange(N), labels] = 0.98
    np.save(tmp_path / "p.npy", probs)
    said = aumclean("judge", told / "labels.npy", "--pred-probs", tmp_path / "p.npy", "-o", tmp_path / "run")
    assert said.code == 0 and "in-sample" in said.err


def test_errors_that_go_one_way_are_found_by_one_network(tmp_path):
    """A network that was taught that every fifth ant is a bee says so: without their direction these errors hide."""
    import aumclean

    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 3000)
    wrong = rng.random(3000) < 0.2
    labels = np.where(wrong, (true + 1) % 5, true)
    classes = rng.dirichlet(np.full(5, 0.3), 3000)
    classes = (classes + 9 * np.eye(5)[true]) / 10
    said = 0.8 * classes + 0.2 * np.roll(classes, 1, axis=1)  # calibrated to the labels
    run = aumclean.judge(labels, pred_probs=said, out=tmp_path / "run")
    found = np.zeros(3000, bool)
    found[run.suspects["sample_id"]] = True
    assert (found & wrong).sum() > 0.8 * wrong.sum() and (found & ~wrong).sum() < 0.1 * found.sum()
    assert abs(run.summary.noise_rate.estimate - 0.2) < 0.03


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_errors_of_one_class_are_found_by_predictions_that_have_learned_them(rate, tmp_path):
    """Where the surest ants are labeled bee as often as not, and the surest of other classes as what they are."""
    import aumclean

    rng = np.random.default_rng(0)
    true = rng.integers(0, 8, 4000)
    wrong = (true == 2) & (rng.random(4000) < rate)
    labels = np.where(wrong, 3, true)
    logits = rng.normal(size=(4000, 8))
    logits[np.arange(4000), true] += 4 * rng.random(4000) ** 0.5  # right of four images in five
    classes = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes[:, 3] += rate * classes[:, 2]  # calibrated to the labels
    classes[:, 2] *= 1 - rate
    run = aumclean.judge(labels, pred_probs=classes, out=tmp_path / "run")
    found = np.zeros(4000, bool)
    found[run.suspects["sample_id"]] = True
    assert (found & wrong).sum() >= 0.6 * wrong.sum()
    assert (found & ~wrong).sum() < 0.01 * len(labels)


def test_columns_of_numbered_labels_count_and_are_not_sorted_as_texts(aumclean, tmp_path):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 12, 600)
    probs = np.full((600, 13), 0.2 / 12)  # a class that does not occur, too
    probs[np.arange(600), true] = 0.8
    labels = np.where(np.arange(600) < 30, (true + 1) % 12, true)
    (tmp_path / "labels.csv").write_text("\n".join(["label", *map(str, labels)]) + "\n")
    np.save(tmp_path / "p.npy", probs)
    said = aumclean("judge", tmp_path / "labels.csv", "--pred-probs", tmp_path / "p.npy", "-o", tmp_path / "run")
    assert said.code == 0, said.err
    assert suspects(Run(tmp_path / "run")) == set(range(30))
