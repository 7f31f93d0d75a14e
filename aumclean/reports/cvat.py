"""CVAT for images 1.1 (a zip of images and XML): every sample to look at with a tag that tells what it is.

A class tag set beforehand could not be told from an answer, so none is set: an image without one is not decided yet.
"""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET
from zipfile import ZipFile, ZipInfo

import numpy as np
import pyarrow as pa
from PIL import Image

from aumclean.dataset.folder import is_image
from aumclean.dataset.pictures import Pictures, pictures_of
from aumclean.decisions.answers import OTHERS
from aumclean.decisions.cvat import OWN, SAMPLE
from aumclean.errors import DataError
from aumclean.files.json import to_json
from aumclean.files.passing import Passing
from aumclean.reports import annotation
from aumclean.run.tables import read_samples
from aumclean.verdict.judge import Verdict

SHOWN = ("suggested_label", "suggested_confidence", "aum", "label_score", "rank")
ATTRIBUTES = ("sample_id", "content_hash", "given_label", *SHOWN)


def render(verdict: Verdict) -> dict[str, str | Iterator[bytes]]:
    """The samples to look at with their images, and the labels of their project: file names and contents.

    `dataset.zip` has what CVAT and Datumaro expect, `annotations.xml` beside a folder `images`.

    Raises:
        DataError: for class names that XML cannot hold, or that are our own; for samples that are no images; while it
            is read, for an image that is gone or has changed.
    """
    if not verdict.run.read().data.pictures:
        raise DataError(f"{verdict.run.path}: its samples are no images, and CVAT shows images; choose another format")
    names = annotation.classes(verdict)
    for name in names:
        if name.startswith(OWN):
            raise DataError(f"the class '{name}' begins like the export's own labels; rename it")
    labels = [SAMPLE, *names, *(f"{OWN}{other}" for other in OTHERS)]
    return {
        "dataset.zip": _zipped(verdict, labels),
        "labels.json": to_json([_label(name) for name in labels], indent=1) + "\n",
    }


def _zipped(verdict: Verdict, labels: list[str]) -> Iterator[bytes]:
    """The zip in pieces, one image in memory at a time; images are compressed already, and are stored as they are."""
    ids = np.sort(annotation.findings(verdict)["sample_id"].to_numpy())
    paths, names = read_samples(verdict.run, "path")["path"].take(pa.array(ids)).to_pylist(), {}
    sink = Passing()
    with ZipFile(sink, "w") as archive:
        for sample, path, content in zip(ids.tolist(), paths, _contents(pictures_of(verdict.run), ids), strict=True):
            names[sample] = _name(sample, annotation.xml_text(path), content)
            archive.writestr(ZipInfo(f"images/{names[sample]}"), content)
            yield sink.take()
        archive.writestr(ZipInfo("annotations.xml"), _annotations(verdict, labels, names).encode())
    yield sink.take()


def _contents(pictures: Pictures, ids: np.ndarray) -> Iterator[bytes]:
    try:
        for _, content in pictures.each(ids):
            yield content
    except OSError as error:
        raise DataError(f"{error}; CVAT gets the images: name where they are now with --data") from None


def _name(sample: int, path: str, content: bytes) -> str:
    """The name of an image in the zip: its path where that stays inside and tells that it is an image."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        path = f"{sample}/{parts[-1]}"
    if is_image(path):
        return path
    with Image.open(io.BytesIO(content)) as image:
        return f"{path}.{(image.format or 'png').lower()}"


def _label(name: str) -> dict[str, Any]:
    attributes = [
        {"name": attribute, "input_type": "text", "mutable": False, "default_value": "", "values": [""]}
        for attribute in (ATTRIBUTES if name == SAMPLE else ())
    ]
    return {"name": name, "type": "tag", "attributes": attributes}


def _annotations(verdict: Verdict, labels: list[str], names: dict[int, str]) -> str:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    ET.SubElement(task, "name").text = annotation.xml_text(verdict.run.read().data.name)
    listed = ET.SubElement(task, "labels")
    for name in labels:
        label = ET.SubElement(listed, "label")
        ET.SubElement(label, "name").text = name
        ET.SubElement(label, "type").text = "tag"
        attributes = ET.SubElement(label, "attributes")
        for attribute in ATTRIBUTES if name == SAMPLE else ():
            described = ET.SubElement(attributes, "attribute")
            for key, value in (("name", attribute), ("mutable", "False"), ("input_type", "text")):
                ET.SubElement(described, key).text = value
            ET.SubElement(described, "default_value")
            ET.SubElement(described, "values")
    samples = read_samples(verdict.run, "width", "height")
    widths, heights = (samples[name].to_pylist() for name in ("width", "height"))
    for number, row in enumerate(annotation.findings(verdict).to_pylist()):
        image = ET.SubElement(root, "image", id=str(number), name=names[row["sample_id"]])
        image.set("width", str(widths[row["sample_id"]]))
        image.set("height", str(heights[row["sample_id"]]))
        tag = ET.SubElement(image, "tag", label=SAMPLE, source="auto")
        for name in ATTRIBUTES:
            value = row["label"] if name == "given_label" else row[name]
            ET.SubElement(tag, "attribute", name=name).text = "" if value is None else str(value)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
