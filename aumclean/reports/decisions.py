"""What reviewers decided: read from any file, joined to a run by content, and checked row by row.

A decisions table has the columns of `SCHEMA`. Beside them it may have `where` (which line of which file a row is),
`label` (the label that was decided on) and `unreadable` (why a row cannot be used, null where it can).
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from aumclean.errors import AumcleanError, DataError, did_you_mean
from aumclean.reports import csv, cvat, label_studio
from aumclean.reports.annotation import ANSWERED, SCHEMA
from aumclean.reports.journal import Journal
from aumclean.run import Run
from aumclean.verdict.judge import FOR_THE_ANNOTATOR, Verdict

EXTENDED = pa.schema([*ANSWERED, ("unreadable", pa.string())])
WORDS = ("keep", "relabel", "remove", "unsure")
CONTRADICTORY = "contradictory"  # stands in the report's `decision` where reviewers disagree

Row = dict[str, Any]


@dataclass(frozen=True)
class Decisions:
    """Decisions joined to the samples of a run.

    Attributes:
        decided: `SCHEMA`, one row per decided sample, ascending by the run's sample_id; several reviewers who agree
            are named together.
        contradictory: the same for samples on which reviewers disagree; `note` says who said what. Not in `decided`.
        voices: `SCHEMA`, every reviewer's own decision on the samples in `decided`.
        problems: every row that cannot be used and why, each beginning with where it stands.
    """

    decided: pa.Table
    contradictory: pa.Table
    voices: pa.Table
    problems: tuple[str, ...] = ()


def read(file: Path) -> pa.Table:
    """Read a file of decisions, by its suffix.

    Raises:
        DataError: when it is missing, of an unknown kind, or not what its suffix says.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    suffix = file.suffix.lower()
    try:
        if suffix == ".json" or (suffix == ".csv" and b"annotation_id" in content.partition(b"\n")[0]):
            return _of(file, label_studio.read(content.decode("utf-8-sig")))
        if suffix == ".xml":
            return _of(file, cvat.read(content.decode("utf-8-sig")))
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: {error}") from None
    if suffix in {".csv", ".tsv", ".txt"}:
        return read_csv(content, file.name)
    raise DataError(f"{file}: decisions are read from .csv, Label Studio's .json and CVAT's .xml")


def _of(file: Path, table: pa.Table) -> pa.Table:
    """The table, its rows saying which file they are of."""
    where = pa.array([f"{file.name}: {where}" for where in table["where"].to_pylist()], pa.string())
    return table.set_column(table.column_names.index("where"), "where", where)


def read_csv(content: bytes, name: str) -> pa.Table:
    """Decisions from decisions.csv, or from a report.csv whose last columns were filled in by hand.

    Rows without a decision are left out; a new label without one counts as `relabel`.

    Args:
        content: the file.
        name: what it is called in messages.

    Raises:
        DataError: when it is no CSV, or has no column `decision`.
    """
    rows = []
    for line, too_many, row in csv.read_rows(content, name, needed="decision"):
        decision, new_label = row.get("decision", "").strip().lower(), row.get("new_label", "")
        if not decision and not new_label.strip() and not too_many:
            continue
        sample_id = row.get("sample_id", "").strip().removesuffix(".0")  # pandas writes so beside empty cells
        unreadable = None
        if too_many:
            unreadable = f"has {too_many} cells more than the header"
        elif sample_id and not (sample_id.isascii() and sample_id.isdigit() and len(sample_id) < 10):
            unreadable = f"sample_id '{sample_id}' is no number"
        texts = {name: row.get(name, "") for name in ("path", "label", "new_label", "reviewer", "time", "note")}
        rows.append(
            {
                **{name: text if text.strip() else None for name, text in texts.items()},
                "sample_id": int(sample_id) if sample_id and not unreadable else None,
                "content_hash": row.get("content_hash", "").strip().lower() or None,
                "decision": decision or "relabel",
                "where": f"{name}: line {line}",
                "unreadable": unreadable,
            }
        )
    return pa.Table.from_pylist(rows, EXTENDED)


