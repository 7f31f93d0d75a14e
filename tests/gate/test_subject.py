import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.errors import RunError
from aumclean.gate.subject import as_arrow, places, read_subject
from aumclean.run.directory import Run

ROWS = [("a", "cat", True, 0.1), ("b", "cat", False, 0.9), ("c", "dog", False, 0.8)]


def where(subject, sample, path="cat/a.png", **options):
    return places(subject, np.array([sample]), **options).of(sample, path)


def test_a_finished_run_is_a_subject(finished):
    subject = read_subject(finished.run.path)
    assert subject.is_scan
    assert len(subject.report) == finished.verdict.summary.samples
    flagged = dict(zip(subject.report["path"].to_pylist(), subject.mask("flagged"), strict=True))
    expected = finished.verdict.report
    assert flagged == dict(zip(expected["path"].to_pylist(), expected["flagged"].to_pylist(), strict=True))


def test_a_run_without_its_report_says_how_to_make_it(finished, tmp_path):
    shutil.copytree(finished.run.path, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(RunError, match="aumclean report .* --save"):
        read_subject(tmp_path / "run")


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"repeat_deviation": "much"}', '{"repeat_deviation": NaN}'])
def test_a_summary_of_a_wrong_shape_is_refused_in_one_line(finished, tmp_path, text):
    shutil.copytree(finished.run.path, tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text(text)
    with pytest.raises(RunError, match=r"summary.json: (is damaged|cannot be read)[^\n]*$"):
        read_subject(tmp_path / "run")


def test_an_unfinished_run_is_refused(finished, tmp_path):
    shutil.copytree(finished.run.path, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["epochs_done"][1] -= 1
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    Run(tmp_path / "run").model(1).unlink()  # it is there when the draw is done
    with pytest.raises(RunError, match="is not finished"):
        read_subject(tmp_path / "run")


def test_a_sample_of_a_folder_is_at_its_own_file(subject, tmp_path, monkeypatch):
    given = subject(ROWS)
    monkeypatch.chdir(tmp_path)
    assert where(given, 0) == ("photos/cat/a.png", 1)
    monkeypatch.chdir(tmp_path / "..")
    assert where(given, 0) == (f"{tmp_path.name}/photos/cat/a.png", 1)


def test_a_box_is_at_its_picture(subject, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = subject(ROWS)
    boxes = replace(given, data=given.data.model_copy(update={"boxes": "voc"}))
    assert where(boxes, 0, "cat/a#b.png#2") == ("photos/cat/a#b.png", 1)


def test_data_that_lie_elsewhere_can_be_pointed_at(subject, tmp_path, monkeypatch):
    (tmp_path / "repo" / "images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repo")
    given = subject(ROWS)
    assert where(given, 0) == ("cat/a.png", 1)
    assert where(given, 0, data=tmp_path / "repo" / "images") == ("images/cat/a.png", 1)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("m.csv", 'path,note\na,x\nb,"two\nlines"\n\nc,y\n', [2, 3, 6]),
        ("m.csv", f"path,note\na,x\nb,{'n' * 200_000}\nc,y\n", [2, 3, 4]),
        ("m.tsv", "path\tnote\na\tx\nb\ty\nc\tz\n", [2, 3, 4]),
        ("m.jsonl", '{"path": "a"}\n\n{"path": "b"}\n{"path": "c"}\n', [1, 3, 4]),
    ],
)
def test_a_sample_of_a_manifest_is_at_its_row(subject, tmp_path, monkeypatch, name, text, lines):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    given = subject(ROWS, source=tmp_path / name)
    assert [where(given, sample) for sample in range(3)] == [(name, line) for line in lines]


def test_rows_are_those_of_the_manifest_not_of_the_samples(subject, tmp_path, monkeypatch):
    """A split was chosen, or a file was unreadable."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text("path\na\nb\nc\nd\ne\n")
    given = subject(ROWS, source=tmp_path / "m.csv")
    pq.write_table(pa.table({"row": [0, 2, 4]}), tmp_path / "samples.parquet")
    assert [where(given, sample)[1] for sample in range(3)] == [2, 4, 6]


def test_an_image_inside_a_parquet_file_is_at_that_file(subject, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert where(subject(ROWS, source=tmp_path / "i.parquet", image_column="image"), 0) == ("i.parquet", 1)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 100])
def test_masks_become_arrow_arrays(n):
    mask = np.random.default_rng(n).random(n) < 0.5
    assert as_arrow(mask).to_pylist() == mask.tolist()
