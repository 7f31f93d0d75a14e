"""The area under the margin of every sample in every draw, and which class each was taken for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aumclean.files import mapped
from aumclean.margins.log import ROW_GROUP, read_block
from aumclean.verdict.transitions import NO_DIRECTION, Transitions


@dataclass(frozen=True)
class Areas:
    """What the margin log says of every sample.

    Attributes:
        aum: float64 [draws, n], mean margin over the epochs before the closing ones.
        is_indicator: bool [draws, n]; there the AUM is that of the indicator class and judges nothing.
        seen: int32 [draws, n], in how many of the averaged epochs the sample was; the AUM of none is NaN.
        suggested: int32 [n], the class most often the runner-up, -1 when only the indicator class ever was.
        suggested_share: float64 [n], in how many of the epochs that judge the sample it was, 0..1.
        epochs: how many epochs every draw averages, or the draw with the fewest.
        memorised: per draw the share of indicator samples that were taken for the indicator class in the last epoch.
    """

    aum: np.ndarray
    is_indicator: np.ndarray
    seen: np.ndarray
    suggested: np.ndarray
    suggested_share: np.ndarray
    epochs: int
    memorised: list[float]

    def at(self, samples: np.ndarray) -> "Areas":
        """What it says of some samples, int [k]."""
        return replace(
            self,
            aum=self.aum[:, samples],
            is_indicator=self.is_indicator[:, samples],
            seen=self.seen[:, samples],
            suggested=self.suggested[samples],
            suggested_share=self.suggested_share[samples],
        )

    @property
    def judges(self) -> np.ndarray:
        """Bool [draws, n]: whether the AUM in a draw says something of the label."""
        return np.asarray(~self.is_indicator & (self.seen > 0))


class Lowered(NamedTuple):
    """Mean margins, each margin lowered where errors have a direction: float32 [draws, n].

    Attributes:
        averaged: over the epochs that AUM is read from.
        closing: over the closing epochs; where there are none, over the last quarter.
    """

    averaged: np.ndarray
    closing: np.ndarray


def areas(
    folder: Path,
    labels: np.ndarray,
    n_classes: int,
    epochs: Sequence[range],
    stops: Sequence[int],
    directed: Transitions = NO_DIRECTION,
    *,
    whole: bool = True,
) -> tuple[Areas, Lowered]:
    """Read the log block by block: memory grows with n, not with n times the epochs.

    AUM: Pleiss et al. 2020, equation 2. Epochs in which the runner-up was the indicator class count in the
    denominator of `suggested_share` but suggest nothing.

    Args:
        folder: the run's `margins` folder.
        labels: int [n].
        n_classes: number of classes without the indicator class.
        epochs: of every draw, which epochs to average into AUM.
        stops: of every draw, where the closing epochs that come after these end.
        directed: by how much margins over each runner-up are lowered.
        whole: as of `read_block`; what is not there is left out of the means.
    """
    n = len(labels)
    draws, memorised = len(epochs), np.zeros(len(epochs))
    aum, (lowered, closing) = mapped.empty((draws, n), np.float64), mapped.empty((2, draws, n), np.float32)
    is_indicator, seen = mapped.empty((draws, n), bool), mapped.empty((draws, n), np.int32)
    suggested, share = mapped.empty((n,), np.int32), mapped.empty((n,), np.float64)
    for block in _blocks(n):
        votes = []
        for draw in range(draws):
            before = len(epochs[draw])
            all_epochs = range(epochs[draw].start, stops[draw])
            margin, runner_up, indicator = read_block(folder, draw, all_epochs, block.start, block.stop, whole=whole)
            memorised[draw] += (margin[before - 1, indicator] > 0).sum()
            aum[draw, block] = _mean(margin[:before], np.float64)
            seen[draw, block] = before - np.isnan(margin[:before]).sum(0)
            margin -= directed.of(runner_up, labels[block])
            lowered[draw, block] = _mean(margin[:before])
            last = _mean(margin[min(before, len(margin) - max(1, len(margin) // 4)) :])
            closing[draw, block] = np.where(np.isnan(last), lowered[draw, block], last)
            is_indicator[draw, block] = indicator
            runner_up = runner_up[:before]
            votes.append(np.where((runner_up == n_classes) | indicator, -1, runner_up))
        suggested[block], count = most_frequent(np.concatenate(votes))
        judged_epochs = np.where(is_indicator[:, block], 0, seen[:, block]).sum(0)
        share[block] = count / np.maximum(judged_epochs, 1)
    memorised /= np.maximum(is_indicator.sum(1), 1)
    least = min(map(len, epochs))
    found = Areas(aum, is_indicator, seen, suggested, share, least, memorised.tolist())
    return found, Lowered(lowered, closing)


def no_areas(n: int) -> Areas:
    """What there is of n samples without a margin log."""
    nothing, none = np.empty((0, n)), np.empty((0, n), bool)
    suggested = np.full(n, -1, np.int32)
    return Areas(nothing, none, none.astype(np.int32), suggested, np.zeros(n), 0, [])


def _mean(margin: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Over the epochs in which each sample was seen, NaN where there is none."""
    known = ~np.isnan(margin)
    if known.all():
        return np.asarray(margin.mean(0, dtype=dtype))
    total, count = np.where(known, margin, 0).sum(0, dtype=dtype), known.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, ROW_GROUP):
        yield slice(start, min(start + ROW_GROUP, n))


def most_frequent(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent non-negative value of each column and how often it occurs; -1 and 0 when there is none.

    Ties go to the smaller value. `votes` is int [votes, n]; the loop is over votes, never over samples.
    """
    ordered = np.sort(votes, axis=0)
    value = np.full(votes.shape[1], -1, votes.dtype)
    count = np.zeros(votes.shape[1], np.int64)
    run = np.zeros_like(count)
    for index, row in enumerate(ordered):
        same = row == ordered[index - 1] if index else np.zeros(len(row), bool)
        run = np.where(same, run + 1, 1)
        better = (row >= 0) & (run > count)
        value = np.where(better, row, value)
        count = np.where(better, run, count)
    return value, count
