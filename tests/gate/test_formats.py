import gzip
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from junitparser import JUnitXml

from aumclean.config.gate import GateConfig
from aumclean.gate import github, gitlab, junit, markdown, sarif, text
from aumclean.gate import json as as_json
from aumclean.gate.baseline import baseline_of
from aumclean.gate.check import check, suspects
from aumclean.gate.fingerprint import fingerprints
from aumclean.gate.red import STEPS, next_steps
from aumclean.reports.markdown import cell

SARIF_SCHEMA = Path(__file__).parents[1] / "data" / "sarif-2.1.0-rtm.5.json"  # as SchemaStore and Microsoft ship it
HOSTILE = 'x\n::error::owned%0A::set-output name=passed::true|<b onclick=1>`@all`<!-- --> ]]> \x1b[31m "q" \ufffe'
ROWS = [
    ("a", "cat", True, 0.10),
    ("b", "cat", True, 0.30),
    ("c", "cat", False, 0.80),
    ("d", "dog", True, 0.20),
    ("e", "dog", False, 0.70),
]


@pytest.fixture
def outcome(subject, tmp_path, monkeypatch):
    """Two budgets, one exceeded; a baseline that knows all but one suspect; an unreadable file."""
    monkeypatch.chdir(tmp_path)
    before = subject(ROWS)
    after = subject([*ROWS, ("z", "emu", True, 0.05)], unreadable=[("cat/broken.png", "truncated")])
    budgets = GateConfig(max_flagged="90%", max_unreadable=1, max_new=0)
    return check(after, budgets, baseline_of(before, suspects(before)))


@pytest.fixture
def hostile(subject, tmp_path, monkeypatch):
    """Every name tries to be something else."""
    monkeypatch.chdir(tmp_path)
    rows = [(HOSTILE, HOSTILE, True, 0.1), (HOSTILE, "cat", False, 0.6), *ROWS]
    return check(subject(rows, unreadable=[(HOSTILE, "not an image")]), GateConfig(max_flagged=0, max_unreadable=0))


@pytest.fixture
def many(subject, tmp_path, monkeypatch):
    """25,500 findings with names of usual length."""
    monkeypatch.chdir(tmp_path)
    rows = [(f"some/folders/image-{number:07d}", "a class name", True, number / 60_000) for number in range(25_500)]
    return check(subject(rows), GateConfig(max_flagged="1%"))


RENDERERS = [
    text.render,
    as_json.render,
    as_json.render_lines,
    github.render,
    gitlab.render,
    sarif.render,
    junit.render,
    markdown.render,
]


@pytest.mark.parametrize("render", RENDERERS, ids=lambda render: f"{render.__module__[14:]}.{render.__name__}")
def test_no_name_brings_control_characters_or_lines_of_its_own(hostile, render):
    rendered = render(hostile)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\ufffe]", rendered)
    assert "\n::error::owned" not in rendered
    rendered.encode("utf-8")


@pytest.mark.parametrize("render", [text.render, junit.render, markdown.render])
def test_no_name_begins_a_line_that_a_build_log_would_obey(outcome, render):
    (finding, *_) = outcome.findings
    named = [replace(finding, file="::stop-commands::x", path="::stop-commands::x", message="a"), finding]
    rendered = render(outcome.model_copy(update={"findings": (*named, *named)}))
    assert "::stop-commands::x" in rendered
    assert not any(line.strip().startswith("::") for line in rendered.splitlines())


def test_text_whole(outcome):
    assert text.render(outcome) == (
        "gate failed: 1 of 3 budgets exceeded\n"
        "  ok    max-flagged     4 of 6 (66.7%), at most 90%\n"
        "  ok    max-unreadable  1 of 7 (14.3%), at most 1\n"
        "  FAIL  max-new         1 new suspect, at most 0\n"
        "- photos/emu/z.png: emu/z.png is labeled 'emu', looks like 'dog' (label score 0.050)\n"
        "note: 3 suspects known to the baseline\n"
        "what next:\n"
        "  1. Look at the images that are named, the worst first.\n"
        "  2. The label is wrong: correct it, or remove the image.\n"
        "  3. The label is right: accept it in the baseline, or keep it with: "
        f"aumclean review {outcome.subject}\n"
        f"  4. {STEPS[4]}\n"
    )


