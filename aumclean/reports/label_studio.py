"""Label Studio: tasks with predictions, and the label config of their project."""

from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from aumclean import __version__
from aumclean.decisions.answers import OTHERS
from aumclean.decisions.label_studio import LABEL, NOTE, OTHER
from aumclean.errors import DataError
from aumclean.files.json import to_json
from aumclean.reports import annotation
from aumclean.verdict.judge import Verdict

SHOWN = ("suggested_label", "suggested_confidence", "aum", "label_score", "rank", "conflict")
LOCAL_FILES = "/data/local-files/?d="


def render(verdict: Verdict, *, image_root_url: str | None = None) -> dict[str, str]:
    """Tasks of the samples to look at, and the label config of their project: file names and contents.

    Args:
        verdict: whose flagged and conflicting samples to export.
        image_root_url: what to put before each image's path; by default Label Studio's own way to local files, with a
            document root that is the parent of the data's root folder.

    Raises:
        DataError: when the images are no files and no `image_root_url` is given, or for class names XML cannot hold.
    """
    data = verdict.run.place()
    if image_root_url is None:
        if not data.near_files:
            raise DataError(
                f"the images are in {data.source}, where Label Studio cannot find them; write them out as files "
                "and name their address with --image-root-url"
            )
        image_root_url = f"{LOCAL_FILES}{quote(Path(data.root).name)}/"
    tasks = [_task(row, image_root_url) for row in annotation.findings(verdict).to_pylist()]
    return {
        "tasks.json": to_json(tasks, indent=1) + "\n",
        "label_config.xml": _label_config(annotation.classes(verdict)),
    }


def _task(row: dict[str, Any], image_root_url: str) -> dict[str, Any]:
    data = {
        "image": image_root_url + quote(row["path"]),
        "sample_id": row["sample_id"],
        "content_hash": row["content_hash"],
        "path": row["path"],
        "given_label": row["label"],
        **{name: row[name] for name in SHOWN},
    }
    if row["suggested_label"] is None:
        return {"data": data}
    chosen = {
        "id": f"sample-{row['sample_id']}",
        "type": "choices",
        "from_name": LABEL,
        "to_name": "image",
        "value": {"choices": [row["suggested_label"]]},
    }
    prediction = {
        "model_version": f"aumclean {__version__}",
        "score": row["suggested_confidence"],
        "result": [chosen],
    }
    return {"data": data, "predictions": [prediction]}


def _label_config(class_names: list[str]) -> str:
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true")
    ET.SubElement(view, "Header", value="Given label")
    ET.SubElement(view, "Text", name="given", value="$given_label")
    ET.SubElement(view, "Header", value="What is it? The given label if it is right, else the right one")
    _choices(view, LABEL, class_names)
    ET.SubElement(view, "Header", value="If it is none of these, or cannot be told")
    _choices(view, OTHER, OTHERS)
    ET.SubElement(view, "TextArea", name=NOTE, toName="image", placeholder="note", maxSubmissions="1")
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _choices(view: ET.Element, name: str, values: list[str] | tuple[str, ...]) -> None:
    choices = ET.SubElement(view, "Choices", name=name, toName="image", choice="single", showInLine="true")
    for value in values:
        ET.SubElement(choices, "Choice", value=value)
