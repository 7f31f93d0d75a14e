import csv as standard_csv
import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.files import csv, parquet
from aumclean.reports import json as json_report
from aumclean.reports import markdown
from aumclean.reports.write import removed
from aumclean.run.directory import Run
from aumclean.run.record import Settings
from aumclean.verdict.judge import Verdict
from aumclean.verdict.summary import Summary

HOSTILE = ["=1+1", "+x", "-y", "@z", "\ttab", "plain", "a,b", 'quo"te', "line\nbreak", "<b>&", "|pipe|", "`x`", "ünï"]


def verdict(labels):
    n = len(labels)
    report = pa.table(
        {
            "rank": range(1, n + 1),
            "sample_id": range(n),
            "path": [f"{label}/{i}.png" for i, label in enumerate(labels)],
            "label": labels,
            "suggested_label": ["other"] * n,
            "flagged": pa.array([i % 2 == 0 for i in range(n - 1)] + [None], pa.bool_()),
            "aum": [-1.5] * n,
            "threshold": [0.25] * n,
            "label_score": pa.array([i / n for i in range(n - 1)] + [None], pa.float64()),
            "conflict": [False] * n,
            "wrong_probability": pa.array([1 - i / n for i in range(n - 1)] + [None], pa.float64()),
            "reason": pa.array(["too low" if i % 2 == 0 else None for i in range(n - 1)] + [None], pa.string()),
        }
    )
    known = {"samples": 1, "judged": True, "flagged": 1, "flagged_share": 1.0, "low": 0.2, "high": 1.0}
    draw = {
        "draw": 0,
        "threshold": 0.25,
        "low": 0.2,
        "high": 0.3,
        "indicator_samples": 9,
        "epochs": 9,
        "memorised": 0.1,
    }
    share = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    summary = Summary(
        samples=n, unreadable=0, classes=n, judged=n, not_judged=0, flagged=n // 2, flagged_share=0.5, conflicts=0,
        flagged_digest="ab12" * 4, noise_rate=share, flags={"recall": share, "precision": share}, thresholds=[draw],
        repeat_deviation=0.1, settings={**asdict(Settings(99, "mean", 2)), "epochs": 9, "draws": 2},
        per_class=[{"label": label, **known} for label in labels], per_pair=[],
        warnings=[{"code": "small-class", "message": "not judged: '<script>'"}],
    )  # fmt: skip
    return Verdict(report, summary, Settings(99, "mean", 2), Run(Path("nowhere")))


def test_csv_keeps_every_value_and_no_cell_is_a_formula():
    rows = list(standard_csv.DictReader(io.StringIO(csv.to_csv(csv.guarded(verdict(HOSTILE).report)), newline="")))
    assert [row["label"].removeprefix("'") for row in rows] == HOSTILE
    assert not [
        cell for row in rows for name, cell in row.items() if name in {"path", "label"} and cell[0] in "=+-@\t\r"
    ]
    assert rows[0]["aum"] == "-1.5"  # numbers are left alone
    assert rows[-1]["flagged"] == ""


def test_parquet_is_the_report_with_its_types():
    one = verdict(HOSTILE)
    assert pq.read_table(io.BytesIO(parquet.to_parquet(one.report))).equals(one.report)


def test_json_holds_summary_and_findings():
    document = json.loads(json_report.render(verdict(HOSTILE)))
    assert document["schema_version"] == 1
    assert document["tool"]["name"] == "aumclean"
    assert [finding["label"] for finding in document["findings"]] == HOSTILE[:-1:2]


def test_json_lines_hold_every_sample():
    rows = [json.loads(line) for line in json_report.lines(verdict(HOSTILE).report)]
    assert [row["label"] for row in rows] == HOSTILE
    assert rows[-1]["flagged"] is None


def test_markdown_escapes_names_and_keeps_tables_whole():
    text = markdown.render(verdict(HOSTILE))
    assert text.startswith(markdown.MARKER)
    assert "<script>" not in text
    assert "&lt;b&gt;&amp;" in text
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    for line in tables:
        bars = line.replace("\\|", "").count("|")
        assert bars in {3, 4, 5, 6}
    assert "| \\|pipe\\| |" in text


def test_markdown_whole():
    assert markdown.render(verdict(["cat", "dog"])) == (
        "<!-- aumclean:report -->\n\n"
        "## Label quality\n\n"
        "|  |  |\n| --- | --- |\n"
        "| samples | 2 |\n| unreadable | 0 |\n| flagged | 1 (50.0%) |\n"
        "| estimated noise rate | about 50.0% (95% interval 40.0% to 60.0%) |\n"
        "| estimated recall of the flags | 50% |\n| estimated precision of the flags | 50% |\n"
        "| same image, different labels | 0 |\n| flagged set | `ab12ab12ab12ab12` |\n\n"
        "> **small-class**: not judged: '&lt;script&gt;'\n\n"
        "### Classes\n\n"
        "| class | samples | flagged | share |\n| --- | --- | --- | --- |\n"
        "| cat | 1 | 1 | 100.0% |\n| dog | 1 | 1 | 100.0% |\n\n"
        "<details><summary>The 1 most suspect of 1</summary>\n\n"
        "| rank | path | label | suggested label | wrong |\n| --- | --- | --- | --- | --- |\n"
        "| 1 | cat/0.png | cat | other | over 99.9% |\n\n"
        "</details>\n"
    )


def test_what_is_not_judged_stays_and_what_goes_has_a_reason():
    report = verdict(["a", "b", "c"]).report
    assert removed(report, kept=np.array([0, 1, 2])).to_pylist() == []
    (row,) = removed(report, kept=np.array([1, 2])).to_pylist()
    assert (row["sample_id"], row["reason"]) == (0, "too low")
