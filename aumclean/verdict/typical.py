"""The samples that fit their class best: what to hold a suspect against."""

import pyarrow as pa
import pyarrow.compute as pc


def typical(report: pa.Table, count: int) -> dict[str, list[int]]:
    """For every class the sample ids of the highest AUM, of those that are judged, not flagged and no copy.

    Args:
        report: the report of a verdict.
        count: how many of each class, at most.
    """
    good = report.filter(
        pc.and_(pc.invert(pc.fill_null(report["flagged"], True)), pc.is_null(report["duplicate_of"]))
    ).sort_by([("aum", "descending"), ("sample_id", "ascending")])
    found: dict[str, list[int]] = {}
    for sample_id, label in zip(good["sample_id"].to_pylist(), good["label"].to_pylist(), strict=True):
        of_class = found.setdefault(label, [])
        if len(of_class) < count:
            of_class.append(sample_id)
    return found
