"""Answers of annotators in CVAT, as "CVAT for images 1.1" (XML)."""

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pyarrow as pa

from aumclean.decisions import answers
from aumclean.errors import DataError

OWN = "aumclean:"  # before our own labels, to tell them from classes
SAMPLE = f"{OWN}sample"


def read(text: str) -> pa.Table:
    """Decisions from an export as "CVAT for images 1.1".

    A class tag that says the given label is `keep`, another one `relabel`; images without a tag have no row.

    Raises:
        DataError: when it is not that.
    """
    try:
        root = ET.fromstring(text.encode())
    except ET.ParseError as error:
        raise DataError(f"is not valid XML ({error})") from None
    if root.tag != "annotations":
        raise DataError(f"is not CVAT for images: its root is <{root.tag}>, not <annotations>")
    reviewer = root.findtext("meta//assignee/username") or root.findtext("meta//owner/username")
    time = root.findtext("meta//updated") or root.findtext("meta/dumped")
    return answers.table(row for image in root.iter("image") for row in _rows(image, reviewer, time))


def _rows(image: ET.Element, reviewer: str | None, time: str | None) -> Iterator[dict[str, Any]]:
    about: dict[str, str | None] = {}
    labels, others = [], []
    for tag in image.iter("tag"):
        name = tag.get("label", "")
        if name == SAMPLE:
            about = {attribute.get("name", ""): attribute.text for attribute in tag.iter("attribute")}
        elif name.startswith(OWN):
            others.append(name.removeprefix(OWN))
        else:
            labels.append(name)
    given = about.get("given_label")
    common = {
        "sample_id": answers.number(about.get("sample_id")),
        "content_hash": about.get("content_hash") or None,
        "path": image.get("name"),
        "label": given,
        "reviewer": reviewer,
        "time": time,
        "where": f"image {image.get('id')}",
    }
    chosen = answers.decisions(given, labels, others)
    yield from ({**common, "decision": decision, "new_label": new_label} for decision, new_label in chosen)
