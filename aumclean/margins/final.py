"""Final margins: what the network that a draw ends with says of every image as it is, not augmented.

    models/draw=K.margins.parquet
        sample_id  int32, ascending
        rivals     int16 [k] (int32 above 32,767 classes): the real classes with the largest other logits, largest first
        margins    float32 [k]: the label's logit less that of each rival, so that the first one is the margin

The recorded margins are of a network that is still learning, at a high rate; the averaged network at the end of the
closing epochs knows the classes better. Here the indicator class is left out: for a draw's indicator samples the final
margin is that of a label which the network was never taught. k is 5, or one less than there are classes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.errors import RunError
from aumclean.files import atomic, parquet
from aumclean.margins.log import ROW_GROUP

RIVALS = 5


class Final(NamedTuple):
    """Final margins of some samples, one after the other."""

    rivals: np.ndarray  # int [n, k]
    margins: np.ndarray  # float32 [n, k], ascending


def final_margins(logits: np.ndarray, labels: np.ndarray) -> Final:
    """The margin over each of the classes with the largest other logits.

    Args:
        logits: float32 [n, classes], of the real classes only.
        labels: int64 [n].
    """
    others = logits.copy()
    np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
    k = min(RIVALS, logits.shape[1] - 1)
    rivals = np.argpartition(-others, k - 1, axis=1)[:, :k]
    rivals = np.take_along_axis(rivals, np.argsort(-np.take_along_axis(others, rivals, 1), 1, kind="stable"), 1)
    own = np.take_along_axis(logits, labels[:, None], 1)
    return Final(rivals, own - np.take_along_axis(logits, rivals, 1))


def write_final(file: Path, final: Final) -> None:
    """Write the final margins of a draw, of all samples by sample_id, to `Run.final_margins`."""
    n, k = final.margins.shape
    wide = final.rivals.max(initial=0) > np.iinfo(np.int16).max
    columns = {
        "sample_id": pa.array(np.arange(n, dtype=np.int32)),
        "rivals": _lists(final.rivals.astype(np.int32 if wide else np.int16), k),
        "margins": _lists(final.margins, k),
    }
    with atomic.replacing(file) as temporary:
        pq.write_table(
            pa.table(columns),
            temporary,
            **parquet.CHECKED,
            row_group_size=ROW_GROUP,
            use_dictionary=["rivals.list.element"],
            column_encoding={"sample_id": "DELTA_BINARY_PACKED", "margins.list.element": "BYTE_STREAM_SPLIT"},
        )


def _lists(values: np.ndarray, size: int) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), size)


def read_final(file: Path, n: int) -> Iterator[tuple[slice, Final]]:
    """The final margins of a draw, block by block in the order of sample ids: which samples, and what they have.

    Raises:
        RunError: when the file is missing or damaged, or does not hold each of n samples once.
    """
    done = 0
    try:
        for batch in parquet.opened(file).iter_batches(ROW_GROUP, columns=["sample_id", "rivals", "margins"]):
            here = slice(done, done + len(batch))
            if here.stop > n or not np.array_equal(batch["sample_id"].to_numpy(), np.arange(here.start, here.stop)):
                done = -1
                break
            done = here.stop
            yield here, Final(*(batch[name].flatten().to_numpy().reshape(len(batch), -1) for name in Final._fields))
    except (OSError, KeyError, ValueError, AttributeError, pa.ArrowException) as error:  # the last two of other columns
        raise RunError(
            f"{file}: cannot be read ({' '.join(str(error).split())}); scan again, or judge with --threshold indicator"
        ) from None
    if done != n:
        raise RunError(f"{file}: does not hold every sample once; scan again")
