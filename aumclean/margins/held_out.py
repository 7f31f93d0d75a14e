"""Held-out log-probabilities: how likely each class is, by something that was not taught the sample's label.

    held_out/part-R.parquet, held_out/features.parquet
        sample_id  int32, ascending
        fold       int32: which training left it out, a scan's draw
        classes    int32 [k]: only where there are more than 100 classes, the likeliest ones
        log_probs  float16 [k]: natural logarithms, of all classes in their order or of those in `classes`
        peers      int32 [p]: only of features, the classes that others take the sample for, not taught its label either

A draw's network was taught the indicator class in place of the labels of its own indicator samples, and therefore
judges them, among the real classes, as it judges new images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean.errors import RunError
from aumclean.files import parquet

MOST_CLASSES = 100  # that are stored; the others share what is left alike
MOST_NUMBERS = 20_000_000  # held-out samples times classes, of all folds, so that judging takes megabytes and seconds
LEAST = -60_000.0  # that half precision can hold
MOST_SAMPLES = 20_000  # of a fold; more tell nothing new


@dataclass(frozen=True)
class HeldOut:
    """What is said of samples that were held out, each by the fold that left it out.

    Attributes:
        sample: int64 [m], sample ids.
        fold: int32 [m].
        log_probs: float32 [m, classes].
        peers: int32 [m] each, classes that others of its kind take the samples for.
    """

    sample: np.ndarray
    fold: np.ndarray
    log_probs: np.ndarray
    peers: Sequence[np.ndarray] = ()


def most_held_out(n_classes: int, folds: int) -> int:
    """How many samples of a fold are worth keeping."""
    return max(1, min(MOST_SAMPLES, MOST_NUMBERS // (n_classes * folds)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the softmax over the last axis, in the dtype of the logits."""
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def write_held_out(file: Path, held: HeldOut) -> None:
    """Write one part."""
    n_classes = held.log_probs.shape[1]
    columns = {"sample_id": pa.array(held.sample, pa.int32()), "fold": pa.array(held.fold, pa.int32())}
    log_probs = held.log_probs
    if n_classes > MOST_CLASSES:
        likeliest = np.sort(np.argpartition(-log_probs, MOST_CLASSES - 1, axis=1)[:, :MOST_CLASSES], axis=1)
        columns["classes"] = _lists(likeliest.astype(np.int32))
        log_probs = np.take_along_axis(log_probs, likeliest, 1)
    columns["log_probs"] = _lists(log_probs.clip(LEAST).astype(np.float16))
    if held.peers:
        columns["peers"] = _lists(np.stack(held.peers, 1))
    parquet.save(file, pa.table(columns))


def _lists(values: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def read_held_out(folder: Path, n_classes: int) -> HeldOut:
    """All parts together, ascending by sample id.

    Raises:
        RunError: when there are none, or one cannot be read.
    """
    files = sorted(folder.glob("part-*.parquet"))
    if not files:
        raise RunError(f"{folder}: holds no held-out probabilities; scan anew")
    return joined([read_part(file, n_classes) for file in files])


def joined(parts: list[HeldOut]) -> HeldOut:
    """All parts together, ascending by sample id."""
    sample, fold, log_probs = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("sample", "fold", "log_probs")
    )
    order = np.lexsort((fold, sample))
    return HeldOut(sample[order], fold[order], log_probs[order])


def read_part(file: Path, n_classes: int) -> HeldOut:
    """Read one part.

    Raises:
        RunError: when it cannot be read.
    """
    try:
        table = parquet.opened(file).read().combine_chunks()
        stored = _matrix(table, "log_probs").astype(np.float32)
        if "classes" in table.column_names:
            rest = np.log(np.maximum(1 - np.exp(stored).sum(1, keepdims=True), 1e-6) / (n_classes - stored.shape[1]))
            dense = np.broadcast_to(rest, (len(table), n_classes)).astype(np.float32)
            np.put_along_axis(dense, _matrix(table, "classes"), stored, 1)
            stored = dense
        if stored.shape[1] != n_classes:
            raise RunError(f"{file}: is of {stored.shape[1]} classes, the run has {n_classes}; scan anew")
        sample, fold = (table[name].to_numpy() for name in ("sample_id", "fold"))
        peers = tuple(_matrix(table, "peers").T) if "peers" in table.column_names else ()
    except (OSError, KeyError, ValueError, AttributeError, IndexError, pa.ArrowException) as error:
        raise RunError(f"{file}: cannot be read ({' '.join(str(error).split())}); scan anew") from None
    return HeldOut(sample.astype(np.int64), fold, stored, peers)


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1))
