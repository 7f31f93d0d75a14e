"""The margins of an epoch as the steps of a loop bring them: whole batches at a time, on the device that has them.

Nothing here imports torch: a tensor on a device is asked for others like it, and what is on the CPU is NumPy's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aumclean.errors import DataError
from aumclean.margins.definition import margins
from aumclean.margins.held_out import log_softmax
from aumclean.margins.log import EpochMargins

ROWS = 512  # that wait to be added up: enough for NumPy, few enough for the cache


@dataclass(frozen=True)
class Gathered:
    """What a process saw in an epoch.

    Attributes:
        margins: of each sample that was seen the mean margin, and the last runner-up.
        repeated: how often a sample was seen again.
        unknown: how many rows had sample ids that are none; counted on a device, refused at once elsewhere.
        held: int64 [m], the samples that were seen of those whose labels were not taught.
        log_probs: float32 [m, classes], what was last said of them.
    """

    margins: EpochMargins
    repeated: int
    unknown: int
    held: np.ndarray
    log_probs: np.ndarray


class Gathering:
    """Sums of margins per sample, and what is said of those whose labels are not taught.

    Args:
        labels: int64 [n], as they are taught: the indicator class is the last.
        is_indicator: bool [n].
        held: int64 [m], ascending, the indicator samples whose log-probabilities are kept.
        n_classes: number of classes, the indicator class not counted.
    """

    def __init__(self, labels: np.ndarray, is_indicator: np.ndarray, held: np.ndarray, n_classes: int) -> None:
        self.labels, self.is_indicator = np.append(labels, 0).astype(np.int32), is_indicator
        self.held, self.n_classes, self.n = held, n_classes, len(labels)
        self.place = np.full(len(labels) + 1, len(held), np.int32)  # the last row of each is of what is no sample
        self.place[held] = np.arange(len(held))
        self.sums: _OnHost | _OnDevice | None = None

    def add(self, logits: Any, sample_ids: Any) -> None:
        """Take in a batch; on a device nothing waits for it.

        Args:
            logits: [batch, classes], of any floating kind; a tensor keeps its device.
            sample_ids: whole numbers [batch].
        """
        is_tensor = hasattr(logits, "detach")
        if is_tensor:
            logits = logits.detach()
        if is_tensor and logits.device.type != "cpu":
            if self.sums is None:
                self.sums = _OnDevice(self, logits)
            self.sums.add(logits.float(), sample_ids)
            return
        if self.sums is None:
            self.sums = _OnHost(self)
        values = logits.float().numpy() if is_tensor else np.asarray(logits).astype(np.float32, copy=False)
        self.sums.add(values, np.asarray(sample_ids, np.int64))

    def take(self) -> Gathered | None:
        """What was gathered since the last call; None where nothing was."""
        if self.sums is None:
            return None
        total, count, runner_up, log_probs = self.sums.arrays()
        self.sums = None
        n = self.n
        seen = np.flatnonzero(count[:n])
        held = self.held[count[self.held] > 0]
        recorded = EpochMargins(
            seen.astype(np.int32),
            (total[seen] / count[seen]).astype(np.float32),
            runner_up[seen],
            self.is_indicator[seen],
        )
        repeated = int((count[seen] - 1).sum())
        return Gathered(recorded, repeated, int(count[n]), held, log_probs[self.place[held]])


class _OnHost:
    """The sums in NumPy arrays; rows are added up some at a time, since a call of NumPy costs as much as 50 rows."""

    def __init__(self, of: Gathering) -> None:
        n, self.of = of.n, of
        self.total, self.count = np.zeros(n + 1, np.float32), np.zeros(n + 1, np.int32)
        self.runner_up = np.zeros(n + 1, np.int32)
        self.log_probs = np.zeros((len(of.held) + 1, of.n_classes), np.float32)
        self.logits, self.ids = np.empty((0, 0), np.float32), np.empty(0, np.int64)  # of the rows that wait
        self.rows = 0

    def add(self, logits: np.ndarray, ids: np.ndarray) -> None:
        if len(ids) and ids.view(np.uint64).max() >= self.of.n:  # which a number below zero is, too
            raise DataError(f"sample_ids: {ids.min()} to {ids.max()}; there are the samples 0 to {self.of.n - 1}")
        if self.rows + len(ids) > len(self.ids):
            self._add_up()
            if len(ids) > len(self.ids):
                rows = max(ROWS, len(ids))
                self.logits, self.ids = np.empty((rows, logits.shape[1]), np.float32), np.empty(rows, np.int64)
        here = slice(self.rows, self.rows + len(ids))
        self.logits[here], self.ids[here] = logits, ids  # copied: the loop may use its memory again
        self.rows = here.stop

    def _add_up(self) -> None:
        of, logits, ids = self.of, self.logits[: self.rows], self.ids[: self.rows]
        if not self.rows:
            return
        self.rows = 0
        margin, runner_up = margins(logits, of.labels[ids])
        np.add.at(self.total, ids, margin)
        np.add.at(self.count, ids, 1)
        self.runner_up[ids] = runner_up
        place = of.place[ids]
        inside = place < len(of.held)
        self.log_probs[place[inside]] = log_softmax(logits[inside, : of.n_classes])

    def arrays(self) -> tuple[np.ndarray, ...]:
        self._add_up()
        return self.total, self.count, self.runner_up, self.log_probs


class _OnDevice:
    """The sums in tensors beside the logits; every step is queued, none is waited for."""

    def __init__(self, of: Gathering, like: Any) -> None:
        n, self.of = of.n, of
        zeros = like.new_zeros(n + 1).float()
        self.total, self.count, self.runner_up = zeros, zeros.int(), zeros.int()
        self.log_probs = like.new_zeros(len(of.held) + 1, of.n_classes).float()
        self.labels = zeros.int().new_tensor(of.labels)
        self.place = zeros.int().new_tensor(of.place)

    def add(self, logits: Any, sample_ids: Any) -> None:
        n = self.of.n
        if not hasattr(sample_ids, "to"):
            sample_ids = self.labels.new_tensor(np.asarray(sample_ids, np.int32))
        ids = sample_ids.to(logits.device, non_blocking=True).long()
        ids = ids.where((ids >= 0) & (ids < n), n)
        margin, runner_up = margins(logits, self.labels[ids].long())
        self.total.index_add_(0, ids, margin)
        self.count.index_add_(0, ids, (ids * 0 + 1).int())
        self.runner_up[ids] = runner_up.int()
        self.log_probs[self.place[ids].long()] = logits[:, : self.of.n_classes].log_softmax(1)

    def arrays(self) -> tuple[np.ndarray, ...]:
        return tuple(one.cpu().numpy() for one in (self.total, self.count, self.runner_up, self.log_probs))
