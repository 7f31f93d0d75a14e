import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.decisions import ledger
from aumclean.decisions.answers import SCHEMA
from aumclean.errors import DataError, OutputError
from aumclean.verdict.judge import judge


def decided(run, **by_sample):
    samples = pq.read_table(run.samples).to_pylist()
    rows = []
    for name, what in by_sample.items():
        one = samples[int(name[1:])]
        rows.append(
            {**{key: one[key] for key in ("sample_id", "content_hash", "path")}, "decision": what.split()[0],
             "new_label": ([*what.split(), None])[1], "reviewer": "ann", "time": "t"}
        )  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def pairs(file):
    return {(row["content_hash"], row["label"]) for row in ledger.read(file).to_pylist()}


def test_the_ledger_holds_what_was_kept_and_what_was_relabeled_to(finished, tmp_path):
    run, file = finished.run, tmp_path / "sub" / "ledger.csv"
    one, two, three, four = pq.read_table(run.samples).to_pylist()[:4]
    assert ledger.add(file, run, decided(run, s0="keep", s1="relabel =new", s2="remove", s3="unsure")) == 2
    assert pairs(file) == {(one["content_hash"], one["label"]), (two["content_hash"], "=new")}
    before = file.read_bytes()
    assert ledger.add(file, run, decided(run, s0="keep")) == 0
    assert file.read_bytes() == before
    assert ledger.add(file, run, decided(run, s3="keep", s0="remove")) == 1
    assert pairs(file) == {(two["content_hash"], "=new"), (four["content_hash"], four["label"])}
    assert {path.name for path in file.parent.iterdir()} - {"ledger.csv"} <= {".ledger.csv.lock"}
    assert three


def test_a_file_that_is_no_ledger_is_refused_and_left(finished, tmp_path):
    file = tmp_path / "ledger.csv"
    for content in ("path,label\nx,y\n", "content_hash,label\nabc,\n"):
        file.write_text(content)
        with pytest.raises(DataError, match=r"ledger\.csv: "):
            ledger.add(file, finished.run, decided(finished.run, s0="keep"))
        assert file.read_text() == content


def test_a_ledger_that_cannot_be_written_is_named(finished, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / ".ledger.csv.lock").mkdir()
    for place in ("file/ledger.csv", "ledger.csv"):
        with pytest.raises(OutputError, match=rf"{place}: cannot be written \(.*\); choose another --ledger"):
            ledger.add(tmp_path / place, finished.run, decided(finished.run, s0="keep"))


def test_confirmed_labels_are_not_flagged_but_counted(own_run, finished, tmp_path):
    flagged = [row for row in finished.verdict.report.to_pylist() if row["flagged"]]
    first, second = flagged[:2]
    unflagged = next(row for row in finished.verdict.report.to_pylist() if row["flagged"] is False)
    ids = {f"s{row['sample_id']}": "keep" for row in (first, unflagged)}
    ledger.add(tmp_path / "l.csv", own_run, decided(own_run, **ids, **{f"s{second['sample_id']}": "relabel other"}))
    ledger.write_silenced(own_run, tmp_path / "l.csv")
    verdict = judge(own_run)
    report = {row["sample_id"]: row for row in verdict.report.to_pylist()}
    shown = report[first["sample_id"]]
    assert (shown["flagged"], shown["decision"], shown["reviewer"]) == (False, "keep", "ann")
    assert shown["note"] == "confirmed before this scan"
    assert report[second["sample_id"]]["flagged"]  # another label was confirmed
    assert verdict.summary.silenced == 1
    assert verdict.summary.flagged == finished.verdict.summary.flagged - 1
    assert verdict.summary.flagged_digest != finished.verdict.summary.flagged_digest
    changed = {"flagged", "reason", "decision", "reviewer", "note"}
    assert verdict.report.drop_columns(changed).equals(finished.verdict.report.drop_columns(changed))


def test_a_resumed_scan_keeps_what_it_noted_at_first(own_run, tmp_path):
    ledger.write_silenced(own_run, tmp_path / "none-yet.csv")
    ledger.add(tmp_path / "l.csv", own_run, decided(own_run, s0="keep"))
    ledger.write_silenced(own_run, tmp_path / "l.csv")
    assert len(pq.read_table(own_run.silenced)) == 0
