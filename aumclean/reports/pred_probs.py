"""Probabilities of the true classes, as other tools of label errors take them: an array with a row per sample."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.margins.held_out import read_held_out
from aumclean.run.record import JudgedRecord
from aumclean.verdict.judge import Verdict


def matrix(verdict: Verdict) -> np.ndarray:
    """Float32 [n, classes], rows in the order of the data and columns in that of the run's class names; rows sum to 1.

    Where predictions were judged, the mean of these. Of other runs what the verdict knows: the given label is right
    with the probability that it is not wrong, else the suggested class is, or any other where none is suggested; of a
    sample of which nothing is known all classes are as likely.
    """
    record, report = verdict.run.read(), verdict.report.sort_by("sample_id")
    n, classes = len(report), len(record.data.class_names)
    if isinstance(record, JudgedRecord) and not record.draws:
        held = read_held_out(verdict.run.held_out, classes)
        total, count = np.zeros((n, classes), np.float32), np.bincount(held.sample, minlength=n)
        np.add.at(total, held.sample, np.exp(held.log_probs))
        if count.all():
            return np.asarray(total / total.sum(1, keepdims=True))
    names, row = pa.array(record.data.class_names), np.arange(n)
    label, other = (
        pc.fill_null(pc.index_in(report[column], names), -1).to_numpy() for column in ("label", "suggested_label")
    )
    wrong = report["wrong_probability"].to_numpy().astype(np.float64)
    probabilities = np.repeat(wrong[:, None] / (classes - 1), classes, axis=1)
    probabilities[other >= 0] = 0
    probabilities[row[other >= 0], other[other >= 0]] = wrong[other >= 0]
    probabilities[row, label] = 1 - wrong
    probabilities[np.isnan(wrong)] = 1 / classes
    return probabilities.astype(np.float32)


def npy(array: np.ndarray) -> bytes:
    """An array as the bytes of a `.npy` file."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getvalue()


def render(verdict: Verdict) -> bytes:
    """`matrix` as `.npy`."""
    return npy(matrix(verdict))
