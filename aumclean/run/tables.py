"""The tables of a run that several rooms read, checked against what its record says."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import DataError, RunError
from aumclean.files import csv, mapped, parquet
from aumclean.run.directory import Run

SAMPLES = pa.schema(
    [
        pa.field("sample_id", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        ("width", pa.int32()),  # null of what is no image
        ("height", pa.int32()),
        pa.field("row", pa.int64(), nullable=False),
    ]
)


def read_samples(run: Run, *columns: str) -> pa.Table:
    """Columns of `samples.parquet`: row i is sample i.

    Raises:
        RunError: when it is missing, damaged, or not of the data that `run.json` tells of.
    """
    table = parquet.read(run.samples, pa.schema([SAMPLES.field(name) for name in columns]))
    _require_all(run, len(table))
    if "label" in columns:
        _require_known(run, table["label"])
    return table


def read_column(run: Run, name: str) -> Iterator[pa.Array]:
    """One column of `samples.parquet`, some rows at a time: of very many samples it may be larger than the memory.

    Raises:
        RunError: as `read_samples` does, perhaps after some of the rows.
    """
    n, known = 0, run.read().data.samples
    for batch in parquet.read_blocks(run.samples, pa.schema([SAMPLES.field(name)])):
        if name == "label":
            _require_known(run, batch[name])
        n += len(batch)
        if n > known:
            break
        yield batch[name]
    _require_all(run, n)


def texts_of(run: Run, name: str) -> pa.LargeStringArray:
    """One column of `samples.parquet`, a text each, outside the memory where they are many."""
    return mapped.texts(read_column(run, name), run.read().data.samples)


def _require_all(run: Run, n: int) -> None:
    known = run.read().data.samples
    if n != known:
        raise RunError(f"{run.samples}: is damaged ({n} samples, run.json has {known}); scan again")


def _require_known(run: Run, labels: pa.Array | pa.ChunkedArray) -> None:
    if not pc.all(pc.is_in(labels, pa.array(run.read().data.class_names, pa.string()))).as_py():
        raise RunError(f"{run.samples}: is damaged (labels that are no class of run.json); scan again")


def read_unreadable(run: Run) -> list[tuple[str, str]]:
    """The files that could not be read, path and reason, of a scan or of scores; none where no list was written.

    Raises:
        RunError: when the list is damaged.
    """
    try:
        rows = [row for _, _, row in csv.read_rows(run.unreadable.read_bytes(), str(run.unreadable), needed="reason")]
        return [(row["path"], row["reason"]) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, KeyError, DataError) as error:
        what = error if isinstance(error, DataError) else f"{run.unreadable}: cannot be read ({error})"
        raise RunError(f"{what}; scan again") from None
