"""Cleaning: reviewed samples follow the reviewer, the others a policy; and every change with its reason.

Nothing is lost by it: the cleaned table and the list of changes together give the table back that was cleaned, see
`restore`.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.dataset.table import hugging_face_features
from aumclean.errors import DataError
from aumclean.files import csv

Policy = Literal["drop", "relabel", "weight"]

WEIGHT = "weight"
ROWS = 1 << 14  # that are Python objects at a time
CHANGES = pa.schema(
    [
        ("sample_id", pa.int32()),
        ("content_hash", pa.string()),
        ("path", pa.string()),
        ("action", pa.string()),
        ("old_label", pa.string()),
        ("new_label", pa.string()),
        ("old_weight", pa.string()),
        ("weight", pa.float64()),
        ("reason", pa.string()),
        ("reviewer", pa.string()),
        ("time", pa.string()),
        ("run", pa.string()),
        ("original", pa.string()),
    ]
)

OF_REPORT = (
    "sample_id", "content_hash", "path", "label", "flagged", "suggested_label", "label_score", "reason"
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Cleaning:
    """What is to become of each sample.

    Attributes:
        changes: `CHANGES`, one row per sample that is removed, relabeled or weighed, ascending by sample_id.
        weighs: whether the cleaned table gets a weight column.
        samples: how many there were.
    """

    changes: pa.Table
    weighs: bool
    samples: int

    @property
    def removed(self) -> np.ndarray:
        """Ids of the samples that go, ascending int32."""
        return np.asarray(self.changes["sample_id"].filter(pc.equal(self.changes["action"], "remove")).to_numpy())

    @property
    def kept(self) -> np.ndarray:
        """Ids of the samples that stay, ascending int64."""
        return np.setdiff1d(np.arange(self.samples), self.removed, assume_unique=True)

    def at(self, first: int, stop: int) -> "Cleaning":
        """What is to become of the samples first..stop-1, counted from 0."""
        ids = self.changes["sample_id"].to_numpy()
        low, high = ids.searchsorted((first, stop))
        changes = self.changes.slice(low, high - low)
        return Cleaning(
            changes.set_column(0, CHANGES.field(0), pa.array(ids[low:high] - first)), self.weighs, stop - first
        )

    @property
    def new_labels(self) -> dict[int, str]:
        """The new label of each relabeled sample."""
        chosen = self.changes.filter(pc.equal(self.changes["action"], "relabel"))
        return dict(zip(chosen["sample_id"].to_pylist(), chosen["new_label"].to_pylist(), strict=True))

    def weights(self) -> np.ndarray:
        """float64 [samples]: 1 but for those that are weighed."""
        weights = np.ones(self.samples)
        chosen = self.changes.filter(pc.equal(self.changes["action"], "weight"))
        weights[chosen["sample_id"].to_numpy()] = chosen["weight"].to_numpy()
        return weights


def clean(report: pa.Table, decided: pa.Table, policy: Policy, run: str) -> Cleaning:
    """Decide what becomes of every sample.

    A reviewer's keep, relabel and remove are carried out. Of the others, `unsure` among them, the flagged ones are
    dropped, given their suggested label (dropped where there is none), or given a weight below 1: twice their
    label_score, so 1 at the threshold and 0 for the most suspect.

    Args:
        report: one row per sample.
        decided: one row per decided sample.
        policy: what happens to flagged samples without a decision.
        run: name of the run, for the list of changes.
    """
    by_sample = {row["sample_id"]: row for row in decided.to_pylist()}
    ids = pa.array(by_sample, pa.int32())
    needed = [name for name in OF_REPORT if name in report.column_names]
    concerned = (
        report.select(needed)
        .filter(pc.or_(pc.fill_null(report["flagged"], False), pc.is_in(report["sample_id"], value_set=ids)))
        .sort_by("sample_id")
    )
    about = {"run": run, "original": None}
    batches = [
        pa.RecordBatch.from_pylist(
            [{**change, **about} for row in batch.to_pylist() if (change := _change(row, by_sample, policy))], CHANGES
        )
        for batch in concerned.to_batches(max_chunksize=ROWS)
    ]
    return Cleaning(pa.Table.from_batches(batches, CHANGES), policy == "weight", len(report))


def _change(row: Row, by_sample: dict[int, Row], policy: Policy) -> Row | None:
    """The change of one sample, None when it stays as it is."""
    decision = by_sample.get(row["sample_id"], {})
    change = {
        **{name: row[name] for name in ("sample_id", "content_hash", "path")},
        "old_label": row["label"],
        "reviewer": decision.get("reviewer") or "unnamed",
        "time": decision.get("time"),
        "reason": decision.get("note") or "decided by a reviewer",
    }
    if (decided := decision.get("decision")) in {"remove", "relabel"}:
        return {**change, "action": decided, "new_label": decision["new_label"]}
    if decided == "keep" or not row["flagged"]:
        return None
    unsure = "; the reviewer was unsure" if decision else ""
    change |= {"reviewer": None, "time": None, "reason": row.get("reason", "flagged") + unsure}
    if policy == "weight":
        return {**change, "action": "weight", "new_label": row["label"], "weight": min(1.0, 2 * row["label_score"])}
    if policy == "relabel" and row["suggested_label"] is not None:
        return {**change, "action": "relabel", "new_label": row["suggested_label"]}
    return {**change, "action": "remove"}


def cleaned_table(
    table: pa.Table, cleaning: Cleaning, label_column: str, *, noting_rows: bool = True
) -> tuple[pa.Table, pa.Table]:
    """Carry out a cleaning on the table of all samples.

    Args:
        table: the input's own columns, row i is sample i.
        cleaning: what to do.
        label_column: the column with the labels.
        noting_rows: whether the changes hold rows that are removed; not where the images are in them.

    Returns:
        The cleaned table, and the changes with what is needed to undo them.

    Raises:
        DataError: when there is a column `weight` already that holds no numbers.
    """
    changes = cleaning.changes
    if noting_rows:
        is_removed = pc.equal(changes["action"], "remove").to_numpy()
        rows = _as_json(table, cleaning.removed)
        noted = pa.array((next(rows) if removed else None for removed in is_removed), pa.string(), size=len(changes))
        changes = changes.set_column(changes.column_names.index("original"), "original", noted)
    table = _with_labels(table, cleaning.new_labels, label_column)
    if cleaning.weighs:
        table, changes = _with_weights(table, cleaning, changes)
    return table.take(pa.array(cleaning.kept)), changes


def _as_json(table: pa.Table, rows: np.ndarray) -> Iterator[str]:
    for start in range(0, len(rows), ROWS):
        for row in table.take(pa.array(rows[start : start + ROWS])).to_pylist():
            yield json.dumps(row, default=csv.as_text)


def _with_labels(table: pa.Table, new_labels: dict[int, str], column: str) -> pa.Table:
    """The table with new labels, by row; ClassLabel numbers stay numbers."""
    if not new_labels:
        return table
    index = table.column_names.index(column)
    field = table.schema.field(column)
    names = hugging_face_features(table.schema).get(column, {}).get("names")
    values = table[column].to_pylist()
    for sample, label in new_labels.items():
        values[sample] = names.index(label) if names and pa.types.is_integer(field.type) else label
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        made = pa.array(values, pa.string()).cast(kind) if pa.types.is_string(kind) else _as_kind(values, kind)
    except pa.ArrowException:
        raise DataError(f"the labels of the manifest are {kind}, which cannot hold the new ones") from None
    return table.set_column(index, field, made.cast(field.type))


def _as_kind(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Numbers written as names, such as '7', are numbers again."""
    texts = pa.array([None if value is None else str(value) for value in values], pa.string())
    return texts.cast(kind)


