"""How good a report is, where the true labels are known."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import DataError

SCORES = ("aum", "label_score")
TOP = 100


def evaluate(report: pa.Table, paths: pa.Array, true_labels: pa.Array) -> dict[str, Any]:
    """Compare a report with the truth, sample by sample, joined by path.

    Only judged samples of known truth count, or ranked ones where none is judged. Ranking and cut are measured apart: a
    good order with a bad threshold looks different from the reverse.

    Args:
        report: from `judge`.
        paths: string array, the samples whose truth is known.
        true_labels: string array of the same length.

    Returns:
        Counts; `precision`, `recall`, `f1` of the flags; per score `auroc`, `average_precision`,
        `f1_at_true_count` (flagging as many as are wrong) and `lift_at_100`. Null where undefined.

    Raises:
        DataError: when no sample's truth is known.
    """
    position = pc.index_in(report["path"], paths)
    true = true_labels.take(position.combine_chunks())
    judged = pc.is_valid(report["flagged"]) if pc.any(pc.is_valid(report["flagged"])).as_py() else None
    ranked = pc.is_valid(report["label_score"]) if judged is None else judged  # by margins alone nothing is flagged
    table = report.append_column("true_label", true).filter(pc.and_(pc.is_valid(true), ranked.combine_chunks()))
    if not pc.any(ranked).as_py():
        raise DataError("nothing to evaluate: no sample was judged, since every class has too few")
    if len(table) == 0:
        raise DataError("--truth: none of its paths is in the report; it must be the manifest that was scanned")
    wrong = pc.not_equal(table["label"], table["true_label"]).to_numpy()
    flagged = pc.fill_null(table["flagged"], False).to_numpy()
    hits = int((wrong & flagged).sum())
    return {
        "samples": len(table),
        "wrong": int(wrong.sum()),
        "noise_rate": float(wrong.mean()),
        "flagged": int(flagged.sum()),
        "precision": _ratio(hits, flagged.sum()),
        "recall": _ratio(hits, wrong.sum()),
        "f1": _ratio(2 * hits, flagged.sum() + wrong.sum()),
        **{score: _ranking(table[score], wrong) for score in SCORES},
    }


def _ranking(score: pa.ChunkedArray, wrong: np.ndarray) -> dict[str, float | None]:
    """Of the samples that have the score."""
    known = pc.is_valid(score).to_numpy()
    return ranking(-score.to_numpy()[known], wrong[known])


def ranking(suspicion: np.ndarray, wrong: np.ndarray) -> dict[str, float | None]:
    """Measures of an order alone.

    Args:
        suspicion: float [n], larger is more suspect.
        wrong: bool [n], the truth.
    """
    count = int(wrong.sum())
    if count in {0, len(wrong)}:
        return dict.fromkeys(("auroc", "average_precision", "f1_at_true_count", "lift_at_100"))
    order = np.argsort(-suspicion, kind="stable")
    top = min(TOP, len(wrong))
    auroc, average_precision = _areas(suspicion[order], wrong[order])
    return {
        "auroc": auroc,
        "average_precision": average_precision,
        "f1_at_true_count": float(wrong[order[:count]].mean()),
        "lift_at_100": float(wrong[order[:top]].mean() / wrong.mean()),
    }


def _areas(suspicion: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """AUROC and average precision of a descending order; samples of equal suspicion count as one step.

    What scikit-learn computes, which is not installed where reports are only read (examples/ci/gate-requirements.txt).
    """
    last_of_equals = np.append(np.diff(suspicion) != 0, True)
    seen = np.flatnonzero(last_of_equals) + 1
    hits = np.cumsum(wrong)[last_of_equals]
    misses = seen - hits
    auroc = np.trapezoid(np.append(0, hits), np.append(0, misses)) / (hits[-1] * misses[-1])
    average_precision = (np.diff(hits, prepend=0) * hits / seen).sum() / hits[-1]
    return float(auroc), float(average_precision)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
