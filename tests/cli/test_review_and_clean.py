import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest

from aumclean.decisions.journal import Decision, Journal


@pytest.fixture
def filled_in(own_run, tmp_path):
    """A report.csv in which a person kept the first suspect and relabeled the second, saved elsewhere."""
    frame = pd.read_csv(own_run.report("csv"), dtype=str, keep_default_na=False)
    frame.loc[0, ["decision", "reviewer"]] = ["keep", "ann"]
    frame.loc[1, ["decision", "new_label", "reviewer"]] = ["relabel", frame.loc[1, "suggested_label"], "ann"]
    frame.to_csv(tmp_path / "filled.csv", index=False, sep=";")
    return tmp_path / "filled.csv"


def labels_in(file):
    frame = pd.read_csv(file)
    return dict(zip(frame["path"], frame["label"], strict=True))


def test_clean_without_decisions_drops_what_is_flagged(aumclean, own_run, finished):
    done = aumclean("clean", own_run.path)
    assert (done.code, done.out) == (0, f"{own_run.cleaned('csv')}\n")
    flagged = finished.verdict.summary.flagged
    assert f"{360 - flagged} of 360 images stay; {flagged} removed (0 by reviewers)" in done.err
    assert own_run.cleaned("csv").read_bytes() == finished.run.cleaned("csv").read_bytes()


def test_clean_names_the_root_of_data_that_were_moved(aumclean, own_run, finished):
    done = aumclean("clean", own_run.path, "--data", finished.root)
    assert f"aumclean scan {own_run.cleaned('csv')} --root {finished.root}\n" in done.err


def test_decisions_of_a_spreadsheet_reach_the_manifest_and_the_next_scan(aumclean, own_run, filled_in, tmp_path):
    report = pd.read_csv(filled_in, sep=";")
    out = tmp_path / "clean.csv"
    done = aumclean("clean", own_run.path, "--decisions", filled_in, "-o", out, "--policy", "relabel")
    assert done.code == 0, done.err
    root = own_run.read().data.root
    assert f"aumclean scan {out} --root {root}" in done.err
    found = labels_in(out)
    assert found[report["path"][0]] == report["label"][0]
    assert found[report["path"][1]] == report["suggested_label"][1]
    changes = pd.read_csv(tmp_path / "clean.changes.csv")
    assert set(changes["reviewer"].dropna()) == {"ann"}
    again = aumclean("scan", out, "--root", root, "--dry-run")
    assert again.code == 0, again.err
    assert not own_run.decisions.exists()  # used once, not taken in


@pytest.mark.parametrize("command", ["clean", "review"])
def test_nothing_is_applied_when_a_row_cannot_be_used_unless_asked(aumclean, own_run, filled_in, tmp_path, command):
    with filled_in.open("a") as file:
        file.write("1;2;too short\n")
    text = filled_in.read_text().replace(";keep;", ";kepe;")
    filled_in.write_text(text)
    before = {path: path.read_bytes() for path in own_run.path.iterdir() if path.is_file()}
    option = "--decisions" if command == "clean" else "--import"
    done = aumclean(command, own_run.path, option, filled_in)
    assert done.code == 2
    *listed, last = done.err.splitlines()
    (problem,) = listed
    assert problem.startswith("aumclean: warning: filled.csv: line 2: 'kepe' is no decision")
    assert last.startswith("aumclean: error: 1 decision cannot be used (above), so nothing was ")
    assert {
        path: path.read_bytes() for path in own_run.path.iterdir() if path.name in {p.name for p in before}
    } == before
    done = aumclean(command, own_run.path, option, filled_in, "--partial")
    assert done.code == 0
    if command == "review":
        ((_, entry),) = Journal(own_run.decisions).current()
        assert entry.decision == "relabel"


