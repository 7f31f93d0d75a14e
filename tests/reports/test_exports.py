import csv
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.config.reading import load
from aumclean.dataset.read import read_samples
from aumclean.errors import DataError
from aumclean.reports import cleanlab, fiftyone, huggingface, label_studio
from aumclean.run.directory import Run
from aumclean.verdict.judge import judge


@pytest.fixture(scope="module")
def embedded(finished, tmp_path_factory):
    """A copy of the finished run as if its images lay in a Parquet file, with another row between each two."""
    folder = tmp_path_factory.mktemp("embedded")
    run = Run(Path(shutil.copytree(finished.run.path, folder / "run")))
    samples = pq.read_table(run.samples)
    images = [(finished.root / path).read_bytes() for path in samples["path"].to_pylist()]
    both = [image for encoded in images for image in (b"other", encoded)]
    pq.write_table(pa.table({"image": [{"bytes": image} for image in both]}), folder / "data.parquet")
    rows = pa.array(range(1, len(both), 2))
    pq.write_table(samples.set_column(samples.column_names.index("row"), "row", rows), run.samples)
    record = json.loads(run.run_json.read_text())
    record["data"] |= {"source": str(folder / "data.parquet"), "image_column": "image"}
    run.run_json.write_text(json.dumps(record))
    return judge(run)


def by_id(verdict):
    return verdict.report.sort_by("sample_id").to_pylist()