def to_csv(table: pa.Table) -> str:
    """A decisions table as decisions.csv, safe in a spreadsheet."""
    return csv.to_csv(csv.guarded(table.select(SCHEMA.names)))


def of_run(run: Run) -> Decisions:
    """What reviewers decided in a run, from its journal."""
    return join([recorded(run)], run)


def recorded(run: Run) -> pa.Table:
    """The last decision of every reviewer on every sample of a run."""
    rows = [
        {**entry, "where": f"{run.decisions.name}: line {line}", "unreadable": None}
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
    samples = pq.read_table(run.samples, columns=["content_hash", "label"])
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


def join(tables: Sequence[pa.Table], run: Run) -> Decisions:
    """Find the sample of every row by content hash and sample_id, never by row; and list what cannot be used.

    A row whose sample_id is another sample's, as after a new scan, still finds its sample when the content is there
    once, or once under its path.
    """
    classes = run.read()["data"]["class_names"]
    rows = [row for table in tables for row in _rows(table)]
    wanted = pa.array({row["content_hash"] for row in rows} - {None}, pa.string())
    by_content = defaultdict(list)
    columns = ["sample_id", "path", "label", "content_hash"]
    for batch in pq.ParquetFile(run.samples).iter_batches(columns=columns) if len(wanted) else ():
        for sample in batch.filter(pc.is_in(batch["content_hash"], wanted)).to_pylist():
            by_content[sample["content_hash"]].append(sample)

    problems: list[str] = []
    by_sample: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        sample, problem = _sample_of(row, by_content)
        problem = problem or _misfit(row, sample, classes)
        if problem:
            problems.append(f"{row['where']}: {problem}")
        else:
            by_sample[sample["sample_id"]].append({**row, **sample})

    decided, contradictory, voices = [], [], []
    for sample_id in sorted(by_sample):
        own, duplicates = _without_duplicates(by_sample[sample_id])
        together = _together(own)
        problems += duplicates
        if together["decision"] == CONTRADICTORY:
            contradictory.append(together)
            places = " and ".join(row["where"] for row in own if row["decision"] != "unsure")
            problems.append(f"{places}: contradictory on {together['path']} ({together['note']})")
        else:
            decided.append(together)
            voices += own
    made = [pa.Table.from_pylist(rows, SCHEMA) for rows in (decided, contradictory, voices)]
    return Decisions(made[0], made[1], made[2], tuple(problems))


def _rows(table: pa.Table) -> list[Row]:
    """Rows with every key of `EXTENDED`, empty texts as None."""
    names = [name for name in EXTENDED.names if name in table.column_names]
    return [
        {
            **dict.fromkeys(EXTENDED.names),
            "where": f"entry {number}",
            **{name: value if value != "" else None for name, value in row.items()},
        }
        for number, row in enumerate(table.select(names).to_pylist(), start=1)
    ]


def _sample_of(row: Row, by_content: dict[str, list[Row]]) -> tuple[Row, str | None]:
    """The sample a row is about, or why there is none."""
    if row["unreadable"]:
        return {}, row["unreadable"]
    if row["content_hash"] is None:
        return {}, "has no content_hash"
    candidates = by_content.get(row["content_hash"], [])
    if not candidates:
        return {}, f"unknown: no image of the run has the content_hash {row['content_hash'][:12]}"
    for same in (
        [one for one in candidates if one["sample_id"] == row["sample_id"]],
        [one for one in candidates if one["path"] == row["path"]],
        candidates,
    ):
        if len(same) == 1:
            return same[0], None
    return {}, f"unclear: {len(candidates)} images of the run are this file, and neither sample_id nor path says which"


def _misfit(row: Row, sample: Row, classes: list[str]) -> str | None:
    """Why a decision cannot be carried out on its sample."""
    decision, new_label = row["decision"], row["new_label"]
    if new_label is not None and new_label not in classes and new_label.strip() in classes:
        new_label = row["new_label"] = new_label.strip()
    if decision == CONTRADICTORY:
        return "reviewers disagree on it; write one decision"
    if decision not in WORDS:
        return f"'{decision}' is no decision ({', '.join(WORDS)}){did_you_mean(str(decision), WORDS)}"
    if row["label"] is not None and row["label"] != sample["label"]:
        return f"was decided on the label '{row['label']}', but the run has '{sample['label']}'"
    if decision != "relabel":
        return f"contradictory: {decision}, with a new_label" if new_label not in {None, sample["label"]} else None
    return _misfit_of_label(new_label, sample["label"], classes)


def _misfit_of_label(new_label: str | None, label: str, classes: list[str]) -> str | None:
    if new_label is None:
        return "relabel needs a new_label"
    if new_label == label:
        return f"relabels to '{label}', the label it has; write keep"
    if new_label not in classes:
        return f"'{new_label}' is no class of the run{did_you_mean(new_label, classes)}"
    return None


def _without_duplicates(rows: list[Row]) -> tuple[list[Row], list[str]]:
    first: dict[tuple[Any, ...], Row] = {}
    problems = []
    for row in rows:
        same = first.setdefault((row["reviewer"], _outcome(row)), row)
        if same is not row:
            problems.append(f"{row['where']}: duplicate of {same['where']}")
    return list(first.values()), problems


def _together(rows: list[Row]) -> Row:
    """One row of all that was decided on a sample; who is unsure leaves it to those who are not."""
    definite = [row for row in rows if row["decision"] != "unsure"] or rows
    first = definite[0]
    together = {
        **first,
        "new_label": first["new_label"] if first["decision"] == "relabel" else None,
        "reviewer": _listed(row["reviewer"] for row in definite),
        "time": max((row["time"] for row in definite if row["time"]), default=None),
        "note": _listed((row["note"] for row in definite), "; "),
    }
    if len({_outcome(row) for row in definite}) == 1:
        return together
    voices = "; ".join(f"{row['reviewer'] or 'somebody'}: {_outcome(row)}" for row in definite)
    return {**together, "decision": CONTRADICTORY, "new_label": None, "note": voices}


def _outcome(row: Row) -> str:
    return f"relabel to '{row['new_label']}'" if row["decision"] == "relabel" else str(row["decision"])


def _listed(names: Iterable[str | None], between: str = ", ") -> str | None:
    return between.join(dict.fromkeys(name for name in names if name)) or None


def filled_by_hand(run: Run) -> int:
    """How many decisions stand in the run's report.csv and nowhere else: a person wrote them there."""
    file = run.report("csv")
    if not file.is_file() or _is_blank(file):
        return 0
    try:
        rows = _rows(read(file))
    except AumcleanError:
        return 1  # not as we wrote it: somebody's work
    if not rows:
        return 0
    table = pq.read_table(run.report("parquet"), columns=["content_hash", "sample_id", *FOR_THE_ANNOTATOR])
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
        reviewer: who is meant where a decision names nobody.

    Raises:
        DataError: when the journal is damaged.
    """
    journal = Journal(run.decisions)
    labels = pq.read_table(run.samples, columns=["label"])["label"].to_pylist()
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    there = {(entry["sample_id"], entry["reviewer"]): entry for _, entry in journal.current()}
    new = []
    for row in voices.to_pylist():
        entry = {**row, "label": labels[row["sample_id"]], "reviewer": row["reviewer"] or reviewer, "blind": False}
        same = there.get((entry["sample_id"], entry["reviewer"]))
        if same and (_outcome(same) == _outcome(entry) or (entry["time"] and entry["time"] < same["time"])):
            continue
        new.append({"id": uuid.uuid4().hex, **entry, "time": entry["time"] or now})
    journal.append(new)
    return len(new)


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
