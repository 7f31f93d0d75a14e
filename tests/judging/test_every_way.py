"""Runs made in each way but a scan: every command that takes a run takes them; bad input of each gets one line."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import aumclean
from aumclean.compat import AUMCalculator
from aumclean.margins.log import epoch_file

N, CLASSES, WRONG, EPOCHS = 600, 3, 60, 4
FORMATS = ("csv", "parquet", "json", "jsonl", "markdown", "html", "pred-probs", "cleanlab", "fiftyone", "label-studio")


def logits_of(true, wide, seed):
    logits = np.random.default_rng(seed).normal(size=(len(true), wide))
    logits[np.arange(len(true)), true] += 4
    return logits


@pytest.fixture(scope="session")
def ways(tmp_path_factory):
    """A folder with labels, their truth, what speaks of them in each way, and a finished run by each: `runs/WAY`."""
    folder, rng = tmp_path_factory.mktemp("ways"), np.random.default_rng(4)
    true = rng.integers(0, CLASSES, N)
    labels = np.where(np.arange(N) < WRONG, (true + 1) % CLASSES, true)
    ids = [f"row-{number}" for number in range(N)]
    for name, column, values in (("labels.csv", "label", labels), ("truth.csv", "true_label", true)):
        rows = (f"{one},{value}" for one, value in zip(ids, values, strict=True))
        (folder / name).write_text("\n".join([f"path,{column}", *rows]) + "\n")
    recorder = aumclean.Recorder(labels, paths=ids, out=folder / "runs" / "recorder")
    calculator = AUMCalculator(str(folder), compressed=False)
    for epoch in range(EPOCHS):
        calculator.update(logits_of(true, CLASSES, epoch), labels, ids)
        for draw in range(recorder.draws):
            recorder.update(logits_of(true, recorder.outputs, [draw, epoch]), np.arange(N), draw)
            recorder.end_epoch(draw)
    calculator.finalize()
    recorder.finish()
    logits = logits_of(true, CLASSES, 9)
    np.save(folder / "probs.npy", np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    np.save(folder / "features.npy", logits_of(true, 8, 10))
    shutil.copytree(folder / "runs" / "recorder" / "margins", folder / "margins")
    given = {"pred-probs": "probs.npy", "features": "features.npy", "margins": "margins", "aum": "full_aum_records.csv"}
    for way, name in given.items():
        evidence = {way.replace("-", "_"): folder / name}
        aumclean.judge(folder / "labels.csv", out=folder / "runs" / way, **evidence)
    return folder


WAYS = ("recorder", "pred-probs", "features", "margins", "aum")


@pytest.mark.parametrize("way", WAYS)
def test_every_command_takes_the_run(way, ways, aumclean, tmp_path):
    run = ways / "runs" / way
    for format in FORMATS:
        said = aumclean("report", run, "--format", format, "-o", tmp_path / format)
        assert said.code == 0, (format, said.err)
    flagged = json.loads((run / "summary.json").read_text())["flagged"]
    said = aumclean("report", run, "--format", "fiftyone", "-o", tmp_path / "again")
    assert ("nothing to look at" in said.err) == (flagged == 0), "an export that holds nothing says so"
    said = aumclean("report", run, "--format", "cvat", "-o", tmp_path / "cvat")
    assert (said.code, said.err.splitlines()[-1].count("are no images")) == (2, 1)
    assert aumclean("review", run, "--export", tmp_path / "decisions.csv").code == 0
    assert aumclean("clean", run, "-o", tmp_path / "clean.csv").code == 0
    assert (tmp_path / "clean.csv").read_text().count("\n") == 1 + N - flagged
    said = aumclean("evaluate", run, "--truth", ways / "truth.csv", "--json")
    assert said.code == 0 and json.loads(said.out)["label_score"]["auroc"] > 0.95, said.err
    said = aumclean("gate", run, "--max-flagged", "50%")
    assert said.code == (1 if way == "aum" else 0), "by margins alone the noise rate is unknown, and no gate passes"


@pytest.mark.parametrize("way", ["recorder", "pred-probs", "features", "margins"])
def test_planted_errors_are_flagged(way, ways):
    found = set(aumclean.open_run(ways / "runs" / way).suspects["sample_id"])
    wrong = set(range(WRONG))
    assert len(found & wrong) > 0.7 * WRONG and len(found - wrong) < 0.2 * len(found)


def _changed(ways, folder, column, row, value):
    """The margin log with a value changed in an epoch."""
    shutil.copytree(ways / "margins", folder)
    file = epoch_file(folder, 0, 1)
    table = pq.read_table(file)
    values = table[column].to_numpy().copy()
    values[row] = value
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), file)
    return folder


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("margin", np.nan, "the margin of sample 3 is not finite"),
        ("sample_id", N, f"has the sample {N}"),
        ("sample_id", -1, f"has the sample -1; there are {N} labels"),
        ("runner_up", 9, "has the class 9"),
        ("runner_up", -7, "has the class -7"),
    ],
)
def test_a_log_that_is_of_other_labels_or_broken_gets_one_line(column, value, why, ways, aumclean, tmp_path):
    log = _changed(ways, tmp_path / "log", column, 3, value)
    said = aumclean("judge", ways / "labels.csv", "--margins", log, "-o", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1) and why in said.err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("column", "kind"), [("margin", pa.string()), ("margin", pa.float64()), ("is_indicator", pa.int8())]
)
def test_a_log_of_other_types_gets_one_line(column, kind, ways, aumclean, tmp_path):
    shutil.copytree(ways / "margins", tmp_path / "log")
    file = epoch_file(tmp_path / "log", 0, 1)
    table = pq.read_table(file)
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, table[column].cast(kind)), file)
    said = aumclean("judge", ways / "labels.csv", "--margins", tmp_path / "log", "-o", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1) and f"its {column} is no column of a margin log" in said.err
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_replaced_by_its_own_margins(ways, aumclean, tmp_path):
    run = shutil.copytree(ways / "runs" / "recorder", tmp_path / "run")
    before = sorted(run.rglob("*"))
    said = aumclean("judge", ways / "labels.csv", "--margins", run, "-o", run, "--overwrite")
    assert (said.code, said.err.count("\n")) == (2, 1) and "--out: the margins are in" in said.err
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: [*lines[:3], lines[3].replace("row-", "line-"), *lines[4:]], "1 rows are of no sample"),
        (lambda lines: [*lines, lines[-1]], "a sample has several values"),
        (lambda lines: [*lines[:3], lines[3].rsplit(",", 1)[0] + ",nan", *lines[4:]], "not finite numbers"),
        (lambda lines: lines[:1], "has no rows"),
        (lambda lines: ["a,b", "1,2"], "has no columns sample_id and aum"),
    ],
)
def test_records_of_aum_that_are_of_other_labels_or_broken_get_one_line(change, why, ways, aumclean, tmp_path):
    lines = (ways / "aum_values.csv").read_text().splitlines()
    (tmp_path / "aum.csv").write_text("\n".join(change(lines)) + "\n")
    said = aumclean("judge", ways / "labels.csv", "--aum", tmp_path / "aum.csv", "-o", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1) and why in said.err, said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("num_measurements", "once", "cannot be read"),
        ("num_measurements", "", "has rows without num_measurements"),
        ("num_measurements", "0", "its num_measurements are not 1, 2, 3 and so on"),
        ("num_measurements", "1000000000", "its num_measurements are not 1, 2, 3 and so on"),
        ("target_logit", "", "has rows without target_logit"),
        ("other_logit", "1.5", "cannot be read"),
        ("other_logit", "9", "has the class 9; there are 3, see --classes"),
    ],
)
def test_full_records_of_aum_that_are_broken_get_one_line(column, value, why, ways, aumclean, tmp_path):
    header, first, *rest = (ways / "full_aum_records.csv").read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index(column)] = value
    (tmp_path / "aum.csv").write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
    said = aumclean("judge", ways / "labels.csv", "--aum", tmp_path / "aum.csv", "-o", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1) and why in said.err, said.err
    assert not (tmp_path / "run").exists()
