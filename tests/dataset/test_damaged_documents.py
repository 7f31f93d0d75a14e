"""Every value of an annotation file is replaced by what nobody expects there: it is read, or refused in one line."""

import json
from functools import reduce
from operator import getitem

import pytest
import yaml

from aumclean.dataset.read import read_samples
from aumclean.errors import DataError
from tests.documents import changed, places

ODD = [None, 1, -1, 10**400, float("nan"), "", "x", "\ud800", "//[x.png", "a\0b", "x" * 300, True]
ODD += [[], [[]], {}, {"a": 1}, [1], [None]]
COCO = {
    "images": [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.png"}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]},
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [1, 1, 4, 4]},
    ],
}


def task(picture, *answers):
    return {"data": {"image": picture}, "annotations": [{"result": [answer]} for answer in answers]}


def choice(label):
    return {"type": "choices", "value": {"choices": [label]}}


def box(label):
    sides = {"x": 1, "y": 1, "width": 50, "height": 50, "rotation": 0}
    return {"type": "rectanglelabels", "value": sides | {"rectanglelabels": [label]}}


LABEL_STUDIO = [task("/data/upload/1.png", choice("cat"), choice("cat")), task("2.png", choice("dog"))]
LABEL_STUDIO_BOXES = [task("/data/upload/1.png", box("cat")), task("2.png", box("dog"))]
YOLO = {"path": ".", "train": ["images"], "names": {0: "cat", 1: "dog"}}


def harmed(document):
    """Copies of a document in each of which one value is odd or missing."""
    for where in filter(None, places(document)):
        yield from (changed(document, where, odd) for odd in ODD)
        *above, key = where
        holder = reduce(getitem, above, document)
        if isinstance(holder, dict):
            yield changed(document, above, {name: value for name, value in holder.items() if name != key})


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (COCO, "images/a.json"),
        (LABEL_STUDIO, "images/a.json"),
        (LABEL_STUDIO_BOXES, "images/a.json"),
        (YOLO, "data.yaml"),
    ],
    ids=["coco", "choices", "boxes", "yolo"],
)
def test_documents_with_one_odd_value_are_read_or_refused_in_one_line(tmp_path, save_image, document, name):
    for number in "12":
        save_image(tmp_path / "images" / f"{number}.png")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{number}.txt").write_text(f"{int(number) - 1} 0.5 0.5 0.5 0.5")
    file, outcomes = tmp_path / name, set()
    for copied in harmed(document):
        file.write_text(json.dumps(copied) if name.endswith(".json") else yaml.safe_dump(copied))
        try:
            outcomes.add(len(read_samples(file, one_class=True)))
        except DataError as error:
            assert str(tmp_path) in str(error) and "\n" not in str(error)
            outcomes.add("refused")
    assert {2, "refused"} <= outcomes


@pytest.mark.parametrize("encoding", ["gbk", "nonsense", "utf-16"])
def test_xml_in_an_encoding_that_the_parser_does_not_know_is_named(tmp_path, save_image, encoding):
    save_image(tmp_path / "JPEGImages" / "1.png")
    (tmp_path / "Annotations").mkdir()
    for file in (tmp_path / "Annotations" / "1.xml", tmp_path / "cvat.xml"):
        file.write_text(f'<?xml version="1.0" encoding="{encoding}"?><annotations/>')
    for data, named in ((tmp_path, "1.xml"), (tmp_path / "cvat.xml", "cvat.xml")):
        with pytest.raises(DataError, match=f"{named}: is not readable XML"):
            read_samples(data)
