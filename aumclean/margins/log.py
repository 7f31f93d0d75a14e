"""The margin log: one Parquet file per draw, epoch and rank, written whole or not at all.

    margins/draw=K/epoch=NNN/part-R.parquet
        sample_id     int32, ascending
        margin        float32
        runner_up     int16 (int32 above 32,767 classes): the class with the largest other logit
        is_indicator  bool

The hive-style folders make it one table for DuckDB, pandas, polars and pyarrow.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from aumclean.errors import RunError
from aumclean.files import atomic, parquet

SCHEMA_VERSION = 1
ROW_GROUP = 1 << 20
CHECKED = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
KINDS = {
    "sample_id": {pa.int32()},
    "margin": {pa.float32()},
    "runner_up": {pa.int16(), pa.int32()},
    "is_indicator": {pa.bool_()},
}
PARTITIONING = ds.partitioning(pa.schema([("draw", pa.int32()), ("epoch", pa.int32())]), flavor="hive")


@dataclass(frozen=True)
class EpochMargins:
    """What one rank recorded of one draw in one epoch: arrays of equal length, ascending by sample_id."""

    sample_id: np.ndarray  # int32
    margin: np.ndarray  # float32
    runner_up: np.ndarray  # int
    is_indicator: np.ndarray  # bool


def epoch_file(folder: Path, draw: int, epoch: int, rank: int = 0) -> Path:
    """Where a rank's part of an epoch lies."""
    return folder / f"draw={draw}" / f"epoch={epoch:03d}" / f"part-{rank}.parquet"


def write_epoch(
    folder: Path, draw: int, epoch: int, recorded: EpochMargins, schedule: Mapping[str, Any], *, rank: int = 0
) -> None:
    """Write one epoch's margins.

    Args:
        folder: the run's `margins` folder.
        draw, epoch, rank: which part this is; epochs count from 0.
        recorded: the margins.
        schedule: how the epoch was trained (learning rate, batch size, seed), kept in the file's metadata.

    Raises:
        ValueError: when sample ids are not strictly ascending, so that a sample was recorded twice or is misplaced.
    """
    if not (np.diff(recorded.sample_id) > 0).all():
        raise ValueError(f"draw {draw}, epoch {epoch}: sample ids must ascend, each once")
    wide = len(recorded.runner_up) and recorded.runner_up.max() > np.iinfo(np.int16).max
    table = pa.table(
        {
            "sample_id": pa.array(recorded.sample_id, pa.int32()),
            "margin": pa.array(recorded.margin, pa.float32()),
            "runner_up": pa.array(recorded.runner_up, pa.int32() if wide else pa.int16()),
            "is_indicator": pa.array(recorded.is_indicator, pa.bool_()),
        },
        metadata={"aumclean": json.dumps({"schema_version": SCHEMA_VERSION, **schedule})},
    )
    with atomic.replacing(epoch_file(folder, draw, epoch, rank)) as temporary:
        pq.write_table(
            table,
            temporary,
            **parquet.CHECKED,
            row_group_size=ROW_GROUP,
            use_dictionary=["runner_up", "is_indicator"],
            column_encoding={"sample_id": "DELTA_BINARY_PACKED", "margin": "BYTE_STREAM_SPLIT"},
        )


def remove_other_parts(folder: Path, draw: int, epoch: int, ranks: int) -> None:
    """Delete parts of ranks that are no more: an epoch begun by more processes and repeated by fewer."""
    for part in epoch_file(folder, draw, epoch).parent.glob("part-*.parquet"):
        if int(part.stem.removeprefix("part-")) >= ranks:
            part.unlink()


def remove_later_epochs(folder: Path, draw: int, epoch: int) -> None:
    """Delete the epochs after one that was repeated by a training that went on from an older state."""
    later = epoch + 1
    while (parts := epoch_file(folder, draw, later).parent).is_dir():
        shutil.rmtree(parts)
        later += 1


def repeats(folder: Path, draw: int, epochs: int) -> int:
    """How often a sample was seen again within an epoch of a draw: by one process, as it noted, or by several."""
    again = 0
    for epoch in range(epochs):
        seen = []
        for part in sorted(epoch_file(folder, draw, epoch).parent.glob("part-*.parquet")):
            try:
                noted = json.loads((pq.read_schema(part).metadata or {}).get(b"aumclean", b"{}"))
                again += int(noted.get("repeated", 0))
            except (OSError, ValueError, TypeError, AttributeError, RecursionError, pa.ArrowException) as error:
                raise RunError(f"{part}: cannot be read ({' '.join(str(error).split())[:200]})") from None
            seen.append(part)
        if len(seen) > 1:
            ids = np.concatenate([parquet.read(part, ["sample_id"])["sample_id"].to_numpy() for part in seen])
            again += len(ids) - len(np.unique(ids))
    return again


