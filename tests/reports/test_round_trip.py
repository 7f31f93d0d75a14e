"""From an export through an annotation tool's answers back to decisions on the run."""

import io
import json
import xml.etree.ElementTree as ET
from zipfile import ZipFile

import pytest

from aumclean.decisions.label_studio import LABEL
from aumclean.decisions.recorded import of_files
from aumclean.reports import cvat, label_studio


@pytest.fixture
def suspects(finished):
    """Three suspects, the first kept, the second relabeled, the third left alone."""
    return [row for row in finished.verdict.report.to_pylist() if row["flagged"]][:3]


def outcome(file, run):
    found = of_files([file], run)
    assert found.problems == ()
    return {row["sample_id"]: (row["decision"], row["new_label"], row["reviewer"]) for row in found.decided.to_pylist()}


def test_label_studio(finished, suspects, tmp_path):
    tasks = json.loads(label_studio.render(finished.verdict)["tasks.json"])
    keep, relabel, _ = suspects
    answered = []
    for task in reversed(tasks):
        choice = {keep["sample_id"]: keep["label"], relabel["sample_id"]: relabel["suggested_label"]}
        label = choice.get(task["data"]["sample_id"])
        if label is not None:
            result = [{"type": "choices", "from_name": LABEL, "to_name": "image", "value": {"choices": [label]}}]
            task["annotations"] = [{"result": result, "completed_by": {"email": "ann@example.org"}}]
        answered.append(task)
    (tmp_path / "export.json").write_text(json.dumps(answered))
    assert outcome(tmp_path / "export.json", finished.run) == {
        keep["sample_id"]: ("keep", None, "ann@example.org"),
        relabel["sample_id"]: ("relabel", relabel["suggested_label"], "ann@example.org"),
    }


def test_cvat(finished, suspects, tmp_path):
    with ZipFile(io.BytesIO(b"".join(cvat.render(finished.verdict)["dataset.zip"]))) as archive:
        root = ET.fromstring(archive.read("annotations.xml"))
    keep, relabel, _ = suspects
    labels = {keep["path"]: keep["label"], relabel["path"]: relabel["suggested_label"]}
    for image in root.iter("image"):
        if label := labels.get(image.get("name")):
            ET.SubElement(image, "tag", {"label": label, "source": "manual"})
            image.set("name", f"renamed/{image.get('id')}.png")
    (tmp_path / "annotations.xml").write_bytes(ET.tostring(root))
    found = outcome(tmp_path / "annotations.xml", finished.run)
    assert {sample: said[:2] for sample, said in found.items()} == {
        keep["sample_id"]: ("keep", None),
        relabel["sample_id"]: ("relabel", relabel["suggested_label"]),
    }
