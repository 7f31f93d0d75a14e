"""Identical files: the same image twice, and the same image under two labels, a finding that needs no training."""

import numpy as np
import pandas as pd
import pyarrow as pa

CHUNK = 1 << 18


def duplicates(content_hash: pa.ChunkedArray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find samples whose files are identical.

    Args:
        content_hash: strings, of length n.
        labels: int [n].

    Returns:
        first: int64 [n], the first sample with the same content, its own id when it is the first.
        conflict: bool [n], whether samples with this content have different labels.
    """
    first, conflict = np.arange(len(labels)), np.zeros(len(labels), bool)
    repeated = np.flatnonzero(pd.Series(_keys(content_hash)).duplicated(keep=False))
    frame = pd.DataFrame(
        {"hash": content_hash.take(repeated).to_numpy(), "label": labels[repeated], "sample": repeated}
    )
    groups = frame.groupby("hash", sort=False)
    first[repeated] = groups["sample"].transform("first")
    conflict[repeated] = groups["label"].transform("nunique") > 1
    return first, conflict


def _keys(texts: pa.ChunkedArray) -> np.ndarray:
    """A number of 64 bits for each text, equal for equal ones: ten million texts would not fit memory as objects."""
    chunks = (texts.slice(start, CHUNK).to_numpy() for start in range(0, len(texts), CHUNK))
    keys = [pd.util.hash_array(chunk, categorize=False) for chunk in chunks]
    return np.concatenate([np.empty(0, np.uint64), *keys])
