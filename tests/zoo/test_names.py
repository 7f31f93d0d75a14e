"""Sixty names that would be commands, formulas, markup or terminal sequences if anything let them, in every output."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.errors import printable
from aumclean.files import csv, parquet
from aumclean.reports import FOLDERS

COMMANDS = [
    "::stop-commands::x", "::error file=a,line=1::x", "::add-mask::x", "::set-output name=a::b", " ::warning::x",
    "\t::group::x", "a\n::error::b", "a\r::error::b", "a\r\n::error::b", "a\u2028::error::b", "a\x85::error::b",
    "##[error]x", "a ##[group]b", "##vso[task.setvariable variable=PATH]x", "##vso[task.complete result=Failed;]",
    "\n##[command]x", "::::", "%0A::error::x", "%25", "GITHUB_OUTPUT=x\nflagged=0",
]  # fmt: skip
FORMULAS = [
    "=1+1", "+1", "-1+1", "@SUM(1)", "a;=1+1", "a\t=1+1", "a\n=1+1", "'=1", "\t=1", "\r=1", "=cmd|' /C calc'!A0",
    "\uff1d1+1", ";;=1", "a,=1", '"=1"', "'", "''", "b\n", " =1", "=HYPERLINK(\"http://x\";\"y\")",
]  # fmt: skip
MARKUP = [
    "<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>", "&lt;b&gt;", "{{ 7 * 7 }}", "{% raw %}",
    "|a|b|", "`x`", "[x](javascript:alert(1))", "@everyone", "<!-- -->", "]]>", "\\n", "\x1b[2J", "\x1b]0;x\x07",
    "\x9b2J", "a\u202eb", "\u200b", "\x7f", "x" * 3000, "a\u0301\U0001f9d1\u200d\U0001f33e",
]  # fmt: skip
NAMES = [*COMMANDS, *FORMULAS, *MARKUP]
TEXTS = ("csv", "json", "jsonl", "markdown", "html")
OF_GATE = ("text", "json", "jsonl", "github", "gitlab", "sarif", "junit", "markdown")
PAIRS = list(zip(NAMES[::2], NAMES[1::2], strict=True))


def obeyed(text):
    """The lines that a runner of GitHub or Azure would take for commands, our own annotations left out."""
    lines = re.split(r"\r\n|[\n\r]", text)
    own = re.compile(r"::(error|warning) file=[^:,\r\n]*(,line=\d+,endLine=\d+)?,title=aumclean [a-z-]+::[^\x00-\x1f]*")
    return [
        line
        for line in lines
        if (line.strip().startswith("::") and not own.fullmatch(line)) or re.search(r"##\w*\[", line)
    ]


def renamed(stored, folder, names):
    """The stored run as if its two classes had these names, and its images all sixty."""
    run = Path(shutil.copytree(stored / "run", folder / "run"))
    samples = pq.ParquetFile(run / "samples.parquet").read()
    old = dict(zip(("amber", "blue"), names, strict=True))
    count = len(samples)
    paths = [f"{NAMES[at]}{NAMES[(at + count) % len(NAMES)][:100]}{at}".replace("/", "|") for at in range(count)]
    labels = [old[label] for label in samples["label"].to_pylist()]
    for name, values in (("path", paths), ("label", labels)):
        samples = samples.set_column(samples.column_names.index(name), samples.field(name), pa.array(values))
    parquet.write(samples, run / "samples.parquet")
    record = json.loads((run / "run.json").read_text())
    record["data"] |= {"class_names": list(names), "name": names[0]}
    record["argv"] = ["aumclean", "scan", names[1]]
    (run / "run.json").write_text(json.dumps(record))
    unreadable = pa.table({"path": NAMES[:5], "reason": NAMES[5:10]})
    (run / "unreadable.csv").write_text(csv.to_csv(csv.guarded(unreadable)), newline="")
    return run, labels, paths


def strings(value):
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def check(format, text, labels, unobeyed=True):
    """What holds of a text in a format, whatever names are in it."""
    assert not unobeyed or obeyed(text) == [], format
    if format in {"json", "gitlab", "sarif"}:
        json.loads(text)
    elif format == "jsonl":
        assert {row["label"] for row in map(json.loads, text.splitlines()) if row.get("label")} <= set(labels)
    elif format in {"csv", "cleanlab"}:
        column = "label" if format == "csv" else "given_label"
        rows = [row for _, _, row in csv.read_rows(text.encode(), "x.csv", column)]
        assert sorted(row[column] for row in rows) == sorted(labels)
        for mark in ";\t":
            cells = [cell for line in re.split(r"[\r\n]", text) for cell in line.split(mark)]
            assert not [cell for cell in cells[1:] if cell[:1] in tuple("=+@\uff1d")]
    elif format == "junit":
        ET.fromstring(text)
    else:
        if format in {"html", "markdown"}:
            assert "<script>alert" not in text and "<img src=x" not in text
        assert printable(text.replace("\n", "")) == text.replace("\n", "")


@pytest.mark.parametrize(
    "names",
    [pytest.param(pair, marks=[pytest.mark.release] if at % 6 else []) for at, pair in enumerate(PAIRS)],
    ids=repr,
)
def test_no_output_of_any_command_obeys_or_loses_a_name(stored, aumclean, tmp_path, tally, names):
    run, labels, paths = renamed(stored, tmp_path, names)
    said = aumclean("report", run, "--save")
    assert said.code == 0, said.err
    assert set(pq.ParquetFile(run / "report.parquet").read()["path"].to_pylist()) == set(paths)
    for format in TEXTS:
        done = aumclean("report", run, "-f", format)
        assert done.code == 0, done.err
        check(format, done.out, labels)
    for format in sorted(FOLDERS):
        done = aumclean("report", run, "-f", format, "-o", tmp_path / format)
        assert done.code in {0, 2} and "internal error" not in done.err, done.err  # XML cannot hold every name
        assert obeyed(done.err) == []
        for file in (tmp_path / format).glob("*.xml"):
            ET.parse(file)
        for file in (tmp_path / format).glob("*.csv") if format == "cleanlab" else ():
            check(format, file.read_bytes().decode(), labels)  # whose line ends are data
    for format in OF_GATE:
        limits = ("--max-flagged", "0", "--max-class-flagged", "0", "--max-unreadable", "0")
        done = aumclean("gate", run, *limits, "-f", format)
        assert done.code == 1, done.err
        check(format, done.out, labels)
        assert obeyed(done.err) == []
    for words in (
        ("clean", run),
        ("review", run, "--export", tmp_path / "d.csv"),
        ("gate", run, "--write-baseline", tmp_path / "b.json"),
    ):
        done = aumclean(*words)
        assert done.code == 0 and obeyed(done.err) == [], done.err
        assert printable(done.err.replace("\n", "")) == done.err.replace("\n", "")
    tally("names in every output", "right")


def test_there_are_sixty_names_and_no_two_alike():
    assert len(NAMES) == len(set(NAMES)) == 60
