"""Predictions of somebody's own: checked, and stored block by block as held-out evidence."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from aumclean.dataset.rows import Rows
from aumclean.errors import DataError
from aumclean.margins.held_out import HeldOut, log_softmax

BLOCK = 1 << 15  # rows: of a thousand classes 128 MiB
SUM = 0.01  # by how much probabilities in half precision may miss 1
LEAST = 1e-12  # probability; its logarithm is finite


def held_out(given: Rows, paths: pa.Array, fold: int) -> Iterator[HeldOut]:
    """Logarithms of the probabilities, block by block, ascending by sample.

    Args:
        given: logits or probabilities of all classes.
        paths: of the samples, in their order.
        fold: the number that they get.

    Raises:
        DataError: naming the row, for what is not finite or no probability; as `Rows.samples` does.
    """
    sample = given.samples(paths)
    order = None if given.ids is None else np.argsort(sample)
    for start in range(0, len(sample), BLOCK):
        rows = slice(start, start + BLOCK) if order is None else order[start : start + BLOCK]
        values = np.asarray(given.values[rows], np.float32)
        numbers = np.arange(len(sample))[rows]
        _require(given, ~np.isfinite(values).all(1), numbers, "has a number that is not finite")
        log_probs = log_softmax(values) if given.kind == "logits" else _logarithms(given, values, numbers)
        _require_logits(given, values)
        yield HeldOut(sample[rows], np.full(len(values), fold, np.int32), log_probs)


def _logarithms(given: Rows, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    total = values.sum(1)
    hint = "; logits? give them as --logits"
    _require(given, (values < -1e-6).any(1), numbers, f"has a probability below 0{hint}")
    _require(given, abs(total - 1) > SUM, numbers, f"does not sum to 1{hint}")
    return np.asarray(np.log(np.maximum(values, LEAST)))


def _require_logits(given: Rows, values: np.ndarray) -> None:
    likely = values.min() >= 0 and (abs(values.sum(1) - 1) < 1e-3).all()
    if given.kind == "logits" and likely:
        raise DataError(f"{given.name}: holds probabilities, not logits; give them as --pred-probs")


def _require(given: Rows, wrong: Any, numbers: np.ndarray, what: str) -> None:
    if wrong.any():
        raise DataError(f"{given.name}: row {numbers[wrong.argmax()] + 1} {what} ({wrong.sum()} such rows)")


def agreed_columns(given: Sequence[Rows]) -> tuple[int | None, tuple[str, ...] | None]:
    """How many classes predictions are of, and their names where a file has them.

    Raises:
        DataError: when two are of different classes.
    """
    width = {one.values.shape[1]: one.name for one in given}
    named = {one.columns: one.name for one in given if one.columns is not None}
    for found in (width, named):
        if len(found) > 1:
            raise DataError(f"{' and '.join(found.values())}: are of different classes")
    return next(iter(width), None), next(iter(named), None)
