"""What the nearest other samples say of a label: a vote of their given labels, weighed by how near they are.

    neighbours.parquet
        sample_id    int32, ascending
        near_group   int32: the first of the near-duplicates that the sample is one of
        leaked_from  string: a near-duplicate among the data that share no image with these; null where there is none;
                     no such column where nobody compared
        neighbour    int32 [k], sample ids, nearest first
        similarity   float32 [k], cosines of the features

Near-duplicates do not vote on each other: a twin that was given the same wrong label would vouch for it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean.errors import RunError
from aumclean.files import atomic, parquet

POWER = 4  # of the similarity, which a vote counts; with 2 to 12 AUROC differs by less than .0005


@dataclass(frozen=True)
class Near:
    """The nearest others of n samples.

    Attributes:
        group: int32 [n], the first of the near-duplicates that a sample is one of; its own id when there are none.
        leaked_from: strings, of length n: a near-duplicate in other data, null where there is none; None: not compared.
        sample: int32 [n, k], nearest first.
        similarity: float32 [n, k].
    """

    group: np.ndarray
    leaked_from: pa.Array | None
    sample: np.ndarray
    similarity: np.ndarray


def write_near(file: Path, near: Near) -> None:
    """Write them."""
    k = near.sample.shape[1]
    columns = {
        "sample_id": pa.array(np.arange(len(near.group), dtype=np.int32)),
        "near_group": pa.array(near.group),
        **({} if near.leaked_from is None else {"leaked_from": near.leaked_from}),
        "neighbour": pa.FixedSizeListArray.from_arrays(pa.array(near.sample.ravel()), k),
        "similarity": pa.FixedSizeListArray.from_arrays(pa.array(near.similarity.ravel()), k),
    }
    with atomic.replacing(file) as temporary:
        parquet.write(pa.table(columns), temporary)


def read_near(file: Path, n: int) -> Near:
    """Read what `write_near` wrote.

    Raises:
        RunError: when it is damaged, or of other samples.
    """
    table = parquet.read(file, None).combine_chunks()
    try:
        lists = (table[name].combine_chunks().flatten().to_numpy() for name in ("neighbour", "similarity"))
        sample, similarity = (values.reshape(len(table), -1) for values in lists)
        group, ids = (table[name].to_numpy() for name in ("near_group", "sample_id"))
        compared = "leaked_from" in table.column_names
        leaked_from = table["leaked_from"].combine_chunks().cast(pa.string()) if compared else None
    except (KeyError, ValueError, AttributeError, pa.ArrowException) as error:
        raise RunError(f"{file}: is damaged ({error}); scan again") from None
    if sample.shape != similarity.shape or {sample.dtype.kind, group.dtype.kind} != {"i"}:
        raise RunError(f"{file}: is damaged (neighbours of shape {sample.shape}); scan again")
    if not np.array_equal(ids, np.arange(n)) or min(sample.min(initial=0), group.min(initial=0)) < 0:
        raise RunError(f"{file}: is not of the {n} samples of this run; scan again")
    if max(sample.max(initial=0), group.max(initial=0)) >= n:
        raise RunError(f"{file}: names samples that this run does not have; scan again")
    return Near(group, leaked_from, sample, similarity)


def vote(near: Near, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """How likely each class is by the neighbours' labels: natural logarithms, float32 [n, classes].

    All votes together count as many as there are neighbours; one more is shared by all classes alike.
    """
    n, k = near.sample.shape
    weight = near.similarity.clip(0) ** POWER
    weight[near.group[near.sample] == near.group[:, None]] = 0
    counted = np.zeros((n, n_classes), np.float32)
    for sample, own in zip(near.sample.T, weight.T, strict=True):  # over neighbours, not over samples
        np.add.at(counted, (np.arange(n), labels[sample]), own)
    share = counted / np.maximum(counted.sum(1, keepdims=True), 1e-12)
    return np.asarray(np.log((share * k + 1 / n_classes) / (k + 1)))


def outlier(near: Near) -> np.ndarray:
    """How far each sample is from its neighbours against how far these are from theirs: float32 [n], 1 is ordinary.

    The local outlier factor of Breunig et al. 2000 with plain means: what belongs to no class (a logo, a screenshot) is
    far from all, and its neighbours are near each other.
    """
    apart = (1 - near.similarity).mean(1)
    return np.asarray(apart / np.maximum(apart[near.sample].mean(1), 1e-6))


def near_conflicts(near: Near, labels: np.ndarray) -> np.ndarray:
    """Whether a near-duplicate of the sample has another label: bool [n]."""
    found = np.zeros(len(labels), bool)
    np.logical_or.at(found, near.group, labels != labels[near.group])
    return np.asarray(found[near.group])
