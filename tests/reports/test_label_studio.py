import csv
import io
import json
import random
from xml.etree import ElementTree as ET

import pytest

from aumclean.decisions import label_studio as answers
from aumclean.errors import DataError
from aumclean.reports import annotation, label_studio
from aumclean.verdict.judge import judge

SCHEMA = ["sample_id", "content_hash", "path", "decision", "new_label", "reviewer", "time", "note"]
CLASSES_IN_XML = {"amber": "a\"&<b>'\n]]>", "blue": "{{ blue }} $image", "green": '["g"]'}


@pytest.fixture(scope="module")
def verdict(altered):
    """Of a run whose class names are as awkward as XML allows."""
    return judge(altered(CLASSES_IN_XML, lambda path, label: f"{path.removesuffix('.png')}/50% &?#ü.png"))


def answered(verdict):
    """Tasks as an annotator left them, shuffled, under other paths; and the decisions that are to come back."""
    tasks = json.loads(label_studio.render(verdict)["tasks.json"])
    classes = sorted(CLASSES_IN_XML.values())
    random.Random(0).shuffle(tasks)
    expected = set()
    for number, task in enumerate(tasks):
        data = task["data"]
        data |= {"path": f"renamed/{number}.png", "image": f"/data/upload/{number}.png"}
        task |= {"id": 1000 + number, "annotations": []}
        given, other = data["given_label"], next(name for name in classes if name != data["given_label"])
        answer, decision = [
            ([("label", "choices", given)], ("keep", None)),
            ([("label", "choices", other)], ("relabel", other)),
            ([("label", "choices", given), ("other", "choices", "remove")], ("remove", None)),
            ([("other", "choices", "unsure")], ("unsure", None)),
            (None, None),
            ([], None),
        ][number % 6]
        if answer is None:
            continue
        result = [{"from_name": "note", "to_name": "image", "type": "textarea", "value": {"text": ["why\nnot"]}}]
        result += [
            {"from_name": name, "to_name": "image", "type": kind, "value": {kind: [value]}}
            for name, kind, value in answer
        ]
        about = {"completed_by": 7, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z"}
        task["annotations"] = [
            {"id": 1, "result": result[:1], "was_cancelled": True, **about},
            {"id": 2, "result": result, "was_cancelled": False, **about},
        ]
        if decision:
            expected.add((data["sample_id"], data["content_hash"], data["path"], *decision, "7", about["updated_at"]))
    return tasks, expected


def as_json_min(tasks):
    """What Label Studio's converter makes of tasks: flat records, one per answer that was not cancelled."""
    records = []
    for task in tasks:
        for one in task["annotations"] or [{"result": []}]:
            if one.get("was_cancelled"):
                continue
            chosen = {r["from_name"]: r["value"].get("choices", r["value"].get("text"))[0] for r in one["result"]}
            records.append(
                {
                    **task["data"], "id": task["id"], **chosen, "annotator": one.get("completed_by", {}),
                    "annotation_id": one.get("id"), "created_at": one.get("created_at"),
                    "updated_at": one.get("updated_at"), "lead_time": None,
                }
            )  # fmt: skip
    return records


def as_csv(tasks):
    """The same as CSV: sorted columns, texts quoted."""
    records = as_json_min(tasks)
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, sorted({key for record in records for key in record}), quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(records)
    return sink.getvalue()


def read_back(text):
    table = answers.read(text)
    assert table.column_names[:8] == SCHEMA
    rows = table.to_pylist()
    assert {row["note"] for row in rows} == {"why\nnot"}
    columns = SCHEMA[:-1]
    found = [tuple(row[name] for name in columns) for row in rows]
    assert len(found) == len(set(found))
    return set(found)


def test_the_same_decisions_come_back_from_each_export_also_renamed_and_re_ordered(verdict):
    tasks, expected = answered(verdict)
    assert len(expected) > 12
    assert read_back(json.dumps(tasks)) == expected
    assert read_back(json.dumps(as_json_min(tasks))) == expected
    assert read_back(as_csv(tasks)) == expected
    assert read_back("\ufeff" + as_csv(tasks)) == expected


def test_tasks_carry_what_joins_them_and_the_suggestion_as_prediction(verdict):
    tasks = json.loads(label_studio.render(verdict)["tasks.json"])
    findings = annotation.findings(verdict).to_pylist()
    assert [task["data"]["sample_id"] for task in tasks] == [row["sample_id"] for row in findings]
    for task, row in zip(tasks, findings, strict=True):
        assert task["data"]["content_hash"] == row["content_hash"]
        predicted = [one["result"][0]["value"]["choices"] for one in task.get("predictions", [])]
        assert predicted == ([] if row["suggested_label"] is None else [[row["suggested_label"]]])
    assert tasks[0]["data"]["image"].startswith("/data/local-files/?d=images/")
    assert tasks[0]["data"]["image"].endswith("/50%25%20%26%3F%23%C3%BC.png")
    own = json.loads(label_studio.render(verdict, image_root_url="s3://bucket/")["tasks.json"])
    assert own[0]["data"]["image"].startswith("s3://bucket/")


def test_no_key_of_a_task_is_the_name_of_a_control(verdict):
    keys = set(json.loads(label_studio.render(verdict)["tasks.json"])[0]["data"])
    assert not keys & {answers.LABEL, answers.OTHER, answers.NOTE}


def test_the_label_config_has_every_class_as_it_is_called(verdict):
    config = ET.fromstring(label_studio.render(verdict)["label_config.xml"])
    assert [choice.get("value") for choice in config.find("Choices[@name='label']")] == sorted(CLASSES_IN_XML.values())


def test_a_class_that_xml_cannot_hold_is_refused(hostile):
    with pytest.raises(DataError, match=r"class '.*\\x07w+' has a control character"):
        label_studio.render(judge(hostile))


def test_several_annotators_and_contradictory_answers_all_come_back():
    data = {"sample_id": 3, "content_hash": "ab", "given_label": "cat"}
    given = [
        {"completed_by": {"id": 1, "email": "ann@example.org"}, "result": [chosen("cat")]},
        {"completed_by": {"id": 2}, "result": [chosen("dog")]},
        {"completed_by": 3, "result": [chosen("dog", "emu")]},
    ]
    rows = answers.read(json.dumps([{"data": data, "annotations": given}])).to_pylist()
    assert [(row["reviewer"], row["decision"], row["new_label"]) for row in rows] == [
        ("ann@example.org", "keep", None), ("2", "relabel", "dog"), ("3", "relabel", "dog"), ("3", "relabel", "emu"),
    ]  # fmt: skip
    assert {row["where"] for row in rows} == {"item 1"}


def chosen(*labels):
    return {"from_name": "label", "value": {"choices": list(labels)}}


def test_tasks_of_others_have_rows_without_a_sample():
    (row,) = answers.read(json.dumps([{"id": 1, "image": "x", "label": "cat"}])).to_pylist()
    assert (row["sample_id"], row["content_hash"], row["decision"], row["new_label"]) == (None, None, "relabel", "cat")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "header lacks sample_id"),
        ("path,decision\na,keep\n", "header lacks sample_id"),
        ("[{", "not valid JSON"),
        ("[1]", "item 1 is no task"),
        ('[{"data": {}, "annotations": [1]}]', "item 1 has a broken annotation"),
        ('"sample_id","annotation_id"\n"' + "x" * 200_000, "not valid CSV"),
    ],
)
def test_what_is_no_export_is_refused(text, says):
    with pytest.raises(DataError, match=says):
        answers.read(text)


def test_label_studios_own_library_takes_tasks_and_config_and_its_exports_are_read(verdict, tmp_path):
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    converter = pytest.importorskip("label_studio_sdk.converter")
    files = label_studio.render(verdict)
    config = interface.LabelInterface(files["label_config.xml"])
    config.validate()
    for task in json.loads(files["tasks.json"]):
        assert config.validate_task({"data": task["data"]}) is not False
        for prediction in task.get("predictions", []):
            assert config.validate_prediction(prediction, return_errors=True) == []
    tasks, expected = answered(verdict)
    (tmp_path / "in.json").write_text(json.dumps(tasks))
    made = converter.Converter(files["label_config.xml"], project_dir=str(tmp_path))
    made.convert_to_json_min(str(tmp_path / "in.json"), str(tmp_path / "min"), is_dir=False)
    made.convert_to_csv(str(tmp_path / "in.json"), str(tmp_path / "csv"), is_dir=False, sep=",")
    assert read_back((tmp_path / "min" / "result.json").read_text()) == expected
    assert read_back((tmp_path / "csv" / "result.csv").read_text()) == expected
