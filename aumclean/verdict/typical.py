"""The samples that fit their class best: what to hold a suspect against."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def typical(report: pa.Table, count: int) -> dict[str, list[int]]:
    """For every class the sample ids of the highest AUM, of those that are judged, not flagged and no copy.

    Args:
        report: the report of a verdict.
        count: how many of each class, at most.
    """
    good = pc.and_(pc.invert(pc.fill_null(report["flagged"], True)), pc.is_null(report["duplicate_of"]))
    table = report.select(["label", "aum", "sample_id"]).filter(good)
    ids, label = table["sample_id"].to_numpy(), pc.dictionary_encode(table["label"]).combine_chunks()
    of_class = label.indices.to_numpy()
    order = np.lexsort((ids, -table["aum"].to_numpy(), of_class))  # of millions no Python objects
    begins = np.searchsorted(of_class[order], np.arange(len(label.dictionary)))
    ends = np.append(begins[1:], len(order))
    best = zip(begins.tolist(), np.minimum(begins + count, ends).tolist(), strict=True)
    names = label.dictionary.to_pylist()
    return {name: ids[order[begin:end]].tolist() for name, (begin, end) in zip(names, best, strict=True)}
