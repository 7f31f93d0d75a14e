"""Arrays of somebody's own with a row per sample: files of several kinds read, and rows joined to samples."""

import zipfile
import zlib
from collections.abc import Mapping
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
from aumclean.files.location import expanded

Kind = Literal["logits", "pred-probs", "features"]
SUFFIXES = (".npy", ".npz", ".parquet", ".safetensors")
ID_COLUMNS = ("id", "sample_id", "uid", "key")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, pa.ArrowException,
              safetensors.SafetensorError)  # fmt: skip
IDS = (*ID_COLUMNS, "ids", "sample_ids", "path", "paths", "file_name")


@dataclass(frozen=True)
class Rows:
    """An array with a row per sample.

    Attributes:
        kind: what its numbers are: raw logits, probabilities, or features.
        name: what to call them in messages: the file.
        values: [m, columns], numbers; perhaps mapped from disk.
        ids: [m], which sample each row is of: a path or an id, or a row number; None: row i is of sample i.
        columns: the name of each column, where the file says it.
    """

    kind: Kind
    name: str
    values: np.ndarray
    ids: pa.Array | None = None
    columns: tuple[str, ...] | None = None

    def samples(self, paths: pa.Array) -> np.ndarray:
        """The sample of each row, int64 [m].

        Args:
            paths: of the samples, in their order.

        Raises:
            DataError: for ids that are unknown or come twice, or rows that are not one per sample.
        """
        found = self._places(paths)
        if self.ids is not None and (unknown := found < 0).any():
            raise DataError(
                f"{self.name}: {unknown.sum()} ids are of no sample, such as '{self.ids[unknown.argmax()]}'"
            )
        return found

    def of_samples(self, paths: pa.Array) -> np.ndarray:
        """The row of each sample, int64 [n]; rows of others are left out.

        Args:
            paths: of the n samples, in their order.

        Raises:
            DataError: for ids that come twice, and samples without a row.
        """
        sample = self._places(paths)
        row = np.full(len(paths), -1)
        row[sample[sample >= 0]] = np.flatnonzero(sample >= 0)
        if (missing := row < 0).any():
            raise DataError(
                f"{self.name}: lacks {missing.sum()} of {len(paths)} samples, such as {paths[missing.argmax()]}"
            )
        return row

    def _places(self, paths: pa.Array) -> np.ndarray:
        """The sample of each row, -1 of what is none: int64 [m]; no sample has two rows."""
        if self.ids is None:
            if len(self.values) != len(paths):
                raise DataError(
                    f"{self.name}: has {len(self.values)} rows for {len(paths)} samples; give one for each, in their "
                    "order, or store ids or paths beside them"
                )
            return np.arange(len(paths))
        if pa.types.is_integer(self.ids.type):
            found = self.ids.cast(pa.int64(), safe=False).fill_null(-1).to_numpy()
            found = np.where((found >= 0) & (found < len(paths)), found, -1)
        else:
            place = pc.index_in(self.ids.cast(pa.string()), paths)
            found = np.asarray(place.fill_null(-1).to_numpy(), np.int64)
        sample, count = np.unique(found[found >= 0], return_counts=True)
        if (count > 1).any():
            row = int((found == sample[count.argmax()]).argmax())
            raise DataError(f"{self.name}: the id '{self.ids[row]}' occurs {count.max()} times; a row per sample")
        return found


def rows(given: Any, kind: Kind) -> Rows:
    """Rows of a file or an array.

    Args:
        given: a path of `SUFFIXES`; an array or a tensor [n, columns] in the order of the labels; or a table with the
            names of its columns.
        kind: what they are.

    Raises:
        DataError: when there is no such array in it.
    """
    if isinstance(given, str | Path):
        return read_rows(expanded(given), kind)
    columns = getattr(given, "columns", None)
    values = np.asarray(given.detach().float().cpu() if hasattr(given, "detach") else given)
    names = None if columns is None else tuple(map(str, columns))
    return _checked(Rows(kind, kind.replace("-", "_"), values, None, names))


def read_rows(file: Path, kind: Kind) -> Rows:
    """Rows of a file: one array with a row per sample, and where it says so whose rows these are.

    `.npy` is mapped into memory. In `.npz` and `.safetensors` the array of numbers [m, columns] is meant, and ids or
    paths may lie beside it as `ids` or `paths`. A Parquet table has one column of lists, or a column per class or
    feature, by its name; and perhaps a column `path` or `id`.

    Raises:
        DataError: when it is missing, damaged, or holds no or several such arrays.
    """
    try:
        if file.suffix.lower() == ".npy":
            return _checked(Rows(kind, str(file), np.lib.format.open_memmap(file, mode="r")))
        if file.suffix.lower() == ".npz":
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:  # which closes none itself
                return _named(file, kind, {name: arrays[name] for name in arrays.files})
        if file.suffix.lower() == ".safetensors":
            return _named(file, kind, load_file(file))
        if file.suffix.lower() == ".parquet":
            return _table(file, kind, pq.read_table(file))
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except UNREADABLE as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())[:200]})") from None
    raise DataError(f"{file}: is none of {', '.join(SUFFIXES)}")


def _named(file: Path, kind: Kind, arrays: Mapping[str, np.ndarray]) -> Rows:
    found = [name for name, array in arrays.items() if array.ndim == 2]
    if len(found) > 1:
        found = [name for name in found if name.replace("_", "-") == kind] or found
    if len(found) != 1:
        raise DataError(f"{file}: has {len(found)} arrays [samples, columns]; it must have one, or one named {kind}")
    ids = next((arrays[name] for name in IDS if name in arrays), None)
    return _checked(Rows(kind, str(file), arrays[found[0]], None if ids is None else pa.array(ids)))


def _table(file: Path, kind: Kind, table: pa.Table) -> Rows:
    names = [name for name in IDS if name in table.column_names]
    ids = table[names[0]].combine_chunks() if names else None
    rest = [name for name in table.column_names if name not in names]
    lists = [name for name in rest if pa.types.is_nested(table.schema.field(name).type)]
    if len(lists) > 1:
        raise DataError(f"{file}: has {len(lists)} columns of lists ({', '.join(lists)}); it must have one")
    if lists:
        column = table[lists[0]].combine_chunks()
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or lengths[0] is None:
            raise DataError(f"{file}: the lists in `{lists[0]}` differ in length; those of all samples have one")
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), lengths[0])
        return _checked(Rows(kind, str(file), values, ids))
    if not rest:
        raise DataError(f"{file}: has no column of {kind}")
    values = np.column_stack([table[name].to_numpy() for name in rest])
    return _checked(Rows(kind, str(file), values, ids, tuple(rest)))


def _checked(given: Rows) -> Rows:
    values, features = given.values, given.kind == "features"
    if values.ndim != 2 or values.shape[1] < (1 if features else 2) or values.dtype.kind not in "fiu":
        what = "width]" if features else "classes] of two classes at least"
        raise DataError(f"{given.name}: must be numbers [samples, {what}, not {values.dtype} of {list(values.shape)}")
    if given.ids is not None and len(given.ids) != len(values):
        raise DataError(f"{given.name}: has {len(given.ids)} ids for {len(values)} rows")
    return given
