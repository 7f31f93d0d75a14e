import hashlib
import io
import json
import random
from pathlib import Path
from xml.etree import ElementTree as ET
from zipfile import ZipFile

import pytest
from PIL import Image

from aumclean.decisions import cvat as answers
from aumclean.errors import DataError
from aumclean.reports import annotation, cvat
from aumclean.verdict.judge import judge

CLASSES_IN_XML = {"amber": "a\"&<b>'\n]]>", "blue": " blue ", "green": "gr\u00fcn"}


@pytest.fixture(scope="module")
def verdict(altered):
    """Of a run whose class names are as awkward as XML allows."""
    return judge(altered(CLASSES_IN_XML, lambda path, label: f"{path.removesuffix('.png')}/<&>\x07.png"))


def unpacked(verdict):
    """What is in the zip, by name."""
    with ZipFile(io.BytesIO(b"".join(cvat.render(verdict)["dataset.zip"]))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def xml(verdict):
    return unpacked(verdict)["annotations.xml"].decode()


def answered(text):
    """An export as an annotator left it, shuffled and renamed; and the decisions that are to come back."""
    root = ET.fromstring(text)
    task = root.find("meta/task")
    ET.SubElement(ET.SubElement(task, "assignee"), "username").text = "ann"
    ET.SubElement(task, "updated").text = "2026-01-02"
    images = root.findall("image")
    random.Random(0).shuffle(images)
    expected = set()
    for number, image in enumerate(images):
        root.remove(image)
        root.append(image)
        image.set("id", str(number))
        image.set("name", f"renamed/{number}.png")
        about = {one.get("name"): one.text for one in image.iter("attribute")}
        given = about["given_label"]
        other = next(name for name in CLASSES_IN_XML.values() if name != given)
        tags, decision = [
            ([given], ("keep", None)),
            ([other], ("relabel", other)),
            (["aumclean:remove", given], ("remove", None)),
            (["aumclean:unsure"], ("unsure", None)),
            ([], None),
        ][number % 5]
        for tag in tags:
            ET.SubElement(image, "tag", label=tag, source="manual")
        if decision:
            expected.add(
                (
                    int(about["sample_id"]),
                    about["content_hash"],
                    image.get("name"),
                    *decision,
                    "ann",
                    "2026-01-02",
                    None,
                )
            )
    return ET.tostring(root, encoding="unicode"), expected


def test_the_same_decisions_come_back_also_renamed_and_re_ordered(verdict):
    text, expected = answered(xml(verdict))
    assert len(expected) > 12
    rows = answers.read(text).to_pylist()
    assert len(rows) == len(expected)
    assert {tuple(list(row.values())[:8]) for row in rows} == expected


def test_an_untouched_export_decides_nothing(verdict):
    assert len(answers.read(xml(verdict))) == 0


def test_every_finding_has_its_size_and_what_joins_it(verdict):
    findings = annotation.findings(verdict).to_pylist()
    files = unpacked(verdict)
    images = ET.fromstring(files.pop("annotations.xml")).findall("image")
    assert [image.get("id") for image in images] == [str(number) for number in range(len(findings))]
    for image, row in zip(images, findings, strict=True):
        assert (image.get("width"), image.get("height")) == ("12", "12")
        assert image.get("name") == row["path"].replace("\x07", "\\x07")
        about = {one.get("name"): one.text for one in image.iter("attribute")}
        assert about["sample_id"] == str(row["sample_id"])
        assert about["content_hash"] == row["content_hash"]
        assert hashlib.sha256(files.pop(f"images/{image.get('name')}")).hexdigest() == row["content_hash"]
        assert about["given_label"] == row["label"]
    assert not files


def test_the_labels_are_those_of_the_task(verdict):
    files = cvat.render(verdict)
    labels = json.loads(files["labels.json"])
    names = ["aumclean:sample", *sorted(CLASSES_IN_XML.values()), "aumclean:remove", "aumclean:unsure"]
    assert [label["name"] for label in labels] == names
    listed = ET.fromstring(xml(verdict)).findall("meta/task/labels/label")
    assert [label.findtext("name") for label in listed] == names
    assert [one["name"] for one in labels[0]["attributes"]] == list(cvat.ATTRIBUTES)


def test_classes_that_xml_or_the_export_needs_are_refused(hostile, altered):
    with pytest.raises(DataError, match="control character"):
        cvat.render(judge(hostile))
    own = altered({"amber": "aumclean:remove", "blue": "b", "green": "g"}, lambda path, label: path)
    with pytest.raises(DataError, match="'aumclean:remove' begins like"):
        cvat.render(judge(own))


def test_two_classes_on_one_image_both_come_back_and_without_our_tag_only_the_name():
    text = '<annotations><image id="4" name="a.png"><tag label="cat"/><tag label="dog"/></image></annotations>'
    rows = answers.read(text).select(["path", "sample_id", "new_label", "where"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [("a.png", None, label, "image 4") for label in ("cat", "dog")]


@pytest.mark.parametrize(
    ("text", "says"), [("", "not valid XML"), ("<annotations>", "not valid XML"), ("<html/>", "its root is <html>")]
)
def test_what_is_no_export_is_refused(text, says):
    with pytest.raises(DataError, match=says):
        answers.read(text)


def test_datumaro_reads_it_as_cvat(verdict, tmp_path):
    components = pytest.importorskip("datumaro.components.dataset", reason="datumaro is not installed")
    with ZipFile(io.BytesIO(b"".join(cvat.render(verdict)["dataset.zip"]))) as archive:
        archive.extractall(tmp_path)
    items = list(components.Dataset.import_from(str(tmp_path), "cvat"))
    assert len(items) == len(annotation.findings(verdict))
    assert all(item.media.data.shape == (12, 12, 3) for item in items)
    ids = {int(one.attributes["sample_id"]) for item in items for one in item.annotations}
    assert ids == set(annotation.findings(verdict)["sample_id"].to_pylist())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("amber/1.png", "amber/1.png"),
        ("0000007", "0000007.png"),
        ("photo.jpg#3", "photo.jpg#3.png"),
        ("../up/a.png", "7/a.png"),
        ("/abs/a.png", "7/a.png"),
    ],
)
def test_names_stay_inside_the_zip_and_say_that_they_are_images(path, name):
    encoded = io.BytesIO()
    Image.new("RGB", (2, 2)).save(encoded, "png")
    assert cvat._name(7, path, encoded.getvalue()) == name


def test_an_image_that_is_gone_ends_the_export_with_one_line_and_no_folder(altered, aumclean, tmp_path):
    run = altered({"amber": "a", "blue": "b", "green": "c"}, lambda path, label: path)
    first = annotation.findings(judge(run)).to_pylist()[0]["path"]
    (Path(run.read().data.root) / first).unlink()
    said = aumclean("report", run.path, "--format", "cvat", "-o", tmp_path / "out")
    assert (said.code, said.err.count("\n")) == (2, 1) and first in said.err and not (tmp_path / "out").exists()
