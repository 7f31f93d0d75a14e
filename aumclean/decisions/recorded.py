"""What reviewers decided in a run: in its journal, in files of theirs, and in its report.csv by hand."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from aumclean.decisions.answers import EXTENDED, outcome_of, rows_of
from aumclean.decisions.join import Decisions, join
from aumclean.decisions.journal import Decision, Journal, decided
from aumclean.decisions.read import read
from aumclean.errors import AumcleanError, DataError
from aumclean.files import parquet
from aumclean.run.directory import Run
from aumclean.run.tables import read_samples
from aumclean.verdict.judge import Verdict
from aumclean.verdict.table import FOR_THE_ANNOTATOR

Row = dict[str, Any]
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def of_run(run: Run) -> Decisions:
    """What reviewers decided in a run, from its journal."""
    return join([recorded(run)], run)


def recorded(run: Run) -> pa.Table:
    """The last decision of every reviewer on every sample of a run."""
    rows = [
        {**entry.model_dump(), "where": f"{run.decisions.name}: line {line}", "unreadable": None}
        for line, entry in Journal(run.decisions).current()
    ]
    return pa.Table.from_pylist(rows, EXTENDED)


def of_files(files: Iterable[Path], run: Run) -> Decisions:
    """Decisions from files, joined to a run.

    Raises:
        DataError: when a file cannot be read at all.
    """
    return join([read(file) for file in files], run)


def kept_pairs(run: Run) -> set[tuple[str, str]]:
    """(content_hash, label) of the samples that reviewers of a run decided to keep as they are."""
    samples = read_samples(run, "content_hash", "label")
    decided = of_run(run).decided
    kept = samples.take(decided["sample_id"].filter(pc.equal(decided["decision"], "keep")))
    return set(zip(kept["content_hash"].to_pylist(), kept["label"].to_pylist(), strict=True))


def with_decisions(verdict: Verdict, run: Run) -> Verdict:
    """The verdict with the annotator's columns of its report filled from the run's decisions."""
    decisions = of_run(run)
    if not len(decisions.decided) and not len(decisions.contradictory):
        return verdict
    by_sample = {
        row["sample_id"]: row for table in (decisions.contradictory, decisions.decided) for row in table.to_pylist()
    }
    report = verdict.report
    ids = report["sample_id"].to_pylist()
    for name in FOR_THE_ANNOTATOR:
        old = report[name].to_pylist()
        new = [
            by_sample[sample][name] if sample in by_sample else value for sample, value in zip(ids, old, strict=True)
        ]
        report = report.set_column(report.column_names.index(name), name, pa.array(new, pa.string()))
    return replace(verdict, report=report)


def filled_by_hand(run: Run) -> int:
    """How many decisions are in the run's report.csv and nowhere else: a person wrote them there."""
    file = run.report("csv")
    if not file.is_file() or _is_blank(file):
        return 0
    try:
        rows = rows_of(read(file))
    except AumcleanError:
        return 1  # not as we wrote it: somebody's work
    if not rows:
        return 0
    table = parquet.read(run.report("parquet"), ["content_hash", "sample_id", *FOR_THE_ANNOTATOR])
    ours = {_key(row) for row in table.filter(pc.is_valid(table["decision"])).to_pylist()}
    return sum(_key(row) not in ours for row in rows)


def _is_blank(file: Path) -> bool:
    """Whether a report.csv is as we write it, the annotator's columns empty; in pieces, as it may be huge."""
    wanted = pyarrow.csv.ConvertOptions(
        include_columns=FOR_THE_ANNOTATOR, column_types=dict.fromkeys(FOR_THE_ANNOTATOR, pa.string())
    )
    quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
    try:
        with pyarrow.csv.open_csv(file, convert_options=wanted, parse_options=quoted) as pieces:
            return all(pc.all(pc.equal(column, "")).as_py() for piece in pieces for column in piece.columns)
    except pa.ArrowException:
        return False


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("content_hash", "sample_id", "decision", "new_label", "reviewer"))


def take_in(run: Run, voices: pa.Table, reviewer: str) -> int:
    """Append decisions from elsewhere to a run's journal; returns how many were new, not there already or overtaken.

    Args:
        run: the run.
        voices: decisions joined to the run.
        reviewer: who is meant where a decision has no name.

    Raises:
        DataError: when the journal is damaged, or could not hold one of them.
        OutputError: when they cannot be written; none of them is taken in then.
    """
    journal = Journal(run.decisions)
    return journal.append(_new(journal, run, voices, reviewer))


def _new(journal: Journal, run: Run, voices: pa.Table, reviewer: str) -> Iterator[Decision]:
    labels = read_samples(run, "label")["label"].to_pylist()
    now = datetime.now(UTC)
    there = {(entry.sample_id, entry.reviewer): entry for _, entry in journal.current()}
    for row in voices.to_pylist():
        entry = {**row, "label": labels[row["sample_id"]], "reviewer": row["reviewer"] or reviewer, "blind": False}
        same = there.get((entry["sample_id"], entry["reviewer"]))
        if same is not None:
            is_known = outcome_of(entry["decision"], entry["new_label"]) == outcome_of(same.decision, same.new_label)
            if is_known or _moment(entry["time"], now) < _moment(same.time, LONG_AGO):
                continue
        entry["time"] = entry["time"] or now.isoformat(timespec="milliseconds")
        try:
            yield decided(id=uuid.uuid4().hex, **entry)
        except DataError as error:
            raise DataError(f"the decision on {row['path']} cannot be taken in ({error})") from None


def _moment(time: str | None, unknown: datetime) -> datetime:
    """A time as we and other tools write it (`2026-01-02 03:04:05+00:00`, `...T03:04:05Z`), without a zone UTC."""
    try:
        moment = datetime.fromisoformat(time or "")
    except ValueError:
        return unknown
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def require_none(run: Run) -> None:
    """Make sure that replacing a run loses no decision.

    Raises:
        DataError: when reviewers decided in it, or in its report.csv.
    """
    made = len(Journal(run.decisions).current())
    by_hand = filled_by_hand(run)
    if made or by_hand:
        where = run.decisions if made else run.report("csv")
        raise DataError(
            f"{where}: holds {made or by_hand} decisions of reviewers; choose another --out, or move that file away"
        )
