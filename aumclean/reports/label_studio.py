"""Label Studio: tasks with predictions and a label config out; its JSON, JSON-MIN and CSV exports back in."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pyarrow as pa

from aumclean import __version__
from aumclean.errors import DataError
from aumclean.reports import annotation
from aumclean.verdict.judge import Verdict

LABEL, OTHER, NOTE = "label", "other", "note"  # names of the controls; no key of a task's data may have them
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
    data = verdict.run.read()["data"]
    if image_root_url is None:
        if data["image_column"] is not None:
            raise DataError(
                f"the images lie in {data['source']}, where Label Studio cannot find them; write them out as files "
                "and name their address with --image-root-url"
            )
        image_root_url = f"{LOCAL_FILES}{quote(Path(data['root']).name)}/"
    tasks = [_task(row, image_root_url) for row in annotation.findings(verdict).to_pylist()]
    return {
        "tasks.json": json.dumps(tasks, indent=1) + "\n",
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
    _choices(view, OTHER, annotation.OTHERS)
    ET.SubElement(view, "TextArea", name=NOTE, toName="image", placeholder="note", maxSubmissions="1")
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _choices(view: ET.Element, name: str, values: list[str] | tuple[str, ...]) -> None:
    choices = ET.SubElement(view, "Choices", name=name, toName="image", choice="single", showInLine="true")
    for value in values:
        ET.SubElement(choices, "Choice", value=value)


def read(text: str) -> pa.Table:
    """Decisions from an export: JSON, JSON-MIN or CSV, told apart by their content.

    Every annotator's answer is a row; skipped and unanswered tasks have none.

    Raises:
        DataError: when it is none of these.
    """
    return annotation.table(row for answer in _answers(text) for row in _rows(answer))


def _answers(text: str) -> Iterator[dict[str, Any]]:
    """One flat record per answer, as JSON-MIN has it."""
    if not text.lstrip("\ufeff \t\r\n").startswith("["):
        yield from _answers_of_csv(text.removeprefix("\ufeff"))
        return
    try:
        records = json.loads(text.lstrip("\ufeff"))
    except ValueError as error:
        raise DataError(f"is not valid JSON ({error})") from None
    for position, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise DataError(f"is no export of Label Studio: item {position} is no task")
        if isinstance(record.get("data"), dict):
            yield from _answers_of(record, position)
        else:
            yield {**record, "where": f"item {position}"}


def _answers_of_csv(text: str) -> Iterator[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if not {"sample_id", "annotation_id"} <= set(reader.fieldnames or ()):
            raise DataError("is no export of Label Studio: its header lacks sample_id or annotation_id")
        for row in reader:
            several = {name: _several(row[name]) for name in (LABEL, OTHER, NOTE) if row.get(name)}
            yield {**row, **several, "where": f"line {reader.line_num}"}
    except csv.Error as error:
        raise DataError(f"is not valid CSV ({error})") from None


def _several(cell: str) -> Any:
    """A cell that holds several answers as JSON, taken apart; any other, such as a class called `["a"]`, as it is."""
    if cell[:1] in ("{", "["):
        with suppress(ValueError):
            answers = json.loads(cell)
            if isinstance(answers, dict) or len(answers) > 1:
                return answers
    return cell


def _answers_of(task: dict[str, Any], position: int) -> Iterator[dict[str, Any]]:
    for annotated in task.get("annotations") or []:
        if not isinstance(annotated, dict):
            raise DataError(f"is no export of Label Studio: item {position} has an annotation that is none")
        if annotated.get("was_cancelled"):
            continue
        answer: dict[str, Any] = {LABEL: [], OTHER: [], NOTE: []}
        for result in annotated.get("result") or []:
            if isinstance(result, dict) and result.get("from_name") in answer:
                answer[result["from_name"]] += _texts(result.get("value"))
        yield {
            **task["data"],
            **answer,
            "annotator": annotated.get("completed_by"),
            "updated_at": annotated.get("updated_at") or annotated.get("created_at"),
            "where": f"item {position}",
        }


def _rows(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    annotator = answer.get("annotator")
    if isinstance(annotator, dict):
        annotator = annotator.get("email") or annotator.get("id")
    common = {
        "sample_id": annotation.number(answer.get("sample_id")),
        "content_hash": answer.get("content_hash") or None,
        "path": answer.get("path") or None,
        "label": answer.get("given_label"),
        "reviewer": None if annotator in (None, "") else str(annotator),
        "time": answer.get("updated_at") or None,
        "note": " ".join(_texts(answer.get(NOTE))) or None,
        "where": answer["where"],
    }
    chosen = annotation.decisions(common["label"], _texts(answer.get(LABEL)), _texts(answer.get(OTHER)))
    yield from ({**common, "decision": decision, "new_label": new_label} for decision, new_label in chosen)


def _texts(value: Any) -> list[str]:
    """What was chosen or written: one text, a list, or `{"choices": [...]}`."""
    if isinstance(value, dict):
        value = value.get("choices") or value.get("text")
    if isinstance(value, list):
        return [text for item in value for text in (_texts(item) if isinstance(item, dict) else [str(item)])]
    return [] if value in (None, "") else [str(value)]
