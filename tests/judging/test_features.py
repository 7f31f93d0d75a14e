"""Labels judged by features of somebody's own: as a frozen scan judges them, images or not."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import aumclean
from aumclean.run.directory import Run

N, CLASSES = 400, 3


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """400 texts of three classes, every tenth mislabeled, with features that tell the classes."""
    folder, rng = tmp_path_factory.mktemp("embedded"), np.random.default_rng(1)
    true = rng.integers(0, CLASSES, N)
    features = (3 * rng.normal(size=(CLASSES, 12))[true] + rng.normal(size=(N, 12))).astype(np.float32)
    labels = np.where(np.arange(N) % 10 == 0, (true + 1) % CLASSES, true)
    np.save(folder / "features.npy", features)
    order = rng.permutation(N)
    paths = np.array([f"text-{row}" for row in order])
    np.savez(folder / "features.npz", features=features[order], paths=paths)
    (folder / "labels.csv").write_text("\n".join(["id,label", *(f"text-{i},c{v}" for i, v in enumerate(labels))]))
    (folder / "truth.csv").write_text(
        "\n".join(["path,true_label", *(f"text-{i},c{v}" for i, v in enumerate(true))]) + "\n"
    )
    np.save(folder / "labels.npy", labels)
    return folder


@pytest.fixture(scope="module")
def judged(embedded, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged") / "run"
    return aumclean.judge(embedded / "labels.csv", features=embedded / "features.npy", out=out)


def test_the_verdict_is_that_of_a_frozen_scan_of_the_same_features(planted, tmp_path, aumclean, monkeypatch):
    from aumclean.dataset.read import read_samples

    monkeypatch.setattr("aumclean.config.scan.AUTO_EPOCHS", 10)
    n = len(read_samples(planted.root))
    np.save(tmp_path / "f.npy", np.random.default_rng(0).normal(size=(n, 5)) + np.arange(n)[:, None] % 3)
    given = ["--features", tmp_path / "f.npy", "-o"]
    assert aumclean("scan", planted.root, "--preset", "frozen", *given, tmp_path / "scanned").code == 0
    said = aumclean("judge", planted.root, *given, tmp_path / "judged")
    assert said.code == 0, said.err
    scanned, judged = (pq.read_table(tmp_path / name / "report.parquet") for name in ("scanned", "judged"))
    assert judged.equals(scanned)
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("scanned", "judged")]
    assert summaries[0] == summaries[1]


def test_planted_errors_of_texts_are_found(judged):
    found = set(judged.suspects["sample_id"])
    wrong = set(range(0, N, 10))
    assert len(found & wrong) > 0.8 * len(wrong) and len(found - wrong) < 0.2 * len(found)
    assert judged.summary.noise_rate.low < 0.1 < judged.summary.noise_rate.high
    record = Run(judged.path).read()
    assert [(one.kind, one.samples, one.agreement) for one in record.evidence] == [("features", N, None)]
    assert (record.draws, record.state, min(record.epochs_done)) == (2, "done", 40) and "by features" in record.how


@pytest.mark.parametrize("form", ["by path", "array", "tensor"])
def test_every_form_gives_the_same_verdict(form, judged, embedded, tmp_path):
    import torch

    values = np.load(embedded / "features.npy")
    given = {"by path": embedded / "features.npz", "array": values, "tensor": torch.from_numpy(values)}[form]
    run = aumclean.judge(embedded / "labels.csv", features=given, out=tmp_path / "run")
    assert run.summary == judged.summary


def test_predictions_beside_them_are_a_second_witness(judged, embedded, tmp_path):
    labels = np.load(embedded / "labels.npy")
    logits = np.random.default_rng(2).normal(size=(N, CLASSES))
    logits[np.arange(N), np.where(np.arange(N) % 10 == 0, (labels - 1) % CLASSES, labels)] += 3
    run = aumclean.judge(
        embedded / "labels.csv", features=embedded / "features.npy", logits=logits, out=tmp_path / "run"
    )
    report = run.report
    assert report["wrong_by_network"].notna().all() and report["wrong_by_features"].notna().all()
    wrong, found = set(range(0, N, 10)), set(run.suspects["sample_id"])
    assert len(found ^ wrong) <= len(set(judged.suspects["sample_id"]) ^ wrong)


@pytest.mark.parametrize("taught", [False, True])
def test_predictions_of_a_network_that_was_taught_the_labels_are_marked(taught, embedded, tmp_path):
    labels, rows, rng = np.load(embedded / "labels.npy"), np.arange(N), np.random.default_rng(3)
    said = np.where(rows % 10 == 0, (labels - 1) % CLASSES, labels)  # what is true
    if taught:  # it has learned nine of ten wrong labels, and agrees with 98% of all
        said = np.where(rows % 100 == 0, said, labels)
        said = np.where(rows % 100 == 5, (said + 1) % CLASSES, said)
    logits = rng.normal(size=(N, CLASSES))
    logits[rows, said] += 6
    run = aumclean.judge(
        embedded / "labels.csv", features=embedded / "features.npy", logits=logits, out=tmp_path / "run"
    )
    assert ("in-sample" in [one.code for one in run.summary.warnings]) == taught
    assert Run(run.path).read().evidence[1].agreement < 0.995


def test_every_command_that_takes_a_run_takes_it(judged, embedded, aumclean, tmp_path):
    for format in ("csv", "html", "cleanlab", "pred-probs", "json"):
        assert aumclean("report", judged.path, "--format", format, "-o", tmp_path / format).code == 0, format
    assert aumclean("gate", judged.path, "--max-flagged", "50%").code == 0
    assert aumclean("clean", judged.path, "--policy", "drop", "-o", tmp_path / "clean.csv").code == 0
    said = aumclean("evaluate", judged.path, "--truth", embedded / "truth.csv", "--json")
    assert said.code == 0 and json.loads(said.out)["label_score"]["auroc"] > 0.95
    said = aumclean("score", judged.path, embedded)
    assert (said.code, said.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda x: x[:-1], "has 399 rows for 400 samples"),
        (lambda x: x.astype(str), "must be numbers [samples, width]"),
        (lambda x: x[:, 0], "must be numbers [samples, width]"),
        (lambda x: np.where(np.arange(N)[:, None] == 7, np.nan, x), "not finite, such as in row 8"),
    ],
)
def test_features_that_do_not_fit_get_one_line_and_replace_nothing(change, why, embedded, judged, aumclean, tmp_path):
    file, out = tmp_path / "f.npy", tmp_path / "run"
    np.save(file, change(np.load(embedded / "features.npy")))
    said = aumclean("judge", embedded / "labels.csv", "--features", file, "-o", out)
    assert (said.code, said.err.count("\n")) == (2, 1) and why in said.err and not out.exists()
    before = judged.path / "report.csv"
    kept = before.read_bytes()
    again = ["--features", file, "-o", judged.path, "--overwrite"]
    assert aumclean("judge", embedded / "labels.csv", *again).code == 2 and before.read_bytes() == kept


def test_margins_of_something_else_do_not_go_beside_those_of_heads(judged, embedded, aumclean, tmp_path):
    given = ["--features", embedded / "features.npy", "--margins", judged.path]
    said = aumclean("judge", embedded / "labels.csv", *given, "-o", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1) and "leave out --margins" in said.err
