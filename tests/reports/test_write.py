import logging

import pandas as pd
import pytest

from aumclean.decisions import recorded as decisions
from aumclean.decisions.clean import read_changes, restore
from aumclean.decisions.cleaned import input_blocks
from aumclean.decisions.journal import Decision, Journal
from aumclean.errors import DataError
from aumclean.reports.write import write_reports


def decide(run, row, decision, new_label=None, reviewer="ann"):
    entry = {name: row[name] for name in ("sample_id", "content_hash", "path", "label")}
    about = {"decision": decision, "new_label": new_label, "reviewer": reviewer, "time": "t", "note": None}
    Journal(run.decisions).append([Decision(id=f"{row['sample_id']:08d}{reviewer}", **entry, **about)])


def test_reports_written_anew_follow_the_decisions_and_lose_none(own_run, finished):
    first, second = [row for row in finished.verdict.report.to_pylist() if row["flagged"]][:2]
    decide(own_run, first, "keep")
    decide(own_run, second, "relabel", next(name for name in ("amber", "blue", "green") if name != second["label"]))
    journal = own_run.decisions.read_bytes()
    write_reports(own_run, finished.verdict)
    cleaned = pd.read_csv(own_run.cleaned("csv"))
    assert first["path"] in set(cleaned["path"])
    assert set(cleaned.loc[cleaned["path"] == second["path"], "label"]) != {second["label"]}
    removed = set(pd.read_csv(own_run.removed)["path"])
    assert removed == {row["path"] for row in finished.verdict.report.to_pylist() if row["flagged"]} - {
        first["path"], second["path"]
    }  # fmt: skip
    assert pd.read_csv(own_run.report("csv"))["decision"].count() == 2
    assert own_run.decisions.read_bytes() == journal


def test_the_scan_s_own_changes_give_the_input_back(finished):
    import pyarrow as pa
    import pyarrow.parquet as pq

    cleaned = pq.read_table(finished.run.cleaned("parquet"))
    given = pa.concat_tables(input_blocks(finished.run))
    assert restore(cleaned, read_changes(finished.run.changes), "label").equals(given)


@pytest.mark.parametrize("edit", ["decision", "new_label", "nonsense"])
def test_a_report_filled_in_by_hand_is_kept_beside(own_run, finished, caplog, edit):
    assert decisions.filled_by_hand(own_run) == 0
    file = own_run.report("csv")
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    frame.loc[0, edit if edit != "nonsense" else "decision"] = "keep"
    file.write_text(frame.to_csv(index=False) if edit != "nonsense" else "nonsense")
    by_hand = file.read_bytes()
    assert decisions.filled_by_hand(own_run) == 1
    with pytest.raises(DataError, match="holds 1 decisions of reviewers; choose another --out"):
        decisions.require_none(own_run)
    with caplog.at_level(logging.WARNING):
        logging.getLogger("aumclean").propagate = True
        write_reports(own_run, finished.verdict)
    assert (own_run.path / "report-filled-in-1.csv").read_bytes() == by_hand
    assert "report-filled-in-1.csv" in caplog.text
    assert decisions.filled_by_hand(own_run) == 0


def test_what_the_journal_knows_was_not_filled_in_by_hand(own_run, finished):
    decide(own_run, finished.verdict.report.to_pylist()[0], "keep")
    write_reports(own_run, finished.verdict)
    write_reports(own_run, finished.verdict)
    assert not list(own_run.path.glob("report-filled-in*"))
    with pytest.raises(DataError, match=r"decisions\.jsonl: holds 1 decisions"):
        decisions.require_none(own_run)