def _with_weights(table: pa.Table, cleaning: Cleaning, changes: pa.Table) -> tuple[pa.Table, pa.Table]:
    """With a weight column; one that is there already is multiplied, and the old weights are noted."""
    factor = cleaning.weights()
    if WEIGHT not in table.column_names:
        return _with_weight_feature(table.append_column(WEIGHT, pa.array(factor))), changes
    old = table[WEIGHT].to_pylist()
    try:
        new = [text if share == 1 else float(text) * share for text, share in zip(old, factor, strict=True)]
    except (TypeError, ValueError):
        raise DataError("the manifest has a column 'weight' that is not all numbers; rename it") from None
    kind = table.schema.field(WEIGHT).type
    if pa.types.is_string(kind):
        new = [str(value) for value in new]
    elif pa.types.is_integer(kind):  # which cannot hold a part of one
        kind, table = pa.float64(), _with_weight_feature(table)
    table = table.set_column(table.column_names.index(WEIGHT), WEIGHT, pa.array(new, kind))
    is_weighed = pc.equal(changes["action"], "weight").to_pylist()
    ids = changes["sample_id"].to_pylist()
    noted = [str(old[sample]) if weighed else None for sample, weighed in zip(ids, is_weighed, strict=True)]
    return table, changes.set_column(
        changes.column_names.index("old_weight"), "old_weight", pa.array(noted, pa.string())
    )


