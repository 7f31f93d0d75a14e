"""Files that people and other tools write for us: decisions, ledgers, baselines, configurations."""

import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .conftest import DAMAGES, STORED, anything, damaged

ROW = pq.read_table(STORED / "run" / "samples.parquet").to_pylist()[5]
HEADER = "sample_id,content_hash,path,label,decision,new_label,reviewer,time,note"
LINE = f"5,{ROW['content_hash']},{ROW['path']},{ROW['label']},keep,,ann,2026-01-01T00:00:00,fine"
TASK = {
    "data": {"sample_id": 5, "content_hash": ROW["content_hash"], "path": ROW["path"], "given_label": ROW["label"]},
    "annotations": [
        {"completed_by": {"email": "a@b"}, "result": [{"from_name": "label", "value": {"choices": [ROW["label"]]}}]}
    ],
}
CVAT = (
    '<annotations><version>1.1</version><image id="0" name="x"><tag label="aumclean:sample">'
    f'<attribute name="sample_id">5</attribute><attribute name="content_hash">{ROW["content_hash"]}</attribute>'
    f'<attribute name="given_label">{ROW["label"]}</attribute></tag><tag label="{ROW["label"]}"/></image></annotations>'
)
BASELINE = {
    "schema_version": 1, "aumclean": "0.1.0", "seen": {ROW["label"]: ["0" * 12]},
    "suspects": [{"content_hash": ROW["content_hash"], "label": ROW["label"], "path": "x", "label_score": 0.5}],
}  # fmt: skip


