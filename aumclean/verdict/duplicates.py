"""Identical files: the same image twice, and the same image under two labels, a finding that needs no training."""

import numpy as np
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
    _, key, count = np.unique(_keys(content_hash), return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(count[key] > 1)
    # two texts may have the same key: those few are compared as texts
    text = content_hash.take(pa.array(repeated)).combine_chunks().dictionary_encode().indices.to_numpy()
    _, begins = np.unique(text, return_index=True)
    first[repeated] = repeated[begins][text]
    differs = labels[repeated] != labels[first[repeated]]
    conflict[repeated] = np.bincount(text, differs, minlength=1)[text] > 0
    return first, conflict


def _keys(texts: pa.ChunkedArray) -> np.ndarray:
    """A number of 64 bits for each text, equal for equal ones: ten million texts would not fit memory as objects."""
    chunks = (texts.slice(start, CHUNK).to_pylist() for start in range(0, len(texts), CHUNK))
    return np.concatenate([np.empty(0, np.int64), *(np.fromiter(map(hash, chunk), np.int64) for chunk in chunks)])
