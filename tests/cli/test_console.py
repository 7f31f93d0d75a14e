"""What people see of names that strangers chose, and of long sentences."""

import logging
import re

import pytest

from aumclean.cli import console
from aumclean.cli.diagnostic import show_report
from aumclean.cli.evaluate import RANKING, show_measures
from aumclean.errors import counted

HOSTILE = [
    "::stop-commands::x",
    "::error file=a,line=1::x",
    "  ::warning::x",
    "a ::error::b",
    "a\n::error::b",
    "a\r::error::b",
    "a\u2028::error::b",
    "##[error]x",
    "a ##[group]b",
    "##vso[task.setvariable variable=PATH]x",
    "\x1b[2J::error::x",
    "[bold]::error::x",
]


@pytest.fixture(autouse=True)
def loud():
    console.set_up(quiet=False, verbose=False, debug=False)


def obeyed(text):
    """The lines that GitHub's runner or an Azure agent would take for commands."""
    return [
        line for line in re.split(r"\r\n|[\n\r]", text) if line.strip().startswith("::") or re.search(r"##\w*\[", line)
    ]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("columns", [12, 17, 20, 31, 80])
def test_no_line_begins_as_a_command_of_a_build_system(name, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    console.say(name)
    console.say(f"- {name}")
    console.show_error(name)
    logging.getLogger("aumclean").warning("%s", name)
    console.show(name, f"- because of {name} and {name} and so on", f"{'word ' * 3}{name}")
    rows = [(name, name, 1), ("word " * 5 + name, f"colon:{name}", 2)]
    console.show(console.table(name, (name, "label", "images"), rows, right={"images"}))
    console.show(console.table("", ("", ""), [(name, name), ("flagged", name)]))
    with console.progress() as track:
        list(track([range(10)], name, 0, 10))
    written = capsys.readouterr().err
    assert obeyed(written) == []
    assert "\x1b[2J" not in written
    assert len(written.splitlines()) > 12


def test_a_build_log_that_the_guard_lets_through_would_be_noticed():
    assert obeyed("fine\n  ::error::x\n") == ["  ::error::x"]
    assert obeyed("a ##[error]x") == ["a ##[error]x"]
    assert console.harmless("a::b\n::error::x\n") == "a::b\n: :error::x\n"


def test_names_are_shown_as_they_are_where_nothing_obeys_them(capsys):
    console.say("class std::vector of /data/a[b]/c#d")
    assert capsys.readouterr().err == "class std::vector of /data/a[b]/c#d\n"


def test_sentences_after_a_dash_hang_and_paths_are_never_broken(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = "/data/" + "very-long-name/" * 6 + "page.html"
    console.show("- " + "a sentence that is too long for one line " * 3 + path)
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith("- a sentence") and len(first) <= 80
    assert all(line.startswith("  ") and not line.startswith("   ") for line in others)
    assert path in others[-1]


def test_one_is_no_plural():
    assert [counted(number, "column") for number in (0, 1, 2, 1000)] == [
        "0 columns", "1 column", "2 columns", "1,000 columns",
    ]  # fmt: skip


def test_measures_have_words_in_tables(capsys):
    ranking = dict.fromkeys(RANKING, 0.5)
    counts = {"wrong": 1, "samples": 2, "noise_rate": 0.5, "flagged": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    rate = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    show_measures({**counts, "aum": ranking, "label_score": ranking, "estimated_noise_rate": rate})
    written = capsys.readouterr().err
    assert "_" not in written
    assert "F1 at the true" in written and "AUROC" in written and "label score" in written


def test_a_report_says_one_column_and_one_row(capsys, tmp_path, monkeypatch):
    from aumclean.diagnostics.report import Report, Table
    from aumclean.diagnostics.store import Store
    from aumclean.files.records import Record

    class Row(Record):
        name: str
        other_name: str
        third: str

    monkeypatch.setenv("COLUMNS", "40")
    long = "x" * 15
    rows = [Row(name=long, other_name=long, third=long)] * 31
    report = Report(title="t", lead="l", said=["fine"], tables=[Table("wide", "Wide", rows)])
    show_report(report, Store(tmp_path))
    written = capsys.readouterr().err
    assert "1 column more in" in written and "1 row more in" in written and "other name" in written
