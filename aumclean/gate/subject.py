"""What a gate looks at: the report of a finished scan, or the scores of new images."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import Field

from aumclean.errors import RunError
from aumclean.files import parquet
from aumclean.files.csv import HEAD, dialect_of
from aumclean.files.records import Record, read_record
from aumclean.run.directory import Run
from aumclean.run.record import Common, Place
from aumclean.run.tables import read_unreadable
from aumclean.verdict.summary import FalseAlarms, digest_of_flagged

COLUMNS = pa.schema(
    [
        pa.field("sample_id", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        ("suggested_label", pa.string()),
        ("suggested_confidence", pa.float64()),
        ("flagged", pa.bool_()),
        ("label_score", pa.float64()),
        pa.field("content_hash", pa.string(), nullable=False),
        ("duplicate_of", pa.string()),
        pa.field("conflict", pa.bool_(), nullable=False),
    ]
)
BY_FEATURES = pa.schema([("near_conflict", pa.bool_()), ("leaked_from", pa.string())])  # where a backbone looked
KEY_DIGITS = 12  # of the content hash: 48 bits, so that 100,000 images give a chance match of one in a billion
LONGEST_CELL = (1 << 31) - 1  # characters; the module's own limit is 131,072


class Measured(Record):
    """The part of `summary.json`, of a run or of scores, that a gate needs."""

    repeat_deviation: float = Field(ge=0)
    false_alarms: FalseAlarms | None = None
    flagged_digest: str | None = None  # of scores there is none


@dataclass(frozen=True)
class Subject:
    """A finished scan, or the scores of new images.

    Attributes:
        path: its directory.
        is_scan: whether it is a scan; what a scan does not have is gone, which scores cannot tell.
        report: one row per sample with `COLUMNS`, and `BY_FEATURES` where they are known, ascending label_score.
        summary: what `summary.json` says of it.
        data: what the directory says of the data: source, root, whether images lie in a Parquet column.
        unreadable: (path, reason) of the files that could not be read.
    """

    path: Path
    is_scan: bool
    report: pa.Table
    summary: Measured
    data: Place
    unreadable: tuple[tuple[str, str], ...]

    @cached_property
    def keys(self) -> list[str]:
        """What each image with its label is called in a baseline."""
        pairs = zip(self.report["content_hash"].to_pylist(), self.report["label"].to_pylist(), strict=True)
        return [key(content_hash, label) for content_hash, label in pairs]

    def mask(self, column: str) -> np.ndarray:
        """A boolean column, bool [n]; null is False."""
        return np.array([bool(value) for value in self.report[column].to_pylist()], bool)

    @cached_property
    def score(self) -> np.ndarray:
        """label_score, float64 [n]; NaN where not judged."""
        return np.array(self.report["label_score"].to_pylist(), np.float64)


def key(content_hash: str, label: str) -> str:
    """The start of the content hash, and the label."""
    return f"{content_hash[:KEY_DIGITS]} {label}"


def read_subject(path: Path) -> Subject:
    """Read a finished run, or what `aumclean score` wrote.

    Raises:
        RunError: when it is neither, or not finished.
    """
    run = Run(path)
    is_scan = not run.scores_json.is_file()
    if is_scan:
        run.require_finished()
    record = run.read() if is_scan else run.read_scores()
    remedy = f"repeat it with: aumclean report {path} --save" if is_scan else "score again"
    report = parquet.read(run.report("parquet"), COLUMNS, also=BY_FEATURES, remedy=remedy)
    if not (isinstance(record, Common) and record.compared) and "leaked_from" in report.column_names:
        report = report.drop_columns("leaked_from")
    try:
        summary = read_record(run.summary, Measured, remedy=remedy)
    except FileNotFoundError:
        raise RunError(f"{run.summary}: is missing; {remedy}") from None
    if summary.flagged_digest not in {None, digest_of_flagged(report)}:
        raise RunError(
            f"{run.summary}: is of another verdict than report.parquet, as while one is written or after that was "
            f"stopped; {remedy}"
        )
    return Subject(path, is_scan, report, summary, record.data, tuple(read_unreadable(run)))


def as_arrow(mask: np.ndarray) -> pa.BooleanArray:
    """A mask (bool [n]) as Arrow takes it; not by `pa.array`, which loads pandas, half a second."""
    bits = pa.py_buffer(np.packbits(mask, bitorder="little"))
    return pa.BooleanArray.from_buffers(pa.bool_(), len(mask), [None, bits])


@dataclass(frozen=True)
class Places:
    """Where samples are in the user's repository, so that a reviewer is led to the line or the file.

    Attributes:
        manifest: the text manifest, as a path to print; None when there is none.
        lines: line of each sample id in it.
        root: what to put before a sample's path to print it.
        boxes: whether samples are boxes, whose paths are those of their pictures, `#` and what tells them apart.
    """

    manifest: str | None
    lines: dict[int, int]
    root: str
    boxes: bool = False

    def of(self, sample_id: int | None, path: str) -> tuple[str, int]:
        """File and line, counted from 1, of a sample."""
        if self.manifest is None or sample_id not in self.lines:
            path = path.rpartition("#")[0] if self.boxes else path
            return (f"{self.root}/{path}" if self.root else path), 1
        return self.manifest, self.lines[sample_id]


def places(subject: Subject, sample_ids: np.ndarray, data: Path | None = None) -> Places:
    """Where these samples are, relative to the working directory where they lie inside it.

    Args:
        subject: whose samples.
        sample_ids: int [k].
        data: where DATA is now, when that is not where it was.
    """
    source = data or Path(subject.data.source)
    root = data if data is not None and data.is_dir() else Path(subject.data.root)
    if subject.data.image_column is not None:
        return Places(_shown(source), dict.fromkeys(sample_ids.tolist(), 1), "")
    starts_in = ROW_STARTS.get(source.suffix.lower())
    if starts_in is None or not source.is_file():
        return Places(None, {}, _shown(root), boxes=subject.data.boxes is not None)
    rows = parquet.read(Run(subject.path).samples, ["row"])["row"].to_numpy()[sample_ids]
    starts = starts_in(source)
    lines = {int(sample): starts[row] for sample, row in zip(sample_ids, rows, strict=True) if row < len(starts)}
    return Places(_shown(source), lines, _shown(root))


def _row_starts(file: Path) -> list[int]:
    """The line on which each row of a CSV or TSV table begins; a quoted value may span several."""
    with file.open("rb") as head:
        dialect = dialect_of(head.read(HEAD), (), "\t" if file.suffix.lower() == ".tsv" else ",")
    starts, usual = [], csv.field_size_limit(LONGEST_CELL)
    try:
        with file.open(newline="", encoding=dialect.encoding, errors="replace") as stream:
            reader = csv.reader(stream, delimiter=dialect.delimiter)
            for _ in range(dialect.skipped + 1):
                next(reader, None)
            start = reader.line_num + 1
            for row in reader:
                if row:
                    starts.append(start)
                start = reader.line_num + 1
    finally:
        csv.field_size_limit(usual)
    return starts


def _filled_lines(file: Path) -> list[int]:
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        return [number for number, line in enumerate(stream, start=1) if line.strip()]


ROW_STARTS = {".csv": _row_starts, ".tsv": _row_starts, ".jsonl": _filled_lines, ".ndjson": _filled_lines}


def _shown(path: Path) -> str:
    """Relative to the working directory when inside it, as CI systems ask for; else the bare name or nothing."""
    absolute = path.absolute()
    if absolute.is_relative_to(Path.cwd()):
        shown = absolute.relative_to(Path.cwd()).as_posix()
        return "" if shown == "." else shown
    return absolute.name if absolute.suffix else ""
