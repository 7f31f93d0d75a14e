"""The schemas that are shipped, held against what aumclean really writes."""

import csv
import json
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from referencing import Registry, Resource

import aumclean
from aumclean.config.gate import GateConfig
from aumclean.diagnostics.retraining.record import Comparison
from aumclean.diagnostics.store import Answer
from aumclean.gate import json as gate_json
from aumclean.gate.baseline import Baseline, Suspect, baseline, baseline_of, render
from aumclean.gate.check import check, suspects
from aumclean.gate.outcome import Outcome
from aumclean.gate.subject import read_subject
from aumclean.reports import json as report_json
from aumclean.run.record import JudgedRecord, ScanRecord, ScoresRecord
from aumclean.verdict.judge import judge, settings_of
from aumclean.verdict.summary import ScoreSummary, Summary

SCHEMAS = {
    file.name.removesuffix(".schema.json"): json.loads(file.read_text(encoding="utf-8"))
    for file in (files("aumclean") / "schemas").iterdir()
}
REGISTRY = Registry().with_resources(
    (f"{name}.schema.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)
RECORDS = {
    "baseline": ("Baseline of a gate", Baseline),
    "diagnostic": ("diagnostic.json", Answer),
    "gate": ("aumclean gate --format json", Outcome),
    "judged-run": ("run.json of evidence of one's own", JudgedRecord),
    "run": ("run.json", ScanRecord),
    "scores": ("scores.json", ScoresRecord),
    "summary": ("summary.json", Summary),
    "score-summary": ("summary.json of scores", ScoreSummary),
    "trainings": ("results.json of train", Comparison),
}
FILES_PAGE = Path(__file__).parents[1] / "docs" / "reference" / "files.md"


def problems(name, document):
    validator = Draft202012Validator(
        SCHEMAS[name], registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.fixture(scope="session")
def scored(finished, tmp_path_factory):
    """Three new images, judged; one of a class that the run does not have."""
    from aumclean.dataset.read import read_samples
    from aumclean.scanning.score import score

    folder = tmp_path_factory.mktemp("scored")
    new = folder / "new"
    for number, (label, drawn_as) in enumerate([("amber", "amber"), ("blue", "green"), ("violet", "blue")]):
        source = next((finished.root / drawn_as).glob("*.png"))
        (new / label).mkdir(parents=True)
        (new / label / f"{number}.png").write_bytes(source.read_bytes() + bytes([number]))
    return score(finished.run, read_samples(new), out=folder / "scores", device="cpu")


@pytest.fixture(scope="session")
def trained(finished, tmp_path_factory):
    """The folder of a short training on some images and, called the oracle, on more."""
    from aumclean.dataset.read import read_samples
    from aumclean.diagnostics.retraining.compare import compare
    from aumclean.diagnostics.retraining.options import Options

    manifests = {"raw": read_samples(finished.root, limit=30), "oracle": read_samples(finished.root, limit=60)}
    options = Options(2, 16, 0.02, arch="resnet9", device="cpu")
    out = tmp_path_factory.mktemp("trained")
    compare(manifests, read_samples(finished.root), options, out)
    return out


@pytest.fixture(scope="session")
def documents(finished, scored, trained, tmp_path_factory):
    """One real document for every schema, with as many of its lists filled as can be."""
    folder = tmp_path_factory.mktemp("schemas")
    run = Path(shutil.copytree(finished.run.path, folder / "run"))
    with (run / "unreadable.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["amber/broken.png", "empty file"])
    subject = read_subject(run)
    everything = baseline_of(subject, suspects(subject))
    gone = Suspect(content_hash="0" * 64, label="amber", path="amber/gone.png", label_score=None)
    first, *others = everything.suspects
    outcome = check(
        subject,
        GateConfig(max_flagged="0", max_unreadable="0", min_score=1.0),
        baseline([gone, *others], everything.seen_keys - {first.key}, everything.repeat_deviation),
        accepted={first.key},
    )
    return {
        "judged-run": json.loads(judged(folder / "judged").read_text()),
        "run": json.loads(finished.run.run_json.read_text()),
        "summary": json.loads(finished.run.summary.read_text()),
        "report": json.loads(report_json.render(finished.verdict)),
        "gate": json.loads(gate_json.render(outcome)),
        "baseline": json.loads(render(baseline([gone, *others], everything.seen_keys, everything.repeat_deviation))),
        "scores": json.loads(scored.run.scores_json.read_text()),
        "score-summary": json.loads(scored.run.summary.read_text()),
        "diagnostic": on_bands(finished, folder / "diagnostic"),
        "trainings": json.loads((trained / "results.json").read_text()),
    }


def judged(out):
    """The record of labels that were judged by predictions."""
    labels = np.arange(40) % 2
    return aumclean.judge(labels, pred_probs=np.eye(2)[labels] * 0.8 + 0.1, out=out).path / "run.json"


def on_bands(finished, out):
    """The record of a diagnostic: the run's networks on the bands of some of its images."""
    from aumclean.diagnostics.frequency.test import test
    from aumclean.diagnostics.study import Options

    _, store = test(Options(data=finished.run.path, out=out, test_limit=60, device="cpu"), radii=(1,))
    return json.loads(store.record.read_text())


def test_there_is_a_schema_for_every_file_for_programs(documents):
    assert SCHEMAS.keys() == documents.keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_describes_every_key(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["title"]
    for key, meaning in described(SCHEMAS[name]):
        assert meaning.endswith("."), key


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_written_is_what_the_schema_says(documents, name):
    assert problems(name, documents[name]) == []


def test_the_documents_fill_the_lists_that_the_schemas_describe(documents, finished):
    gate = documents["gate"]
    assert {finding["rule"] for finding in gate["findings"]} == {"mislabeled", "low-score", "unreadable"}
    assert gate["fixed"] and gate["notes"] and gate["new"] is not None and not gate["passed"]
    assert documents["baseline"]["suspects"] and documents["baseline"]["seen"]
    assert documents["report"]["findings"] and documents["summary"]["per_pair"]
    published = judge(finished.run, settings_of(finished.run, threshold="indicator", combine="all")).summary
    assert published.warnings and problems("summary", published.model_dump(mode="json")) == []
    assert documents["score-summary"]["not_judged"] == 1


def test_a_gate_without_a_baseline_is_valid_too(finished):
    outcome = check(read_subject(finished.run.path), GateConfig(max_flagged="50%"))
    assert problems("gate", json.loads(gate_json.render(outcome))) == []
    assert problems("gate", json.loads(gate_json.render(outcome.model_copy(update={"checks": ()})))) != []


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_key_too_many_too_few_or_of_another_version_is_refused(documents, name):
    document = documents[name]
    assert problems(name, document | {"colour": "blue"})
    assert problems(name, document | {"schema_version": 2})
    for key in SCHEMAS[name]["required"]:
        assert problems(name, {k: v for k, v in document.items() if k != key})


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_is_that_of_its_type(name):
    """`UPDATE_DOCS=1 pytest tests/test_schemas.py` writes it anew."""
    title, kind = RECORDS[name]
    made = schema_of(title, kind)
    if os.environ.get("UPDATE_DOCS"):
        (files("aumclean") / "schemas" / f"{name}.schema.json").write_text(json.dumps(made, indent=1) + "\n")
    else:
        assert SCHEMAS[name] == made


@pytest.mark.skipif(not FILES_PAGE.exists(), reason="runs in a checkout, not in an installed package")
@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_page_says_of_every_key_what_its_schema_says(name):
    """`UPDATE_DOCS=1 pytest tests/test_schemas.py` writes its tables anew."""
    text = FILES_PAGE.read_text(encoding="utf-8")
    start = text.index(f"`schemas/{name}.schema.json`")
    (old,) = re.findall(r"\n\n(\| key \|.*?\n)\n", text[start:] + "\n", re.DOTALL)[:1]
    rows = [f"| {key} | {meaning.rstrip('.')} |" for key, meaning in described(SCHEMAS[name])]
    table = "\n".join(["| key | meaning |", "| --- | --- |", *rows]) + "\n"
    if os.environ.get("UPDATE_DOCS"):
        FILES_PAGE.write_text(text[:start] + text[start:].replace(old, table, 1), encoding="utf-8")
    else:
        assert old == table


@pytest.mark.skipif(not FILES_PAGE.exists(), reason="runs in a checkout, not in an installed package")
def test_the_files_page_names_every_column_and_file_of_scores(scored):
    text = FILES_PAGE.read_text(encoding="utf-8")
    section = text[text.index("## What `score` writes") :]
    for column in {re.sub(r"draw_\d", "draw_K", name) for name in scored.report.column_names}:
        assert f"`{column}`" in (section if "margin" in column else text)
    for file in scored.run.path.iterdir():
        assert file.name.startswith(".") or f"`{file.name}`" in section


@pytest.mark.skipif(not FILES_PAGE.exists(), reason="runs in a checkout, not in an installed package")
def test_the_files_page_names_every_column_and_file_of_trainings(trained):
    text = FILES_PAGE.read_text(encoding="utf-8")
    section = text[text.index("## What `train` writes") :]
    for column in pyarrow.csv.read_csv(trained / "results.csv").column_names:
        assert f"`{column}`" in section
    for file in trained.iterdir():
        assert file.name.startswith(".") or f"`{file.name}" in section


def schema_of(title, kind):
    """The schema of what this version writes: every key, and no other, in one piece."""
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema(mode="serialization")
    parts = schema.pop("$defs", {})

    def plain(node):
        if isinstance(node, list):
            return [plain(inner) for inner in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            part = parts[node["$ref"].removeprefix("#/$defs/")]
            return plain(part | {key: value for key, value in node.items() if key != "$ref"})
        node = {key: value for key, value in node.items() if key not in {"title", "default"}}
        for key in node.keys() & {"properties", "patternProperties"}:
            node[key] = {name: plain(inner) for name, inner in node[key].items()}
        for key in node.keys() & {"items", "anyOf", "additionalProperties"}:
            node[key] = plain(node[key])
        further = node.get("additionalProperties", True)
        return node | ({"additionalProperties": further is not True and further} if "properties" in node else {})

    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return about | plain(schema)


def described(schema, above=""):
    """Every key at any depth as the page writes it, with its description."""
    for key, inner in (*schema.get("properties", {}).items(), *schema.get("patternProperties", {}).items()):
        shown = f"{above}`{key.strip('^$').replace('[0-9]+', 'K')}`"
        yield shown, inner["description"]
        yield from described(inner, f"{shown} · ")
        for part in (inner.get("items", {}), *inner.get("anyOf", ())):
            yield from described(part, f"{shown} · ")
