"""Margins that another training left: a log as `aumclean.margins.log` has it, or what the package `aum` wrote."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from aumclean.dataset.samples import Samples
from aumclean.errors import DataError
from aumclean.judging.labels import NUMBER
from aumclean.margins.log import KINDS, EpochMargins, epoch_file, recorded_epochs, write_epoch

UNKNOWN = -1  # the runner-up where nobody wrote which class it was
OF_AUM = {  # columns of what `aum` writes
    "sample_id": pa.string(),
    "num_measurements": pa.int64(),
    "target_logit": pa.int64(),
    "other_logit": pa.int64(),
    "margin": pa.float64(),
    "aum": pa.float64(),
}


@dataclass(frozen=True)
class Recorded:
    """What there is: epochs of every draw, how many samples, and whether there are indicator samples."""

    epochs: list[int]
    samples: int
    indicators: bool


def copy_log(source: Path, samples: Samples, target: Path) -> Recorded:
    """Copy a margin log into a run, once it is certain that it is of these samples.

    Args:
        source: a folder with `draw=K/epoch=NNN/part-R.parquet`, or a run directory with one.
        samples: whose margins they are.
        target: the run's `margins` folder.

    Raises:
        DataError: when it is no such log, has gaps, or is of other samples.
    """
    folder = source / "margins" if (source / "margins").is_dir() else source
    draws = 0
    while recorded_epochs(folder, draws):
        draws += 1
    if not draws:
        raise DataError(f"{source}: holds no margins (draw=0/epoch=000/part-0.parquet)")
    epochs = [recorded_epochs(folder, draw) for draw in range(draws)]
    seen, indicators = np.zeros(len(samples), bool), False
    for file, part in _parts(folder, epochs):
        ids, margin, runner_up = (part[name].to_numpy() for name in ("sample_id", "margin", "runner_up"))
        if (unknown := (ids < 0) | (ids >= len(samples))).any():
            raise DataError(f"{file}: has the sample {ids[unknown][0]}; there are {len(samples)} labels")
        if not np.isfinite(margin).all():
            raise DataError(f"{file}: the margin of sample {ids[~np.isfinite(margin)][0]} is not finite")
        _require_classes(file, runner_up, samples)
        seen[ids] = True
        indicators = indicators or bool(pc.any(part["is_indicator"]).as_py())
        place = target / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    return Recorded(epochs, int(seen.sum()), indicators)


def _parts(folder: Path, epochs: list[int]) -> Iterator[tuple[Path, pa.Table]]:
    for draw, count in enumerate(epochs):
        for epoch in range(count):
            for file in sorted(epoch_file(folder, draw, epoch).parent.glob("part-*.parquet")):
                try:
                    part = pq.read_table(file, columns=list(KINDS))
                    for name, kinds in KINDS.items():
                        if part[name].type not in kinds or part[name].null_count:
                            raise DataError(f"{file}: its {name} is no column of a margin log ({part[name].type})")
                except (OSError, KeyError, pa.ArrowException) as error:
                    raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())})") from None
                yield file, part


def _require_classes(file: Path, runner_up: np.ndarray, samples: Samples) -> None:
    """Refuse classes that there are not; the one after the last is that of the indicator samples."""
    if (unknown := (runner_up < UNKNOWN) | (runner_up > len(samples.class_names))).any():
        raise DataError(
            f"{file}: has the class {runner_up[unknown][0]}; there are {len(samples.class_names)}, see --classes"
        )


def convert_aum(file: Path, samples: Samples, target: Path) -> Recorded:
    """Make a margin log of what `aum` wrote: `full_aum_records.csv`, or `aum_values.csv` as one epoch.

    In the full records the samples that were taught the class after the last one are indicator samples.

    Raises:
        DataError: when it is neither, or of other samples.
    """
    try:
        table = pa.csv.read_csv(file, convert_options=pa.csv.ConvertOptions(column_types=OF_AUM))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())})") from None
    full = {"sample_id", "num_measurements", "target_logit", "other_logit", "margin"} <= set(table.column_names)
    if not full and not {"sample_id", "aum"} <= set(table.column_names):
        raise DataError(f"{file}: has no columns sample_id and aum, as aum_values.csv has")
    sample = _joined(file, table["sample_id"].combine_chunks(), samples)
    value = table["margin" if full else "aum"].to_numpy()
    if not np.isfinite(value).all():
        raise DataError(f"{file}: has {'margins' if full else 'AUMs'} that are not finite numbers")
    for name in ("num_measurements", "target_logit", "other_logit") if full else ():
        if table[name].null_count:
            raise DataError(f"{file}: has rows without {name}")
    classes = len(samples.class_names)
    epoch = table["num_measurements"].to_numpy() - 1 if full else np.zeros(len(sample), np.int64)
    runner_up = table["other_logit"].to_numpy() if full else np.full(len(sample), UNKNOWN)
    indicator = table["target_logit"].to_numpy() == classes if full else np.zeros(len(sample), bool)
    _require_classes(file, runner_up, samples)
    epochs = len(np.unique(epoch))
    if epoch.min() != 0 or epoch.max() != epochs - 1:
        raise DataError(f"{file}: its num_measurements are not 1, 2, 3 and so on")
    order = np.lexsort((sample, epoch))
    for number in range(epochs):
        rows = order[slice(*np.searchsorted(epoch[order], (number, number + 1)))]
        if (np.diff(sample[rows]) == 0).any():
            raise DataError(f"{file}: a sample has several values; it must have one for each epoch")
        part = EpochMargins(
            sample[rows].astype(np.int32), value[rows].astype(np.float32), runner_up[rows], indicator[rows]
        )
        write_epoch(target, 0, number, part, {"draw": 0, "epoch": number})
    return Recorded([epochs], len(np.unique(sample)), bool(indicator.any()))


def _joined(file: Path, ids: pa.Array, samples: Samples) -> np.ndarray:
    """The sample of each row, by path or by row number: int64 [m]."""
    place = pc.index_in(ids, samples.paths)
    if not len(ids):
        raise DataError(f"{file}: has no rows")
    if place.null_count and all(NUMBER.fullmatch(text) for text in pc.unique(ids).to_pylist()):
        rows = np.asarray(ids.cast(pa.int64()).to_numpy(), np.int64)
        place = pa.array(rows, mask=rows >= len(samples))
    if place.null_count:
        unknown = ids.filter(place.is_null())
        raise DataError(f"{file}: {len(unknown)} rows are of no sample, such as '{unknown[0]}'")
    return np.asarray(place.to_numpy(), np.int64)