def write_parquet(made, file):
    schema, batches = made
    with pq.ParquetWriter(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file


def test_cleanlab_has_its_columns_in_the_order_of_the_data(finished):
    table = pd.read_csv(io.StringIO(cleanlab.issues(finished.verdict)))
    rows = by_id(finished.verdict)
    assert list(table) == ["sample_id", "path", "is_label_issue", "label_score", "given_label", "predicted_label"]
    assert table.sample_id.tolist() == list(range(len(rows)))
    assert table[table.is_label_issue].path.tolist() == [row["path"] for row in rows if row["flagged"]]
    for row, predicted in zip(rows, table.predicted_label, strict=True):
        assert predicted == (((row["flagged"] or row["aum"] < 0) and row["suggested_label"]) or row["label"])


@pytest.mark.filterwarnings("ignore")  # of cleanlab
def test_datalab_takes_it_unedited_and_agrees(finished, tmp_path):
    datalab = pytest.importorskip("cleanlab", reason="is in the dependency group benchmark").Datalab
    for name, content in cleanlab.render(finished.verdict).items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    labels, probabilities = np.load(tmp_path / "labels.npy"), np.load(tmp_path / "pred_probs.npy")
    lab = datalab({"label": labels}, label_name="label", verbosity=0)
    lab.find_issues(pred_probs=probabilities, issue_types={"label": {}})
    found = lab.get_issues("label")
    flagged = np.array([row["flagged"] for row in by_id(finished.verdict)])
    assert (found["is_label_issue"].to_numpy() == flagged).mean() > 0.98
    ours = np.array([row["wrong_probability"] for row in by_id(finished.verdict)])
    np.testing.assert_allclose(found["label_score"], 1 - ours, atol=1e-5)


def test_fiftyone_has_every_sample_by_its_file(finished):
    files = fiftyone.render(finished.verdict)
    labels, rows = json.loads(files["labels.json"]), by_id(finished.verdict)
    assert labels["classes"] == ["amber", "blue", "green"]
    assert list(labels["labels"]) == [str(finished.root / row["path"]) for row in rows]
    assert [label["label"] for label in labels["labels"].values()] == [row["label"] for row in rows]
    table = list(csv.DictReader(io.StringIO(files["labels.csv"])))
    assert [row["filepath"] for row in table] == list(labels["labels"])
    assert all(abs(float(row["mistakenness"]) + float(row["label_score"]) - 1) < 1e-12 for row in table)


def test_formats_that_need_files_refuse_images_in_a_table(embedded):
    for render in (fiftyone.render, label_studio.render):
        with pytest.raises(DataError, match="the images are in "):
            render(embedded)
    assert label_studio.render(embedded, image_root_url="https://host/")["tasks.json"]


def test_hugging_face_parquet_is_data_for_a_scan_again(finished, embedded, tmp_path):
    file = write_parquet(huggingface.render(embedded)["data.parquet"], tmp_path / "data.parquet")
    samples = read_samples(file, **load({}, environment={}).reading())
    assert samples.label_names().to_pylist() == [row["label"] for row in by_id(finished.verdict)]
    images = pq.read_table(file)["image"].to_pylist()
    assert [image["bytes"] for image in images] == [
        (finished.root / row["path"]).read_bytes() for row in by_id(finished.verdict)
    ]
    assert "metadata.csv" not in huggingface.render(embedded)


def test_metadata_in_the_image_folder_is_data_for_a_scan_again(finished, tmp_path):
    root = Path(shutil.copytree(finished.root, tmp_path / "photos"))
    (root / "metadata.csv").write_text(huggingface.render(finished.verdict)["metadata.csv"])
    samples = read_samples(root, **load({}, environment={}).reading())
    assert samples.paths.to_pylist() == [row["path"] for row in by_id(finished.verdict)]
    assert samples.label_names().to_pylist() == [row["label"] for row in by_id(finished.verdict)]


OPEN_WITH_DATASETS = """
import json, sys, datasets

cache, *files = sys.argv[1:]
made = []
for file in files:
    given = {"data_files": file} if file.endswith(".parquet") else {"data_dir": file}
    kind = "parquet" if file.endswith(".parquet") else "imagefolder"
    opened = datasets.load_dataset(kind, **given, cache_dir=cache)["train"]
    feature, labels = opened.features["label"], list(opened["label"])
    if isinstance(feature, datasets.ClassLabel):
        labels = [feature.int2str(label) for label in labels]
    image = [type(opened.features["image"]).__name__, *opened[5]["image"].size]
    made.append([image, type(feature).__name__, list(opened["sample_id"]), labels])
print(json.dumps(made))
"""


def test_the_datasets_library_opens_both(finished, embedded, tmp_path):
    if importlib.util.find_spec("datasets") is None:
        pytest.skip("datasets is not installed")
    root = Path(shutil.copytree(finished.root, tmp_path / "photos"))
    (root / "metadata.csv").write_text(huggingface.render(finished.verdict)["metadata.csv"])
    files = write_parquet(huggingface.render(finished.verdict)["data.parquet"], tmp_path / "files.parquet")
    copied = write_parquet(huggingface.render(embedded)["data.parquet"], tmp_path / "copied.parquet")
    # in a process of its own: the library leaves files open, and would load torch
    command = [sys.executable, "-c", OPEN_WITH_DATASETS, tmp_path / "cache", files, copied, root]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "USE_TORCH": "0", "USE_TF": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    expected = {row["sample_id"]: row["label"] for row in by_id(finished.verdict)}
    kinds = []
    for image, kind, ids, labels in json.loads(done.stdout):
        assert image == ["Image", 12, 12]
        assert dict(zip(ids, labels, strict=True)) == expected
        kinds.append(kind)
    assert kinds == ["ClassLabel", "ClassLabel", "Value"]


def test_fiftyones_importers_read_both(finished, tmp_path):
    importers = pytest.importorskip("fiftyone.utils.data.importers", reason="fiftyone is not installed")
    for name, content in fiftyone.render(finished.verdict).items():
        (tmp_path / name).write_text(content)
    rows = {str(finished.root / row["path"]): row for row in by_id(finished.verdict)}
    with importers.FiftyOneImageClassificationDatasetImporter(labels_path=str(tmp_path / "labels.json")) as importer:
        labels = {file: label for file, _, label in importer}
    assert {file: label.label for file, label in labels.items()} == {file: row["label"] for file, row in rows.items()}
    assert all(labels[file].aum == row["aum"] for file, row in rows.items())
    fields = {"given_label": None, "mistakenness": float, "flagged": lambda text: text == "true"}
    tables = pytest.importorskip("fiftyone.utils.csv")
    with tables.CSVDatasetImporter(labels_path=str(tmp_path / "labels.csv"), fields=fields) as importer:
        samples = list(importer)
    assert {one.filepath for one in samples if one.flagged} == {file for file, row in rows.items() if row["flagged"]}
