import io
import random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.decisions.answers import SCHEMA
from aumclean.decisions.join import join
from aumclean.decisions.journal import Decision, Journal
from aumclean.decisions.read import read, read_csv, to_csv
from aumclean.decisions.recorded import kept_pairs, of_run, take_in, with_decisions
from aumclean.errors import DataError
from aumclean.files import csv


def samples(run):
    return pq.read_table(run.samples).to_pylist()


def other(label):
    return "blue" if label != "blue" else "green"


def some(run):
    """Three decisions on samples 3, 30 and 300: the rows of a decisions table."""
    rows = []
    for sample, decision in ((3, "keep"), (30, "relabel"), (300, "remove")):
        one = samples(run)[sample]
        new_label = other(one["label"]) if decision == "relabel" else None
        about = {"reviewer": "ann", "time": "2026-01-02T03:04:05+00:00", "note": f"=note {sample}"}
        rows.append(
            {**{name: one[name] for name in ("sample_id", "content_hash", "path")}, "decision": decision,
             "new_label": new_label, **about}
        )  # fmt: skip
    return rows


def table(rows):
    return pa.Table.from_pylist(rows, SCHEMA)


def join_csv(text, run):
    content = text if isinstance(text, bytes) else text.encode()
    return join([read_csv(content, "d.csv")], run)


def test_decisions_csv_comes_back_as_it_was(finished):
    rows = some(finished.run)
    joined = join_csv(to_csv(table(rows)), finished.run)
    assert joined.decided.to_pylist() == rows
    assert joined.voices.to_pylist() == rows
    assert joined.problems == ()


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("renamed", [False, True])
def test_order_and_names_of_files_do_not_matter(finished, order, renamed):
    rows = some(finished.run)
    shuffled = random.Random(order).sample(rows, 3)
    if renamed:
        shuffled = [{**row, "path": f"elsewhere/{number}.png"} for number, row in enumerate(shuffled)]
    assert join([table(shuffled)], finished.run).decided.to_pylist() == rows


def test_after_a_new_scan_the_content_decides(finished):
    rows = [{**row, "sample_id": row["sample_id"] + 1} for row in some(finished.run)]
    assert join([table(rows)], finished.run).decided.to_pylist() == some(finished.run)
    rows = [{**row, "sample_id": None} for row in some(finished.run)]
    assert join([table(rows)], finished.run).decided.to_pylist() == some(finished.run)


def test_of_identical_files_the_id_or_else_the_path_says_which(own_run):
    everything = samples(own_run)
    for row in everything[:2]:
        row["content_hash"] = "same"
    pq.write_table(pa.Table.from_pylist(everything, pq.read_schema(own_run.samples)), own_run.samples)
    row = {"content_hash": "same", "decision": "keep", "reviewer": "ann"}
    for about in ({"sample_id": 1}, {"path": everything[1]["path"]}, {"sample_id": 9, "path": everything[1]["path"]}):
        (found,) = join([table([{**row, **about}])], own_run).decided.to_pylist()
        assert found["sample_id"] == 1
    (problem,) = join([table([row])], own_run).problems
    assert problem == "entry 1: unclear: 2 images of the run are this file, and neither sample_id nor path says which"


@pytest.mark.parametrize("kind", ["excel", "libreoffice", "pandas"])
def test_a_report_filled_in_by_hand_is_read_whatever_the_spreadsheet_did_to_it(finished, kind):
    frame = pd.read_csv(finished.run.report("csv"), dtype=str, keep_default_na=False)
    frame.loc[4, ["decision", "new_label", "reviewer"]] = ["Relabel ", other(frame.loc[4, "label"]), "ann"]
    frame.loc[2, "decision"] = "KEEP"
    frame.loc[7, "new_label"] = other(frame.loc[7, "label"])
    frame["flagged"] = frame["flagged"].str.upper()
    frame = frame.sort_values("path")
    if kind == "pandas":
        frame["sample_id"] = frame["sample_id"].astype(float)
    separator, end = (";", "\r\n") if kind == "excel" else (",", "\n")
    text = frame.to_csv(index=False, sep=separator, lineterminator=end)
    joined = join_csv((b"\xef\xbb\xbf" if kind == "excel" else b"") + text.encode(), finished.run)
    assert joined.problems == ()
    found = {row["sample_id"]: (row["decision"], row["new_label"]) for row in joined.decided.to_pylist()}
    assert found == {
        int(frame.loc[2, "sample_id"]): ("keep", None),
        int(frame.loc[4, "sample_id"]): ("relabel", other(frame.loc[4, "label"])),
        int(frame.loc[7, "sample_id"]): ("relabel", other(frame.loc[7, "label"])),
    }