def recorded_epochs(folder: Path, draw: int) -> int:
    """How many epochs of a draw are on disk, counted from 0 without a gap."""
    epoch = 0
    while epoch_file(folder, draw, epoch).is_file():
        epoch += 1
    return epoch


def read_curves(folder: Path, draw: int, epochs: range, sample_ids: np.ndarray) -> np.ndarray:
    """Margins of some samples over some epochs of a draw, to be drawn as curves: float32 [len(sample_ids), epochs].

    Where a sample was not seen in an epoch, the mean of the epochs in which it was.

    Raises:
        RunError: when the log cannot be read.
    """
    ids = np.unique(sample_ids)
    table = _read(folder, draw, epochs, ds.field("sample_id").isin(pa.array(ids, pa.int32())), ["margin"])
    row, column = _places(epochs, table, ids)
    margin, count = _averaged(row, column, table["margin"].to_numpy(), (len(epochs), len(ids)))
    mean = np.nan_to_num(margin).sum(0) / np.maximum((count > 0).sum(0), 1)
    margin = np.where(count > 0, margin, mean.astype(np.float32))
    return np.asarray(margin[:, ids.searchsorted(sample_ids)].T)


def read_block(
    folder: Path, draw: int, epochs: range, start: int, stop: int, *, whole: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins of the samples start..stop-1 over some epochs of a draw.

    Args:
        folder: the run's `margins` folder.
        draw, epochs: which draw, and which of its epochs.
        start, stop: which samples.
        whole: whether every sample must be there once in every epoch, as a scan sees to it. Else those of several
            records are averaged, and of none NaN, with the runner-up -1.

    Returns:
        margin: float32 of shape [epochs, stop - start].
        runner_up: int32 of the same shape.
        is_indicator: bool of shape [stop - start].

    Raises:
        RunError: when the log cannot be read; or, with `whole`, is not.
    """
    field, ids = ds.field("sample_id"), np.arange(start, stop)
    table = _read(folder, draw, epochs, (field >= start) & (field < stop), ["margin", "runner_up", "is_indicator"])
    row, column = _places(epochs, table, ids)
    margin, count = _averaged(row, column, table["margin"].to_numpy(), (len(epochs), len(ids)))
    if whole and not (count == 1).all():
        epoch, place = np.argwhere(count != 1)[0]
        raise RunError(
            f"{folder / f'draw={draw}'}: sample {ids[place]} was recorded {count[epoch, place]} times in epoch "
            f"{epoch + epochs.start}, not once; resume or repeat the scan"
        )
    runner_up, is_indicator = np.full(margin.shape, -1, np.int32), np.zeros(len(ids), bool)
    runner_up[row, column] = table["runner_up"].to_numpy()
    is_indicator[column] = table["is_indicator"].to_numpy()
    return margin, runner_up, is_indicator


def _read(folder: Path, draw: int, epochs: range, where: ds.Expression, columns: list[str]) -> pa.Table:
    """The rows of some epochs of a draw that fulfil a condition, with epoch, sample id and the columns named."""
    files = [
        str(part) for epoch in epochs for part in sorted(epoch_file(folder, draw, epoch).parent.glob("part-*.parquet"))
    ]
    if not files:
        raise RunError(f"{folder / f'draw={draw}'}: holds no margins of epochs {epochs.start} to {epochs.stop - 1}")
    try:
        table = ds.dataset(files, format=CHECKED, partitioning=PARTITIONING, partition_base_dir=str(folder)).to_table(
            columns=["epoch", "sample_id", *columns], filter=where
        )
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"{folder / f'draw={draw}'}: cannot be read ({' '.join(str(error).split())}); scan again"
        ) from None
    for name in ("sample_id", *columns):
        if table[name].type not in KINDS[name] or table[name].null_count:
            raise RunError(f"{folder / f'draw={draw}'}: is damaged ({name} holds {table[name].type}); scan again")
    return table


def _places(epochs: range, table: pa.Table, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each row belongs in an array [epochs, ids]; its samples are all among `ids` (int, ascending)."""
    sample = table["sample_id"].to_numpy()
    contiguous = len(ids) and ids[-1] - ids[0] + 1 == len(ids)
    return table["epoch"].to_numpy() - epochs.start, sample - ids[0] if contiguous else ids.searchsorted(sample)


def _averaged(
    row: np.ndarray, column: np.ndarray, margin: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the margins at each place, float32, NaN where there are none; and how many there are."""
    count = np.zeros(shape, np.uint8)
    np.add.at(count, (row, column), 1)
    found = np.full(shape, np.nan, np.float32)
    found[row, column] = margin
    if (several := count > 1).any():
        total = np.zeros(shape)
        np.add.at(total, (row, column), margin)
        found[several] = total[several] / count[several]
    return found, count
