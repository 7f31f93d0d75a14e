"""What the scan itself removes, with the reason; and the rows of a Parquet file that holds the images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.dataset.images import Embedded, state_of
from aumclean.dataset.table import parquet_file
from aumclean.errors import DataError
from aumclean.verdict.judge import Verdict

STREAMED_ROWS = 1024


def removed(verdict: Verdict, kept: np.ndarray) -> pa.Table:
    """The flagged samples that are not among `kept` (ids), most suspect first, each with the reason in words."""
    report = verdict.report
    goes = np.ones(len(report), bool)
    goes[kept] = False
    shown = ["sample_id", "path", "label", "suggested_label", "label_score", "reason"]
    wanted = pc.and_(pc.fill_null(report["flagged"], False), pa.array(goes[report["sample_id"].to_numpy()]))
    return report.select(shown).filter(wanted)


@dataclass(frozen=True)
class EmbeddedSource:
    """Parquet files with the images in a column, and which of their rows the samples are."""

    images: Embedded
    rows: np.ndarray  # int64, ascending: row of each sample
    size: int  # in bytes, when it was scanned
    changed_ns: int  # time of its last change then

    def filtered(self, keep: np.ndarray) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The file's own rows of the samples `keep`, streamed so the images are never in memory together.

        Raises:
            DataError: when the file is gone or has changed, so that rows can no longer be told by their number.
        """
        first = self.images.files[0]
        try:
            same = state_of(self.images, first) == (self.size, self.changed_ns)
        except OSError:
            same = False
        if not same:
            raise DataError(f"{first}: is gone or has changed since the scan; no cleaned manifest can be made from it")
        return parquet_file(first).schema_arrow, self._stream(self.rows[keep])

    def _stream(self, rows: np.ndarray) -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in self.images.batches(STREAMED_ROWS):
            low, high = np.searchsorted(rows, (first, first + len(batch)))
            yield batch.take(pa.array(rows[low:high] - first))
            first += len(batch)