def test_every_row_that_cannot_be_used_is_listed_with_its_line_and_the_others_are_used(finished):
    one, two, three, four = samples(finished.run)[:4]
    ours, theirs = one["label"], other(one["label"])
    lines = [
        "sample_id,content_hash,label,decision,new_label,reviewer",
        f"0,{one['content_hash']},,keep,,ann",
        f"1,{'0' * 64},,keep,,ann",
        f"2,{three['content_hash']},,kep,,ann",
        f"2,{three['content_hash']},,relabel,,ann",
        f"2,{three['content_hash']},,relabel,blu,ann",
        f"2,{three['content_hash']},,relabel,{three['label']},ann",
        f"2,{three['content_hash']},,keep,{other(three['label'])},ann",
        f"two,{three['content_hash']},,keep,,ann",
        "2,,,keep,,ann",
        f"2,{three['content_hash']},{other(three['label'])},keep,,ann",
        f"2,{three['content_hash']},,keep,,ann,more",
        f"0,{one['content_hash']},,keep,,ann",
        f"1,{two['content_hash']},,keep,,ann",
        f"1,{two['content_hash']},,remove,,ann",
        f"3,{four['content_hash']},,contradictory,,ann",
        f"4,{samples(finished.run)[4]['content_hash']},,,,ann",
    ]
    joined = join_csv("\n".join(lines), finished.run)
    assert [row["sample_id"] for row in joined.decided.to_pylist()] == [0]
    assert (ours, theirs) == (one["label"], other(ours))
    assert sorted(joined.problems) == sorted(
        [
            f"d.csv: line 3: unknown: no image of the run has the content_hash {'0' * 12}",
            "d.csv: line 4: 'kep' is no decision (keep, relabel, remove, unsure); did you mean 'keep'?",
            "d.csv: line 5: relabel needs a new_label",
            "d.csv: line 6: 'blu' is no class of the run; did you mean 'blue'?",
            f"d.csv: line 7: relabels to '{three['label']}', the label it has; write keep",
            "d.csv: line 8: contradictory: keep, with a new_label",
            "d.csv: line 9: sample_id 'two' is no number",
            "d.csv: line 10: has no content_hash",
            f"d.csv: line 11: was decided on the label '{other(three['label'])}', but the run has '{three['label']}'",
            "d.csv: line 12: has 1 cells more than the header",
            "d.csv: line 13: duplicate of d.csv: line 2",
            f"d.csv: line 14 and d.csv: line 15: contradictory on {two['path']} (ann: keep; ann: remove)",
            "d.csv: line 16: reviewers disagree on it; write one decision",
        ]
    )


def test_reviewers_who_agree_are_named_together_and_the_unsure_leave_it_to_them(finished):
    row = some(finished.run)[0]
    rows = [
        {**row, "note": "sharp", "time": "2026-01-01"},
        {**row, "reviewer": "bob", "note": None, "time": "2026-01-03"},
        {**row, "reviewer": "cid", "decision": "unsure", "note": "too dark"},
    ]
    joined = join([table(rows)], finished.run)
    (together,) = joined.decided.to_pylist()
    assert together == {**row, "reviewer": "ann, bob", "note": "sharp", "time": "2026-01-03"}
    assert len(joined.voices) == 3
    assert joined.problems == ()