def test_steps_are_those_of_what_was_found(subject):
    given = subject([("a", "cat", True, 0.1), ("b", "dog", False, 0.9)], unreadable=[("cat/x.png", "empty")])
    looked = replace(given, report=given.report.append_column("leaked_from", [[None, "test/b.png"]]))
    budgets = {"max_unjudged": "100%", "max_leaked": 0, "max_unreadable": 0}
    assert next_steps(check(looked, GateConfig(**budgets))) == [
        "Look at the images that are named, the worst first.",
        "The image is in the other data too: take it out of one of them.",
        "A file cannot be read: replace it, or take it out of the data set.",
    ]
    assert STEPS[4] in next_steps(check(looked, GateConfig(**budgets, max_flagged=0)))


def test_no_image_is_to_be_looked_at_where_only_too_few_were_judged(subject):
    (step,) = next_steps(
        check(subject([("a", "cat", None, 0.0), ("b", "dog", False, 0.9)]), GateConfig(max_flagged="50%"))
    )
    assert step.startswith("Samples were not judged")


def test_a_line_is_named_in_a_table_and_not_in_an_image(subject, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,label\n" + "".join(f"{name},{label}\n" for name, label, *_ in ROWS))
    found = check(subject(ROWS, source=manifest), GateConfig(max_flagged=0))
    assert "\n- labels.csv:2: " in text.render(found)
    assert "file=labels.csv,line=2,endLine=2,title" in github.render(found)


def test_github_whole(outcome):
    assert github.render(outcome) == (
        "::error file=photos/emu/z.png,title=aumclean mislabeled::"
        "emu/z.png is labeled 'emu', looks like 'dog' (label score 0.050)\n"
        "::warning file=photos/cat/broken.png,title=aumclean unreadable::"
        "cat/broken.png cannot be read: truncated\n"
        "gate failed: 1 of 3 budgets exceeded\n"
        "ok: max-flagged: 4 of 6 (66.7%25), at most 90%25\n"
        "ok: max-unreadable: 1 of 7 (14.3%25), at most 1\n"
        "FAIL: max-new: 1 new suspect, at most 0\n"
    )
    assert github.outputs(outcome) == "passed=false\nsamples=6\nflagged=4\nnew=1\n"


def test_github_gets_only_commands_that_are_ours(hostile):
    commands = [line for line in github.render(hostile).splitlines() if line.lstrip().startswith("::")]
    pattern = r"::(error|warning) file=[^:,]*,title=[^:,]*::[^\r\n]*"
    assert all(re.fullmatch(pattern, line) for line in commands)
    assert len(commands) == len(hostile.findings) == 7
    assert "##[" not in github.render(hostile)


def test_github_gets_ten_errors_and_ten_warnings_the_worst_first(many, subject):
    lines = github.render(many).splitlines()
    assert [line.split(" ")[0] for line in lines[:11]] == ["::error"] * 10 + ["gate"]
    assert "image-0000000" in lines[0]
    assert lines[-1] == "25,490 more findings are in the report"
    passing = check(subject([(f"i{n}", "cat", True, 0.1) for n in range(30)]), GateConfig(max_flagged=30))
    assert github.render(passing).count("::warning ") == 10


def test_gitlab_whole(outcome):
    entries = json.loads(gitlab.render(outcome))
    assert entries[0] == {
        "description": "emu/z.png is labeled 'emu', looks like 'dog' (label score 0.050)",
        "check_name": "aumclean/mislabeled",
        "fingerprint": fingerprints(outcome.findings)[0],
        "severity": "major",
        "location": {"path": "photos/emu/z.png", "lines": {"begin": 1}},
    }
    assert [entry["severity"] for entry in entries] == ["major", "minor", "info", "info", "info"]


def valid_sarif(rendered):
    log = json.loads(rendered)
    jsonschema.Draft4Validator(json.loads(SARIF_SCHEMA.read_text())).validate(log)
    return log["runs"][0]


def test_sarif_is_what_github_code_scanning_asks_for(outcome):
    run = valid_sarif(sarif.render(outcome))
    for rule in run["tool"]["driver"]["rules"]:
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
        assert all(step in rule["help"]["markdown"] for step in STEPS)
    first = run["results"][0]
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "photos/emu/z.png"},
        "region": {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2},
    }
    assert first["partialFingerprints"] == {"primaryLocationLineHash": fingerprints(outcome.findings)[0][:16] + ":1"}
    states = [(result["level"], result.get("baselineState")) for result in run["results"]]
    assert states == [("error", "new"), ("warning", None), *[("note", "unchanged")] * 3]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_points_at_the_row_of_a_manifest(subject, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest = tmp_path / "labels and more.csv"
    manifest.write_text("path,label\n" + "".join(f"{name},{label}\n" for name, label, *_ in ROWS))
    run = valid_sarif(sarif.render(check(subject(ROWS, source=manifest), GateConfig(max_flagged=0))))
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert [place["region"]["startLine"] for place in places] == [2, 5, 3]
    assert {place["artifactLocation"]["uri"] for place in places} == {"labels%20and%20more.csv"}


def test_sarif_of_hostile_names_is_valid(hostile):
    assert len(valid_sarif(sarif.render(hostile))["results"]) == len(hostile.findings)


def test_sarif_stays_within_what_github_takes(many):
    rendered = sarif.render(many)
    (run,) = json.loads(rendered)["runs"]  # their form is that of the tests above
    assert len(run["results"]) == 25_000
    assert "500 less suspect findings" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    assert len(gzip.compress(rendered.encode())) < 10 * 2**20


@pytest.mark.skipif(shutil.which("sarif-multitool") is None, reason="Microsoft's sarif-multitool is not installed")
def test_sarif_passes_the_rules_of_its_makers(outcome, tmp_path):
    (tmp_path / "gate.sarif").write_text(sarif.render(outcome))
    command = ["sarif-multitool", "validate", str(tmp_path / "gate.sarif"), "--rule-kind", "Sarif;Gh"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert ": error " not in said, said


def test_junit_has_a_case_per_budget(outcome):
    suites = JUnitXml.fromstring(junit.render(outcome).encode())
    assert (suites.tests, suites.failures) == (3, 1)
    cases = {case.name: [result.message for result in case.result] for suite in suites for case in suite}
    assert cases == {"max-flagged": [], "max-unreadable": [], "max-new": ["1 new suspect, at most 0"]}


def test_junit_of_hostile_names_is_well_formed(hostile):
    failures = ET.fromstring(junit.render(hostile)).findall(".//failure")
    assert len(failures) == 2
    assert "<b onclick=1>" in failures[0].text


def test_json_holds_everything(outcome):
    document = json.loads(as_json.render(outcome))
    assert document["passed"] is False
    assert [check["name"] for check in document["checks"]] == ["max-flagged", "max-unreadable", "max-new"]
    lines = [json.loads(line) for line in as_json.render_lines(outcome).splitlines()]
    assert document["findings"] == lines
    assert len(lines) == 5


def test_markdown_whole(outcome):
    assert markdown.render(outcome) == (
        "<!-- aumclean:gate -->\n\n"
        "## Label quality: gate failed: 1 of 3 budgets exceeded\n\n"
        "|  | budget | measured | allowed |\n| --- | --- | --- | --- |\n"
        "| ok | max-flagged | 4 of 6 (66.7%) | at most 90% |\n"
        "| ok | max-unreadable | 1 of 7 (14.3%) | at most 1 |\n"
        "| FAIL | max-new | 1 new suspect | at most 0 |\n\n"
        "<details open><summary>All 2</summary>\n\n"
        "| path | label | looks like | label score | why |\n| --- | --- | --- | --- | --- |\n"
        "| emu/z.png | emu | dog | 0.050 | mislabeled |\n"
        "| cat/broken.png |  |  |  | unreadable |\n\n</details>\n\n"
        "> 3 suspects known to the baseline\n\n"
        "**What next**\n\n" + "\n".join(f"1. {cell(step)}" for step in next_steps(outcome)) + "\n"
    )
    assert "in one picture" in markdown.render(outcome, "The worst are in one picture.").split("<details")[0]


def test_markdown_fits_a_comment_whatever_the_names(subject, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [(f"{number}" + "&" * 3000, "<" * 3000, True, 0.1) for number in range(100)]
    rendered = markdown.render(check(subject(rows), GateConfig(max_flagged=0)))
    assert len(rendered) < 65_536
    assert rendered.startswith("<!-- aumclean:gate -->\n")


def test_fingerprints_outlive_a_renamed_file_and_tell_copies_apart(subject):
    def names(rows):
        found = check(subject(rows), GateConfig(max_flagged=0)).findings
        return dict(zip([finding.path for finding in found], fingerprints(found), strict=True))

    first = names(ROWS)
    copies = names([*ROWS, ("a", "cat", True, 0.2)])
    assert len(set(copies.values())) == len(copies) or len(copies) == len(first)
    assert set(first.values()) <= set(names(ROWS[::-1]).values())
