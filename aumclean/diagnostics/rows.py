"""Rows of what a diagnostic measured, as records, and their mean over seeds."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import numpy as np
from pydantic import Field

from aumclean.files.records import Count, Record, Seconds, Share

Number = int | float
Positive = Annotated[int | float, Field(ge=0)]


class EpochRow(Record):
    """What was measured after an epoch; a diagnostic's own measures are further keys, or those of a type of its own."""

    epoch: Count = Field(description="Epochs behind it, from 1.")
    loss: float = Field(description="Loss of the training pass.")
    accuracy: Share = Field(description="Accuracy of the training pass.")
    learning_rate: float = Field(description="Learning rate.")
    seconds: Seconds = Field(description="Seconds of training.")


class Averaged(Record):
    """A row that over several seeds has the mean of each number; `<name>_low` and `<name>_high` are the range."""

    __pydantic_extra__: dict[str, Number | None] = Field(init=False)


Row = TypeVar("Row", bound=Averaged)


def over_seeds(rows: Sequence[Sequence[Row]], keys: Sequence[str]) -> list[Row]:
    """Mean over seeds, and of several seeds also the least and the greatest.

    Args:
        rows: per seed the same rows in the same order.
        keys: columns that say what a row is of; taken from the first seed. All others are averaged, None counting as
            absent.
    """
    if len(rows) == 1:
        return list(rows[0])  # whole numbers stay whole
    merged = []
    for same in zip(*rows, strict=True):
        plain = [row.model_dump() for row in same]
        means, ranges = dict(plain[0]), {}
        for name in (name for name in plain[0] if name not in keys):
            there = [row[name] for row in plain if row[name] is not None]
            means[name] = float(np.mean(there)) if there else None
            ranges[f"{name}_low"], ranges[f"{name}_high"] = (min(there), max(there)) if there else (None, None)
        merged.append(type(same[0])(**means, **ranges))
    return merged
