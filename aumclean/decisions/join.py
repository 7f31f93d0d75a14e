"""Decisions joined to the samples of a run by content, and checked row by row."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aumclean.decisions.answers import CONTRADICTORY, SCHEMA, WORDS, outcome_of, rows_of
from aumclean.errors import did_you_mean
from aumclean.run.directory import Run
from aumclean.run.tables import read_samples

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


def join(tables: Sequence[pa.Table], run: Run) -> Decisions:
    """Find the sample of every row by content hash and sample_id, never by row; and list what cannot be used.

    A row whose sample_id is another sample's, as after a new scan, still finds its sample when the content is there
    once, or once under its path.
    """
    classes = run.read().data.class_names
    rows = [row for table in tables for row in rows_of(table)]
    wanted = pa.array({row["content_hash"] for row in rows} - {None}, pa.string())
    by_content = defaultdict(list)
    columns = ("sample_id", "path", "label", "content_hash")
    for batch in read_samples(run, *columns).to_batches() if len(wanted) else ():
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
            new_label = row["new_label"] if row["decision"] == "relabel" else None
            by_sample[sample["sample_id"]].append({**row, **sample, "new_label": new_label})

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
        "reviewer": _listed(row["reviewer"] for row in definite),
        "time": max((row["time"] for row in definite if row["time"]), default=None),
        "note": _listed((row["note"] for row in definite), "; "),
    }
    if len({_outcome(row) for row in definite}) == 1:
        return together
    voices = "; ".join(f"{row['reviewer'] or 'somebody'}: {_outcome(row)}" for row in definite)
    return {**together, "decision": CONTRADICTORY, "new_label": None, "note": voices}


def _outcome(row: Row) -> str:
    return outcome_of(row["decision"], row["new_label"])


def _listed(names: Iterable[str | None], between: str = ", ") -> str | None:
    return between.join(dict.fromkeys(name for name in names if name)) or None
