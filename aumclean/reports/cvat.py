"""CVAT for images 1.1 (XML): every sample to look at with a tag that tells what it is.

A class tag set beforehand could not be told from an answer, so none is set: an image without one is not decided yet.
"""

from typing import Any
from xml.etree import ElementTree as ET

from aumclean.decisions.answers import OTHERS
from aumclean.decisions.cvat import OWN, SAMPLE
from aumclean.errors import DataError
from aumclean.files.json import to_json
from aumclean.reports import annotation
from aumclean.run.tables import read_samples
from aumclean.verdict.judge import Verdict

SHOWN = ("suggested_label", "suggested_confidence", "aum", "label_score", "rank")
ATTRIBUTES = ("sample_id", "content_hash", "given_label", *SHOWN)


def render(verdict: Verdict) -> dict[str, str]:
    """Annotations of the samples to look at, and the labels of their task: file names and contents.

    Raises:
        DataError: for class names that XML cannot hold, or that are our own.
    """
    names = annotation.classes(verdict)
    for name in names:
        if name.startswith(OWN):
            raise DataError(f"the class '{name}' begins like the export's own labels; rename it")
    labels = [SAMPLE, *names, *(f"{OWN}{other}" for other in OTHERS)]
    return {
        "annotations.xml": _annotations(verdict, labels),
        "labels.json": to_json([_label(name) for name in labels], indent=1) + "\n",
    }


def _label(name: str) -> dict[str, Any]:
    attributes = [
        {"name": attribute, "input_type": "text", "mutable": False, "default_value": "", "values": [""]}
        for attribute in (ATTRIBUTES if name == SAMPLE else ())
    ]
    return {"name": name, "type": "tag", "attributes": attributes}


def _annotations(verdict: Verdict, labels: list[str]) -> str:
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
        image = ET.SubElement(root, "image", id=str(number), name=annotation.xml_text(row["path"]))
        image.set("width", str(widths[row["sample_id"]]))
        image.set("height", str(heights[row["sample_id"]]))
        tag = ET.SubElement(image, "tag", label=SAMPLE, source="auto")
        for name in ATTRIBUTES:
            value = row["label"] if name == "given_label" else row[name]
            ET.SubElement(tag, "attribute", name=name).text = "" if value is None else str(value)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
