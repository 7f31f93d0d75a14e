"""Files of decisions: decisions.csv, a report.csv that was filled in by hand, exports of annotation tools."""

from pathlib import Path

import pyarrow as pa

from aumclean.decisions import cvat, label_studio
from aumclean.decisions.answers import EXTENDED, SCHEMA, number
from aumclean.errors import DataError
from aumclean.files import atomic, csv


def read(file: Path) -> pa.Table:
    """Read a file of decisions, by its suffix.

    Raises:
        DataError: when it is missing, of an unknown kind, or not what its suffix says.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({atomic.reason(error)})") from None
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
        given = row.get("sample_id", "").strip()
        sample_id, unreadable = number(given), None
        if too_many:
            unreadable = f"has {too_many} cells more than the header"
        elif given and sample_id is None:
            unreadable = f"sample_id '{given}' is no number"
        texts = {name: row.get(name, "") for name in ("path", "label", "new_label", "reviewer", "time", "note")}
        rows.append(
            {
                **{name: text if text.strip() else None for name, text in texts.items()},
                "sample_id": sample_id,
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