def decisions():
    text = f"{HEADER}\n{LINE}\n"
    for position, name in enumerate(HEADER.split(",")):
        for number, cell in enumerate(
            ["", "x", "-1", "9" * 5000, "1e5", '"a\nb"', "=1", "\0", "\ud800", "x" * 200_000]
        ):
            cells = LINE.split(",")
            cells[position] = cell
            yield "csv", f"{HEADER}\n{','.join(cells)}\n", f"{name} {number}"
    for number, value in enumerate(anything()):
        for key in ("data", "annotations"):
            yield "json", json.dumps([{**TASK, key: value}]), f"{key} {number}"
        for key in TASK["data"]:
            yield "json", json.dumps([{**TASK, "data": {**TASK["data"], key: value}}]), f"{key} {number}"
        for key in ("completed_by", "result", "was_cancelled", "updated_at"):
            yield (
                "json",
                json.dumps([{**TASK, "annotations": [{**TASK["annotations"][0], key: value}]}]),
                f"{key} {number}",
            )
        result = TASK["annotations"][0]["result"][0]
        for key in ("from_name", "value"):
            annotation = {**TASK["annotations"][0], "result": [{**result, key: value}]}
            yield "json", json.dumps([{**TASK, "annotations": [annotation]}]), f"a result's {key} {number}"
        yield "json", json.dumps(value), f"all {number}"
    yield "json", "[" * 60_000, "nested"
    yield "json", "[" + "9" * 5000 + "]", "digits"
    yield (
        "xml",
        CVAT.replace("<annotations>", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;', 1),
        "entity",
    )
    bomb = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    yield "xml", f'<!DOCTYPE a [<!ENTITY e0 "ha">{bomb}]><annotations>&e9;</annotations>', "bomb"
    yield "xml", "<a>" * 100_000, "nested"
    yield "xml", CVAT.replace(">5<", f">{'9' * 5000}<"), "digits"
    yield "xml", CVAT.replace("<image", "<picture").replace("/image", "/picture"), "another tag"
    for suffix, content in (("csv", text), ("json", json.dumps([TASK])), ("xml", CVAT)):
        for damage, changed in damaged(content.encode(), random.Random(suffix)):
            if changed is not None:
                yield suffix, changed, damage


def params(cases):
    for suffix, content, name in cases:
        yield pytest.param(
            suffix,
            content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"),
            id=f"{suffix}-{name}",
        )


@pytest.fixture(scope="module")
def run(stored, tmp_path_factory):
    """A run that takes decisions in."""
    return Path(shutil.copytree(stored / "run", tmp_path_factory.mktemp("decided") / "run"))


@pytest.mark.parametrize(("suffix", "content"), list(params(decisions())))
def test_decisions_are_taken_in_or_refused_and_what_was_taken_in_is_read_again(
    run, ask, tally, tmp_path, suffix, content
):
    file = tmp_path / f"decided.{suffix}"
    file.write_bytes(content)
    outcome, _ = ask("review", run, "--import", file, named=[file.name, run, ROW["path"]])
    tally(f"decisions: {suffix}", outcome)
    again, _ = ask("review", run, "--export", tmp_path / "out.csv", named=[])
    assert again == "right"
    (run / "decisions.jsonl").unlink(missing_ok=True)


@pytest.mark.parametrize("key", [*BASELINE, *BASELINE["suspects"][0]])
def test_a_baseline_is_read_or_refused(stored, ask, tally, tmp_path, key):
    file, suspect = tmp_path / "baseline.json", BASELINE["suspects"][0]
    for value in anything():
        changed = {"suspects": [{**suspect, key: value}]} if key in suspect else {key: value}
        file.write_text(json.dumps({**BASELINE, **changed}))
        outcome, done = ask("gate", stored / "run", "--baseline", file, named=[file])
        assert outcome == "refused" or "baseline" in done.out, value
        tally("baseline", outcome)


LEDGER = f"content_hash,label,reviewer,time,run,path\n{ROW['content_hash']},{ROW['label']},ann,t,r,p\n"
ODD_LEDGERS = {
    "newline": LEDGER.replace("ann", '"a\nb"'),
    "quote": LEDGER.replace("ann", '"ann'),
    "nul": LEDGER.replace("ann", "\0"),
    "no label": LEDGER.replace(f",{ROW['label']},", ",,"),
    "surrogate": LEDGER.replace("ann", "\ud800"),
    "another table": "a,b\n1,2\n",
}
LEDGERS = {
    **{name: text.encode("utf-8", "surrogatepass") for name, text in ODD_LEDGERS.items()},
    **dict(damaged(LEDGER.encode(), random.Random(1))),
}


@pytest.mark.parametrize("name", LEDGERS)
def test_a_ledger_is_added_to_or_refused_and_never_lost(run, ask, tally, tmp_path, name):
    file, before = tmp_path / "ledger.csv", LEDGERS[name]
    if before is not None:
        file.write_bytes(before)
    outcome, _ = ask("clean", run, "--ledger", file, "-o", tmp_path / "kept.csv", named=[file.name])
    tally("ledger", outcome)
    if outcome == "refused":
        assert file.read_bytes() == before


KEYS = [
    "max_flagged", "max_class_flagged", "max_conflicts", "min_score", "classes", "baseline", "max_new", "data", "none",
]  # fmt: skip
VALUES = [
    "5", "-1", "1e300", "nan", "inf", "true", '"x"', '"5%"', '"200%"', '"\\u0000"', "[]", "[[1]]", "{}", "{a = 1}",
    "1979-05-27", "9" * 5000, "[" * 3000, '"' + "x" * 1000 + '"',
]  # fmt: skip


ALONE = {"max_new": "--max-new"}  # of these the value is right, and something else is missing


@pytest.mark.parametrize("key", KEYS)
def test_a_configuration_is_followed_or_refused(stored, ask, tally, tmp_path, key):
    file = tmp_path / "aumclean.toml"
    for value in VALUES:
        file.write_text(f"[gate]\nmax_unreadable = 5\n{key} = {value}\n")
        at_its_place = [tmp_path] if key in {"baseline", "data"} else []  # what is wrong with what is there, or is not
        named = [file, "gate:", ALONE.get(key, file), *at_its_place]
        outcome, done = ask("gate", stored / "run", "--config", file, named=named)
        assert outcome == "refused" or "max-unreadable" in done.out, value
        tally("configuration", outcome)


@pytest.mark.parametrize("damage", DAMAGES[1:])
def test_a_damaged_configuration_is_followed_or_refused(stored, ask, tally, tmp_path, damage):
    file = tmp_path / "aumclean.toml"
    file.write_bytes(dict(damaged(b'[gate]\nmax_flagged = "50%"\nmin_score = 0.001\n', random.Random(2)))[damage])
    outcome, done = ask("gate", stored / "run", "--config", file, "--max-unreadable", "9", named=[file])
    assert outcome == "refused" or "max-unreadable" in done.out
    tally("configuration", outcome)
