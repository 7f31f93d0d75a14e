"""The ledger: labels that reviewers confirmed, so that later scans do not ask again.

A CSV to be kept with the project, one row per content and label. `clean --ledger` adds to it, `scan --ledger` reads it.
"""

from pathlib import Path

import pyarrow as pa
from filelock import FileLock

from aumclean.errors import DataError, OutputError
from aumclean.files import atomic, csv, parquet
from aumclean.run.directory import Run
from aumclean.run.tables import read_samples

SCHEMA = pa.schema([(name, pa.string()) for name in ("content_hash", "label", "reviewer", "time", "run", "path")])

Pair = tuple[str, str]
"""SHA-256 of an image file, and a label."""


def read(file: Path) -> pa.Table:
    """A ledger; empty when there is none yet.

    Raises:
        DataError: when the file is no ledger.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return SCHEMA.empty_table()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({atomic.reason(error)}); see --ledger") from None
    rows = []
    for line, too_many, row in csv.read_rows(content, file.name, needed="content_hash"):
        if too_many or not row.get("content_hash") or not row.get("label"):
            raise DataError(f"{file}: line {line} has no content_hash and label; mend or delete that line")
        rows.append({name: row.get(name) or None for name in SCHEMA.names})
    return pa.Table.from_pylist(rows, SCHEMA)


def confirmed(run: Run, decided: pa.Table) -> tuple[dict[Pair, dict[str, str]], set[Pair]]:
    """What decisions on a run say of labels: those confirmed, by `keep` or as the new label, and those refused.

    Args:
        run: the run.
        decided: one row per sample, from `aumclean.decisions.read`.
    """
    labels = read_samples(run, "label")["label"].to_pylist()
    yes: dict[Pair, dict[str, str]] = {}
    no: set[Pair] = set()
    for row in decided.to_pylist():
        content, label = row["content_hash"], labels[row["sample_id"]]
        if row["decision"] in {"relabel", "remove"}:
            no.add((content, label))
        if row["decision"] in {"relabel", "keep"}:
            right = row["new_label"] if row["decision"] == "relabel" else label
            about = {name: row[name] for name in ("reviewer", "time", "path")}
            yes[content, right] = {"content_hash": content, "label": right, "run": run.path.resolve().name, **about}
    return yes, no - yes.keys()


def add(file: Path, run: Run, decided: pa.Table) -> int:
    """Add to a ledger what decisions confirm, take out what they refuse; returns how many pairs are new.

    Raises:
        DataError: when the file is there and no ledger.
        OutputError: when it cannot be written.
    """
    yes, no = confirmed(run, decided)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            known = {(row["content_hash"], row["label"]): row for row in read(file).to_pylist()}
            merged = {pair: row for pair, row in {**yes, **known}.items() if pair not in no}
            rows = [merged[pair] for pair in sorted(merged)]  # sorted, so that two branches merge
            csv.save(file, pa.Table.from_pylist(rows, SCHEMA))
    except OSError as error:
        raise OutputError(f"{file}: cannot be written ({atomic.reason(error)}); choose another --ledger") from None
    return len(yes.keys() - known.keys())


def write_silenced(run: Run, ledger: Path) -> None:
    """Note in a run which of its samples the ledger confirms; a resumed scan keeps what it noted at first."""
    if run.silenced.exists():
        return
    known = {(row["content_hash"], row["label"]): row for row in read(ledger).to_pylist()}
    samples = read_samples(run, "sample_id", "content_hash", "label").to_pylist()
    rows = [
        {**known[pair], "sample_id": sample["sample_id"]}
        for sample in samples
        if (pair := (sample["content_hash"], sample["label"])) in known
    ]
    schema = pa.schema([("sample_id", pa.int32()), *((field.name, field.type) for field in SCHEMA)])
    parquet.save(run.silenced, pa.Table.from_pylist(rows, schema))