def test_reviewers_who_disagree_decide_nothing_and_are_shown(finished):
    row = some(finished.run)[1]
    rows = [row, {**row, "reviewer": "bob", "decision": "keep", "new_label": None}]
    joined = join([table(rows)], finished.run)
    said = f"ann: relabel to '{row['new_label']}'; bob: keep"
    assert joined.problems == (f"entry 1 and entry 2: contradictory on {row['path']} ({said})",)
    assert len(joined.decided) == len(joined.voices) == 0
    (shown,) = joined.contradictory.to_pylist()
    assert (shown["decision"], shown["reviewer"], shown["note"]) == ("contradictory", "ann, bob", said)


def test_files_that_cannot_be_read_are_named(tmp_path):
    for name, says in (("none.csv", "no such file"), ("x.docx", r"decisions are read from \.csv")):
        if name == "x.docx":
            (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(DataError, match=rf"{name}: .*{says}"):
            read(tmp_path / name)


def decide(run, rows):
    labels = [one["label"] for one in samples(run)]
    Journal(run.decisions).append(
        [Decision(id=f"{number:08d}{row['reviewer']}", label=labels[row["sample_id"]], **row)
         for number, row in enumerate(rows)]
    )  # fmt: skip


def test_the_report_shows_what_the_run_s_reviewers_decided(own_run, finished):
    rows = some(own_run)
    decide(own_run, [*rows, {**rows[0], "reviewer": "bob", "decision": "remove"}])
    report = with_decisions(finished.verdict, own_run).report
    assert report.drop_columns(["decision", "new_label", "reviewer", "note"]).equals(
        finished.verdict.report.drop_columns(["decision", "new_label", "reviewer", "note"])
    )
    filled = {row["sample_id"]: row for row in report.to_pylist() if row["decision"]}
    assert {sample: row["decision"] for sample, row in filled.items()} == {
        3: "contradictory", 30: "relabel", 300: "remove"
    }  # fmt: skip
    assert filled[30]["new_label"] == rows[1]["new_label"]
    assert filled[3]["note"] == "ann: keep; bob: remove"
    written = csv.to_csv(csv.guarded(report))
    assert "'=note 30" in written
    assert pd.read_csv(io.StringIO(written))["decision"].count() == 3


def test_kept_pairs_are_the_contents_and_labels_somebody_kept(own_run):
    assert kept_pairs(own_run) == set()
    decide(own_run, some(own_run))
    assert kept_pairs(own_run) == {(samples(own_run)[3]["content_hash"], samples(own_run)[3]["label"])}


def test_taking_in_adds_what_is_new_and_nothing_twice_or_older(own_run):
    rows = some(own_run)
    voices = join([table(rows)], own_run).voices
    assert take_in(own_run, voices, "somebody") == 3
    assert take_in(own_run, voices, "somebody") == 0
    older = [{**rows[0], "decision": "remove", "time": "2025-01-01"}]
    newer = [{**rows[1], "decision": "keep", "new_label": None, "time": "2027-01-01"}]
    assert take_in(own_run, table(older), "somebody") == 0
    assert take_in(own_run, table(newer), "somebody") == 1
    assert take_in(own_run, table([{**rows[2], "reviewer": None, "time": None}]), "somebody") == 1
    of_cvat = {**rows[0], "decision": "unsure"}  # in the journal: 03:04:05 UTC
    assert take_in(own_run, table([{**of_cvat, "time": "2026-01-02 04:04:05.5+02:00"}]), "somebody") == 0
    assert take_in(own_run, table([{**of_cvat, "time": "2026-01-02 03:04:06.5+00:00"}]), "somebody") == 1
    assert take_in(own_run, table([{**rows[0], "time": "2026-01-02 03:04:07"}]), "somebody") == 1
    found = of_run(own_run).decided.to_pylist()
    assert [(row["decision"], row["reviewer"]) for row in found] == [
        ("keep", "ann"), ("keep", "ann"), ("remove", "ann, somebody")
    ]  # fmt: skip
