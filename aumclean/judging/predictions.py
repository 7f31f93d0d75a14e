"""Predictions in files or arrays: checked, joined to samples, and stored block by block as held-out evidence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors
from safetensors.numpy import load_file

from aumclean.errors import DataError
from aumclean.judging.labels import ID_COLUMNS
from aumclean.margins.held_out import HeldOut, log_softmax

Kind = Literal["logits", "pred-probs"]
SUFFIXES = (".npy", ".npz", ".parquet", ".safetensors")
IDS = (*ID_COLUMNS, "ids", "sample_ids", "path", "paths", "file_name")
BLOCK = 1 << 15  # rows: of a thousand classes 128 MiB
SUM = 0.01  # by how much probabilities in half precision may miss 1
LEAST = 1e-12  # probability; its logarithm is finite


@dataclass(frozen=True)
class Predictions:
    """What a network, or several each of its own samples, says of all classes.

    Attributes:
        kind: raw logits, or probabilities.
        name: what to call them in messages: the file.
        values: [m, classes], numbers; perhaps mapped from disk.
        ids: [m], which sample each row is of: a path or an id, or a row number; None: row i is of sample i.
        columns: the class of each column, where the file says it.
    """

    kind: Kind
    name: str
    values: np.ndarray
    ids: pa.Array | None = None
    columns: tuple[str, ...] | None = None

    def of(self, paths: pa.Array) -> np.ndarray:
        """The sample of each row, int64 [m].

        Args:
            paths: of the samples, in their order.

        Raises:
            DataError: for ids that are unknown or come twice, or rows that are not one per sample.
        """
        if self.ids is None:
            if len(self.values) != len(paths):
                raise DataError(
                    f"{self.name}: has {len(self.values)} rows for {len(paths)} labels; store ids or paths beside "
                    "them, or a row for every label"
                )
            return np.arange(len(paths))
        if pa.types.is_integer(self.ids.type):
            found = np.asarray(self.ids.to_numpy(), np.int64)
            unknown = (found < 0) | (found >= len(paths))
        else:
            place = pc.index_in(self.ids.cast(pa.string()), paths)
            unknown, found = np.asarray(place.is_null()), np.asarray(place.fill_null(0).to_numpy(), np.int64)
        if unknown.any():
            raise DataError(
                f"{self.name}: {unknown.sum()} ids are of no sample, such as '{self.ids[unknown.argmax()]}'"
            )
        sample, count = np.unique(found, return_counts=True)
        if (count > 1).any():
            row = int((found == sample[count.argmax()]).argmax())
            raise DataError(f"{self.name}: the id '{self.ids[row]}' occurs {count.max()} times; a row per sample")
        return found

    def held_out(self, paths: pa.Array, fold: int) -> Iterator[HeldOut]:
        """Logarithms of the probabilities, block by block, ascending by sample.

        Raises:
            DataError: naming the row, for what is not finite or no probability; as `of` does.
        """
        sample = self.of(paths)
        order = None if self.ids is None else np.argsort(sample)
        for start in range(0, len(sample), BLOCK):
            rows = slice(start, start + BLOCK) if order is None else order[start : start + BLOCK]
            values = np.asarray(self.values[rows], np.float32)
            numbers = np.arange(len(sample))[rows]
            self._require(~np.isfinite(values).all(1), numbers, "has a number that is not finite")
            log_probs = log_softmax(values) if self.kind == "logits" else self._logarithms(values, numbers)
            self._require_logits(values)
            yield HeldOut(sample[rows], np.full(len(values), fold, np.int32), log_probs)

    def _logarithms(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        total = values.sum(1)
        hint = "; logits? give them as --logits"
        self._require((values < -1e-6).any(1), numbers, f"has a probability below 0{hint}")
        self._require(abs(total - 1) > SUM, numbers, f"does not sum to 1{hint}")
        return np.asarray(np.log(np.maximum(values, LEAST)))

    def _require_logits(self, values: np.ndarray) -> None:
        likely = values.min() >= 0 and (abs(values.sum(1) - 1) < 1e-3).all()
        if self.kind == "logits" and likely:
            raise DataError(f"{self.name}: holds probabilities, not logits; give them as --pred-probs")

    def _require(self, wrong: Any, numbers: np.ndarray, what: str) -> None:
        if wrong.any():
            raise DataError(f"{self.name}: row {numbers[wrong.argmax()] + 1} {what} ({wrong.sum()} such rows)")


def predictions(given: Any, kind: Kind) -> Predictions:
    """Predictions of a file or an array.

    Args:
        given: a path of `SUFFIXES`; an array or a tensor [n, classes] in the order of the labels; or a table with a
            column per class.
        kind: what they are.

    Raises:
        DataError: when there is no such array in it.
    """
    name = "pred_probs" if kind == "pred-probs" else kind
    if isinstance(given, str | Path):
        return read_predictions(Path(given).expanduser(), kind)
    columns = getattr(given, "columns", None)
    values = np.asarray(given.detach().float().cpu() if hasattr(given, "detach") else given)
    return _checked(Predictions(kind, name, values, None, None if columns is None else tuple(map(str, columns))))


def read_predictions(file: Path, kind: Kind) -> Predictions:
    """Predictions of a file: one array with a row per sample, and where it says so whose rows these are.

    `.npy` is mapped into memory. In `.npz` and `.safetensors` the array of numbers [m, classes] is meant, and ids or
    paths may lie beside it as `ids` or `paths`. A Parquet table has a column per class, by its name, or one column of
    lists; and perhaps a column `path` or `id`.

    Raises:
        DataError: when it is missing, damaged, or holds no or several such arrays.
    """
    try:
        if file.suffix.lower() == ".npy":
            return _checked(Predictions(kind, str(file), np.load(file, mmap_mode="r", allow_pickle=False)))
        if file.suffix.lower() == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return _named(file, kind, {name: arrays[name] for name in arrays.files})
        if file.suffix.lower() == ".safetensors":
            return _named(file, kind, load_file(file))
        if file.suffix.lower() == ".parquet":
            return _table(file, kind, pq.read_table(file))
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException, safetensors.SafetensorError) as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())[:200]})") from None
    raise DataError(f"{file}: is none of {', '.join(SUFFIXES)}")


def _named(file: Path, kind: Kind, arrays: Mapping[str, np.ndarray]) -> Predictions:
    found = [name for name, array in arrays.items() if array.ndim == 2]
    if len(found) > 1:
        found = [name for name in found if name.replace("_", "-") == kind] or found
    if len(found) != 1:
        raise DataError(f"{file}: has {len(found)} arrays [samples, classes]; it must have one, or one named {kind}")
    ids = next((arrays[name] for name in IDS if name in arrays), None)
    return _checked(Predictions(kind, str(file), arrays[found[0]], None if ids is None else pa.array(ids)))


def _table(file: Path, kind: Kind, table: pa.Table) -> Predictions:
    names = [name for name in IDS if name in table.column_names]
    ids = table[names[0]].combine_chunks() if names else None
    rest = [name for name in table.column_names if name not in names]
    if len(rest) == 1 and pa.types.is_nested(table.schema.field(rest[0]).type):
        lists = table[rest[0]].combine_chunks()
        values = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
        return _checked(Predictions(kind, str(file), values, ids))
    values = np.column_stack([table[name].to_numpy() for name in rest])
    return _checked(Predictions(kind, str(file), values, ids, tuple(rest)))


def _checked(given: Predictions) -> Predictions:
    values = given.values
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "fiu":
        shape = list(values.shape)
        raise DataError(
            f"{given.name}: must be numbers [samples, classes] of two classes at least, not {values.dtype} of {shape}"
        )
    if given.ids is not None and len(given.ids) != len(values):
        raise DataError(f"{given.name}: has {len(given.ids)} ids for {len(values)} rows")
    return given


def agreed_columns(given: Sequence[Predictions]) -> tuple[int | None, tuple[str, ...] | None]:
    """How many classes predictions are of, and their names where a file has them.

    Raises:
        DataError: when two are of different classes.
    """
    width = {one.values.shape[1]: one.name for one in given}
    named = {one.columns: one.name for one in given if one.columns is not None}
    for found in (width, named):
        if len(found) > 1:
            raise DataError(f"{' and '.join(found.values())}: are of different classes")
    return next(iter(width), None), next(iter(named), None)
