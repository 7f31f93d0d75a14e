"""In place of the package `aum`: `from aumclean.compat import AUMCalculator` is the one changed line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aumclean.errors import DataError
from aumclean.files import atomic
from aumclean.margins import margins

if TYPE_CHECKING:
    import pandas as pd

SampleId = int | str


@dataclass(frozen=True)
class AUMRecord:
    """What is known of a sample after a step."""

    sample_id: SampleId
    num_measurements: int
    target_logit: int
    target_val: float
    other_logit: int
    other_val: float
    margin: float
    aum: float


@dataclass(frozen=True, eq=False)  # equal as mappings are
class Step(Mapping[SampleId, AUMRecord]):
    """The records of a step by sample id, each made when it is asked for; arrays [batch]."""

    sample_ids: list[SampleId]
    num_measurements: np.ndarray
    target_logit: np.ndarray
    target_val: np.ndarray
    other_logit: np.ndarray
    other_val: np.ndarray
    margin: np.ndarray
    aum: np.ndarray

    def __getitem__(self, sample_id: SampleId) -> AUMRecord:
        try:
            row = len(self.sample_ids) - 1 - self.sample_ids[::-1].index(sample_id)
        except ValueError:
            raise KeyError(sample_id) from None
        numbers = {name: array[row].item() for name, array in vars(self).items() if name != "sample_ids"}
        return AUMRecord(sample_id=self.sample_ids[row], **numbers)

    def __iter__(self) -> Iterator[SampleId]:
        return iter(dict.fromkeys(self.sample_ids))

    def __len__(self) -> int:
        return len(set(self.sample_ids))


class AUMCalculator:
    """The calculator of `aum` 1.0.2, a batch at a time: same signature, same files, the same numbers.

    A batch of one is no error, and logits need not be torch's.

    Args:
        save_dir: where `finalize` writes.
        compressed: whether to write the AUMs alone; else each step of each sample as well, `full_aum_records.csv`.
    """

    def __init__(self, save_dir: str, compressed: bool = True) -> None:
        self.save_dir, self.compressed = save_dir, compressed
        self.steps: list[Step] = []
        self._row: dict[SampleId, int] = {}
        self._sum, self._count = np.zeros(1024), np.zeros(1024, np.int64)

    def update(self, logits: Any, targets: Any, sample_ids: Sequence[SampleId]) -> Mapping[SampleId, AUMRecord]:
        """Take in a batch.

        Args:
            logits: [batch, classes], a tensor or an array.
            targets: whole numbers [batch], the classes that were taught.
            sample_ids: [batch], numbers or texts.

        Returns:
            The record of each of these samples after this step.

        Raises:
            DataError: when these are not of one length.
        """
        values = logits.detach().float().cpu().numpy() if hasattr(logits, "detach") else np.asarray(logits, np.float32)
        taught = np.asarray(targets.cpu() if hasattr(targets, "detach") else targets, np.int64)
        ids: list[Any] = sample_ids.tolist() if hasattr(sample_ids, "tolist") else list(sample_ids)
        if values.ndim != 2 or not len(values) == len(taught) == len(ids):
            raise DataError(
                f"update: {len(ids)} sample_ids for {len(taught)} targets and logits of {list(values.shape)}"
            )
        margin, other = margins(values, taught)
        rows = self._rows(ids)
        again = _again(rows)
        count = self._count[rows] + 1 + again
        if again.any():  # the sums of a sample that occurs twice, one after the other
            total = np.array(
                [self._sum[row] + margin[: at + 1][rows[: at + 1] == row].sum() for at, row in enumerate(rows)]
            )
        else:
            total = self._sum[rows] + margin
        self._sum[rows], self._count[rows] = total, count  # of a row that occurs twice the last counts
        row = np.arange(len(rows))
        step = Step(ids, count, taught, values[row, taught], other, values[row, other], margin, total / count)
        if not self.compressed:
            self.steps.append(step)
        return step

    def _rows(self, ids: list[SampleId]) -> np.ndarray:
        index = self._row
        rows = np.array([index.setdefault(sample_id, len(index)) for sample_id in ids], np.int64)
        if len(index) > len(self._sum):
            more = np.zeros(len(index))
            self._sum = np.concatenate([self._sum, more])
            self._count = np.concatenate([self._count, more.astype(np.int64)])
        return rows

    def finalize(self, save_dir: str | None = None) -> None:
        """Write `aum_values.csv`, the largest AUM first, and with `compressed=False` `full_aum_records.csv`.

        Args:
            save_dir: in place of the one that was named at the start.
        """
        import pandas as pd

        folder = Path(save_dir or self.save_dir)
        folder.mkdir(parents=True, exist_ok=True)
        n = len(self._row)
        values = pd.DataFrame({"sample_id": list(self._row), "aum": self._sum[:n] / self._count[:n]})
        atomic.write_text(folder / "aum_values.csv", values.sort_values("aum", ascending=False).to_csv(index=False))
        if not self.compressed:
            names = [name for name in vars(self.steps[0]) if name != "sample_ids"] if self.steps else []
            ids = [sample_id for step in self.steps for sample_id in step.sample_ids]
            arrays = {name: np.concatenate([getattr(step, name) for step in self.steps]) for name in names}
            records = pd.DataFrame({"sample_id": ids, **arrays}).sort_values(["sample_id", "num_measurements"])
            atomic.write_text(folder / "full_aum_records.csv", records.to_csv(index=False))

    @staticmethod
    def records_to_df(records: Sequence[AUMRecord]) -> "pd.DataFrame":
        """Records as a table, sorted by sample and step."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in records]).sort_values(["sample_id", "num_measurements"])


def _again(rows: np.ndarray) -> np.ndarray:
    """How often each row occurred before in the batch, int64."""
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    first = np.searchsorted(ascending, ascending)
    again = np.empty(len(rows), np.int64)
    again[order] = np.arange(len(rows)) - first
    return again
