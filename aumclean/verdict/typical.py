"""The samples that fit their class best: what to hold a suspect against."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.files.mapped import BLOCK

_COLUMNS = pa.schema(
    [
        ("label", pa.string()),
        ("aum", pa.float64()),
        ("sample_id", pa.int64()),
        ("flagged", pa.bool_()),
        ("duplicate_of", pa.string()),
    ]
)


def typical(report: pa.Table, count: int) -> dict[str, list[int]]:
    """For every class the sample ids of the highest AUM, of those that are judged, not flagged and no copy.

    Args:
        report: the report of a verdict.
        count: how many of each class, at most.
    """
    best = _COLUMNS.empty_table()
    for batch in report.select(_COLUMNS.names).to_batches(max_chunksize=BLOCK):
        good = pc.and_(pc.invert(pc.fill_null(batch["flagged"], True)), pc.is_null(batch["duplicate_of"]))
        some = pa.Table.from_batches([batch.filter(good)]).cast(_COLUMNS)
        best = _highest(pa.concat_tables([best, some]), count)
    found: dict[str, list[int]] = {}
    for label, sample in zip(best["label"].to_pylist(), best["sample_id"].to_pylist(), strict=True):
        found.setdefault(label, []).append(sample)
    return found


def _highest(table: pa.Table, count: int) -> pa.Table:
    """The `count` rows of the highest AUM of each class, the highest first; of equal ones the first sample."""
    ids, label = table["sample_id"].to_numpy(), table["label"].combine_chunks().dictionary_encode()
    of_class = label.indices.to_numpy()
    order = np.lexsort((ids, -table["aum"].to_numpy(), of_class))
    begins = np.searchsorted(of_class[order], np.arange(len(label.dictionary)))
    place = np.arange(len(order)) - begins[of_class[order]]
    return table.take(pa.array(order[place < count]))
