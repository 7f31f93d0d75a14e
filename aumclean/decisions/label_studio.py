"""Answers of annotators in Label Studio: its JSON, JSON-MIN and CSV exports."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa

from aumclean.decisions import answers
from aumclean.errors import DataError

LABEL, OTHER, NOTE = "label", "other", "note"  # names of the controls; no key of a task's data may have them


def read(text: str) -> pa.Table:
    """Decisions from an export: JSON, JSON-MIN or CSV, told apart by their content.

    Every annotator's answer is a row; skipped and unanswered tasks have none.

    Raises:
        DataError: when it is none of these.
    """
    return answers.table(row for answer in _answers(text) for row in _rows(answer))


def _answers(text: str) -> Iterator[dict[str, Any]]:
    """One flat record per answer, as JSON-MIN has it."""
    if not text.lstrip("\ufeff \t\r\n").startswith("["):
        yield from _answers_of_csv(text.removeprefix("\ufeff"))
        return
    try:
        records = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
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
        with suppress(ValueError, RecursionError):
            answers = json.loads(cell)
            if isinstance(answers, dict) or len(answers) > 1:
                return answers
    return cell


def _answers_of(task: dict[str, Any], position: int) -> Iterator[dict[str, Any]]:
    for annotated in _list(task.get("annotations")):
        if not isinstance(annotated, dict):
            raise DataError(f"is not an export of Label Studio: item {position} has a broken annotation")
        if annotated.get("was_cancelled"):
            continue
        answer: dict[str, Any] = {LABEL: [], OTHER: [], NOTE: []}
        for result in _list(annotated.get("result")):
            if isinstance(result, dict) and isinstance(name := result.get("from_name"), str) and name in answer:
                answer[name] += _texts(result.get("value"))
        yield {
            **task["data"],
            **answer,
            "annotator": annotated.get("completed_by"),
            "updated_at": annotated.get("updated_at") or annotated.get("created_at"),
            "where": f"item {position}",
        }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _rows(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    annotator = answer.get("annotator")
    if isinstance(annotator, dict):
        annotator = annotator.get("email") or annotator.get("id")
    common = {
        "sample_id": answers.number(answer.get("sample_id")),
        "content_hash": answer.get("content_hash") or None,
        "path": answer.get("path") or None,
        "label": answer.get("given_label"),
        "reviewer": None if annotator in (None, "") else str(annotator),
        "time": answer.get("updated_at") or None,
        "note": " ".join(_texts(answer.get(NOTE))) or None,
        "where": answer["where"],
    }
    chosen = answers.decisions(common["label"], _texts(answer.get(LABEL)), _texts(answer.get(OTHER)))
    yield from ({**common, "decision": decision, "new_label": new_label} for decision, new_label in chosen)


def _texts(value: Any) -> list[str]:
    """What was chosen or written: one text, a list, or `{"choices": [...]}`."""
    if isinstance(value, dict):
        value = value.get("choices") or value.get("text")
    if isinstance(value, list):
        return [text for item in value for text in (_texts(item) if isinstance(item, dict) else [str(item)])]
    return [] if value in (None, "") else [str(value)]
