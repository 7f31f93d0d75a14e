"""Features that the user made: an array with a row per image, or a table that names the images."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aumclean.dataset.open import Opened
from aumclean.errors import DataError
from aumclean.features.root import signed_root

SUFFIXES = (".npy", ".parquet")
LARGEST = 1e4  # whole arrays are scaled to it: float16 ends at 65,504


def is_own(features: str) -> bool:
    """Whether it names a file of features and no backbone."""
    return features.lower().endswith(SUFFIXES)


def anywhere(features: str) -> str:
    """The same features as they are named from any folder: a file by its absolute path."""
    return str(Path(features).expanduser().absolute()) if is_own(features) else features


def read_own(file: Path, opened: Opened) -> np.ndarray:
    """The roots of the features of all images in order, float16 [n, 1, width], scaled as a whole where they are large.

    Args:
        file: a `.npy` of shape [n, width], row i of the i-th readable image; or a Parquet file with a text column
            `path`, as in the report, and one column of lists, all of the same length.
        opened: the images.

    Raises:
        DataError: when the file does not fit the images.
    """
    try:
        values = _of_array(file, opened) if file.suffix.lower() == ".npy" else _of_table(file, opened)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{file}: cannot be read as features ({' '.join(str(error).split())[:200]})") from None
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.shape[1]:
        raise DataError(f"{file}: holds {values.dtype} {list(values.shape)}; features are numbers [images, width]")
    if len(values) != len(opened):
        raise DataError(
            f"{file}: has {len(values)} rows, the data have {len(opened)} readable images; give one row for each, in "
            "order, or a Parquet file with a column `path`"
        )
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        raise DataError(f"{file}: holds values that are not finite, such as in row {_not_finite(values)}")
    return signed_root(values / max(1.0, largest / LARGEST)).astype(np.float16)[:, None]


def digest(file: Path) -> str:
    """SHA-256 of the file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _not_finite(values: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(values).all(1))[0])


def _of_array(file: Path, opened: Opened) -> np.ndarray:
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def _of_table(file: Path, opened: Opened) -> np.ndarray:
    schema = pq.read_schema(file)
    lists = [field.name for field in schema if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type)]
    if "path" not in schema.names or len(lists) != 1:
        raise DataError(f"{file}: needs a column `path` and one column of lists, it has {', '.join(schema.names)}")
    table = pq.read_table(file, columns=["path", *lists]).combine_chunks()
    place = pc.index_in(opened.samples.paths, value_set=table["path"].combine_chunks().cast(pa.string()))
    if place.null_count:
        missing = opened.samples.paths.filter(place.is_null())
        raise DataError(f"{file}: lacks {len(missing)} of {len(opened)} images, such as {missing[0]}")
    column = table[lists[0]].combine_chunks().take(place)
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or lengths[0] is None:
        raise DataError(f"{file}: the lists in `{lists[0]}` differ in length; features of all images have one")
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), lengths[0])