def test_decisions_go_in_and_out_of_a_run(aumclean, own_run, filled_in, tmp_path):
    assert "2 decisions taken in" in aumclean("review", own_run.path, "--import", filled_in).err
    assert "0 decisions taken in; 2 left out" in aumclean("review", own_run.path, "--import", filled_in).err
    assert aumclean("review", own_run.path, "--export", tmp_path / "decisions.csv").code == 0
    header, *rows = (tmp_path / "decisions.csv").read_text().splitlines()
    assert header == '"sample_id","content_hash","path","decision","new_label","reviewer","time","note"'
    assert len(rows) == 2
    done = aumclean("report", own_run.path)
    assert done.out.count('"ann"') == 2
    assert aumclean("clean", own_run.path, "--decisions", tmp_path / "decisions.csv").code == 0


def test_contradicting_reviewers_stop_clean(aumclean, own_run, filled_in):
    aumclean("review", own_run.path, "--import", filled_in)
    row = pq.read_table(own_run.report("parquet")).to_pylist()[0]
    entry = {name: row[name] for name in ("sample_id", "content_hash", "path", "label")}
    about = {"id": "x" * 8, "decision": "remove", "new_label": None, "reviewer": "bob", "time": "t", "note": None}
    Journal(own_run.decisions).append([Decision(**entry, **about)])
    done = aumclean("clean", own_run.path)
    assert done.code == 2
    assert f"contradictory on {row['path']} (ann: keep; bob: remove)" in done.err
    assert aumclean("clean", own_run.path, "--partial").code == 0
    assert row["path"] not in labels_in(own_run.cleaned("csv"))  # left to the policy


def test_scan_does_not_overwrite_a_run_with_decisions(aumclean, own_run, filled_in, folder):
    aumclean("review", own_run.path, "--import", filled_in)
    before = {path.name for path in own_run.path.iterdir()}
    done = aumclean("scan", folder, "--out", own_run.path, "--overwrite", "--epochs", "1")
    assert done.code == 2
    assert "decisions.jsonl: holds 2 decisions of reviewers" in done.err
    assert {path.name for path in own_run.path.iterdir()} == before


def test_what_was_confirmed_stays_silent_in_the_next_scan(aumclean, own_run, finished, filled_in, planted, tmp_path):
    shutil.copy(own_run.samples, tmp_path / "samples.parquet")
    ledger = tmp_path / "ledger.csv"
    aumclean("review", own_run.path, "--import", filled_in)
    done = aumclean("clean", own_run.path, "--ledger", ledger)
    assert "ledger.csv: 2 confirmed labels more" in done.err
    done = aumclean("scan", planted.root, "--out", tmp_path / "again", *planted.words, "--ledger", ledger)
    assert done.code == 0, done.err
    assert "1 more would be flagged, but reviewers confirmed their labels" in done.err
    old, new = (pd.read_csv(run / "report.csv").set_index("path") for run in (finished.run.path, tmp_path / "again"))
    kept = pd.read_csv(filled_in, sep=";")["path"][0]
    assert bool(old.loc[kept, "flagged"]) and not bool(new.loc[kept, "flagged"])
    assert new.loc[kept, "decision"] == "keep"
    assert (old["flagged"] != new.loc[old.index, "flagged"]).sum() == 1


def test_a_ledger_that_is_none_stops_the_scan_before_it_begins(aumclean, folder, tmp_path):
    (tmp_path / "l.csv").write_text("a,b\n1,2\n")
    done = aumclean("scan", folder, "--out", tmp_path / "run", "--ledger", tmp_path / "l.csv")
    assert done.code == 2
    assert "l.csv: has no column 'content_hash'" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["clean", "RUN", "-o", "x.xlsx"], r"--out: x.xlsx must end in .csv or .parquet"),
        (["clean", "RUN", "--decisions", "none.csv"], "none.csv: cannot be read"),
        (["clean", "RUN", "--copy-to", "RUN"], "exists and is not an empty folder"),
        (["review", "RUN", "--reviewer", "\x1b"], "--reviewer: needs a name"),
        (["review", "RUN", "--spot-check", "1"], "Invalid value for '--spot-check'"),
    ],
)
def test_bad_input_gets_one_clear_line(aumclean, own_run, monkeypatch, tmp_path, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = aumclean(*(own_run.path if word == "RUN" else word for word in arguments))
    assert done.code == 2
    assert says in done.err.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
