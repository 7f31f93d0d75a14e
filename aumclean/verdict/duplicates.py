"""Identical files: the same image twice, and the same image under two labels, a finding that needs no training."""

import numpy as np
import pyarrow as pa

from aumclean.files import mapped


def duplicates(content_hash: pa.Array, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find samples whose files are identical.

    Args:
        content_hash: strings, of length n.
        labels: int [n].

    Returns:
        first: int32 [n], the first sample with the same content, its own id when it is the first.
        conflict: bool [n], whether samples with this content have different labels.
    """
    n = len(labels)
    first, conflict = np.arange(n, dtype=np.int32), np.zeros(n, bool)
    repeated = _repeated(_keys(content_hash))
    # two texts may have the same key: those few are compared as texts
    text = content_hash.take(pa.array(repeated)).dictionary_encode().indices.to_numpy()
    _, begins = np.unique(text, return_index=True)
    first[repeated] = repeated[begins][text]
    differs = labels[repeated] != labels[first[repeated]]
    conflict[repeated] = np.bincount(text, differs, minlength=1)[text] > 0
    return first, conflict


def _keys(texts: pa.Array) -> np.ndarray:
    """A number of 64 bits for each text, equal for equal ones: ten million texts would not fit memory as objects."""
    keys = mapped.empty((len(texts),), np.int64)
    for here in mapped.blocks(len(texts)):
        keys[here] = np.fromiter(map(hash, texts[here].to_pylist()), np.int64)
    return keys


def _repeated(keys: np.ndarray) -> np.ndarray:
    """Where a key is that occurs elsewhere too: int64, ascending."""
    ordered = mapped.empty(keys.shape, np.int64)
    ordered[:] = keys
    ordered.sort()
    several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(several):
        return np.empty(0, np.int64)
    del ordered
    found = []
    for here in mapped.blocks(len(keys)):
        nearest = several[several.searchsorted(keys[here]).clip(max=len(several) - 1)]
        found.append(np.flatnonzero(nearest == keys[here]) + here.start)
    return np.concatenate(found)
