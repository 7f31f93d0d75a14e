"""Final margins: what the network that a draw ends with says of every image as it is, not augmented.

    models/draw=K.margins.parquet
        sample_id     int32, ascending
        margin        float32, among the real classes: the indicator class is left out
        runner_up     int16 (int32 above 32,767 classes): the real class with the largest other logit

The recorded margins are of a network that is still learning, at a high rate; the averaged network at the end of the
closing epochs knows the classes better. For a draw's indicator samples the final margin is that of a label which the
network was never taught.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean import atomic
from aumclean.errors import RunError


def write_final(file: Path, margin: np.ndarray, runner_up: np.ndarray) -> None:
    """Write the final margins of a draw.

    Args:
        file: of the run, `Run.final_margins`.
        margin: float32 [n], by sample_id.
        runner_up: int [n].
    """
    wide = len(runner_up) and runner_up.max() > np.iinfo(np.int16).max
    columns = {
        "sample_id": pa.array(np.arange(len(margin), dtype=np.int32)),
        "margin": pa.array(margin, pa.float32()),
        "runner_up": pa.array(runner_up, pa.int32() if wide else pa.int16()),
    }
    with atomic.replacing(file) as temporary:
        pq.write_table(
            pa.table(columns),
            temporary,
            compression="zstd",
            use_dictionary=["runner_up"],
            column_encoding={"sample_id": "DELTA_BINARY_PACKED", "margin": "BYTE_STREAM_SPLIT"},
        )


def read_final(file: Path, n: int) -> np.ndarray:
    """The final margins of a draw, float32 [n], by sample_id.

    Raises:
        RunError: when the file is missing or damaged, or does not hold each of n samples once.
    """
    try:
        table = pq.read_table(file, columns=["sample_id", "margin"])
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"{file}: cannot be read ({' '.join(str(error).split())}); scan anew, or judge with --threshold indicator"
        ) from None
    margin = np.full(n, np.nan, np.float32)
    if len(table) == n:
        margin[table["sample_id"].to_numpy()] = table["margin"].to_numpy()
    if np.isnan(margin).any():
        raise RunError(f"{file}: does not hold every sample once; scan anew")
    return margin
