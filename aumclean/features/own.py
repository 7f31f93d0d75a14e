"""Features that the user made: rows of numbers, one for each sample."""

import numpy as np
import pyarrow as pa

from aumclean.dataset.rows import SUFFIXES, Rows
from aumclean.errors import DataError
from aumclean.features.root import signed_root
from aumclean.files.location import expanded

LARGEST = 1e4  # whole arrays are scaled to it: float16 ends at 65,504


def is_own(features: str) -> bool:
    """Whether it names a file of features and no backbone."""
    return "@" not in features and features.lower().endswith(SUFFIXES)


def anywhere(features: str) -> str:
    """The same features as they are named from any folder: a file by its absolute path."""
    return str(expanded(features).absolute()) if is_own(features) else features


def in_order(given: Rows, paths: pa.Array) -> np.ndarray:
    """The roots of the features of all samples in order, float16 [n, 1, width], scaled as a whole where they are large.

    Args:
        given: by row, or with ids; those of other samples are left out.
        paths: of the samples.

    Raises:
        DataError: when a sample has none, or one is not finite.
    """
    row = given.of_samples(paths)
    values = given.values if given.ids is None else given.values[row]
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        first = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        raise DataError(f"{given.name}: holds values that are not finite, such as in row {row[first] + 1}")
    return signed_root(values / max(1.0, largest / LARGEST)).astype(np.float16)[:, None]