def _with_weight_feature(table: pa.Table) -> pa.Table:
    """The `datasets` library refuses a column that its own metadata do not name."""
    metadata = table.schema.metadata
    if not hugging_face_features(table.schema):
        return table
    about = json.loads(metadata[b"huggingface"])
    about["info"]["features"][WEIGHT] = {"dtype": "float64", "_type": "Value"}
    return table.replace_schema_metadata({**metadata, b"huggingface": json.dumps(about).encode()})


def read_changes(file: Path) -> pa.Table:
    """A list of changes as it was written, all as strings.

    Raises:
        DataError: when the file is not a list of changes.
    """
    rows = [row for _, _, row in csv.read_rows(file.read_bytes(), file.name, needed="action")]
    return pa.table({name: pa.array([row.get(name) or None for row in rows], pa.string()) for name in CHANGES.names})


def restore(cleaned: pa.Table, changes: pa.Table, label_column: str) -> pa.Table:
    """The table as it was before cleaning, from what cleaning wrote.

    Args:
        cleaned: the cleaned table.
        changes: its list of changes; when the images are in the data, removed rows are in the data alone.
        label_column: the column with the labels.

    Raises:
        DataError: when a removed row is not in the list of changes.
    """
    rows = changes.to_pylist()
    originals = {int(row["sample_id"]): row["original"] for row in rows if row["action"] == "remove"}
    if None in originals.values():
        raise DataError("rows that were removed are not in the list of changes, but in the data, with their images")
    removed = {sample: json.loads(original) for sample, original in originals.items()}
    total = len(cleaned) + len(removed)
    kept = iter(cleaned.to_pylist())
    restored = [removed[sample] if sample in removed else next(kept) for sample in range(total)]
    schema, weighed = cleaned.schema, [row for row in rows if row["action"] == "weight"]
    for row in weighed:
        old = row["old_weight"]
        as_text = old is None or pa.types.is_string(schema.field(WEIGHT).type)
        restored[int(row["sample_id"])][WEIGHT] = old if as_text else float(old)
    had_no_weight = not any(row["old_weight"] for row in weighed) and all(WEIGHT not in row for row in removed.values())
    if WEIGHT in schema.names and (weighed or removed) and had_no_weight:
        schema = schema.remove(schema.get_field_index(WEIGHT))
    for field in schema:
        if "binary" in str(field.type):
            for row in removed.values():
                row[field.name] = row[field.name] and base64.b64decode(row[field.name])
    old_labels = {int(row["sample_id"]): row["old_label"] for row in rows if row["action"] == "relabel"}
    return _with_labels(pa.Table.from_pylist(restored, schema), old_labels, label_column)
