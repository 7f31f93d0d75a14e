"""A subject whose samples, scores and copies are written down one by one."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.gate.subject import Measured, Subject
from aumclean.run.record import Place


def hashed(text):
    return hashlib.sha256(text.encode()).hexdigest()


def make_subject(root, rows, *, is_scan=True, unreadable=(), repeat_deviation=0.1, source=None, image_column=None):
    """A subject in `root` of rows (image, label, flagged or None, label_score); equal images are equal content."""
    ordered = sorted(enumerate(rows), key=lambda item: (item[1][2] is None, item[1][3]))
    labels = {}
    for image, label, *_ in rows:
        labels.setdefault(image, set()).add(label)
    report = pa.table(
        {
            "sample_id": pa.array([number for number, _ in ordered], pa.int32()),
            "path": [f"{row[1]}/{row[0]}.png" for _, row in ordered],
            "label": [row[1] for _, row in ordered],
            "suggested_label": ["dog" if row[1] != "dog" else "cat" for _, row in ordered],
            "suggested_confidence": [0.9] * len(ordered),
            "flagged": pa.array([row[2] for _, row in ordered], pa.bool_()),
            "label_score": pa.array([None if row[2] is None else row[3] for _, row in ordered], pa.float64()),
            "content_hash": [hashed(row[0]) for _, row in ordered],
            "duplicate_of": pa.nulls(len(ordered), pa.string()),
            "conflict": [len(labels[row[0]]) > 1 for _, row in ordered],
        }
    )
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"row": pa.array(np.arange(len(rows)))}), root / "samples.parquet")
    photos = str(root / "photos")
    data = Place(source=str(source or photos), root=photos, name="photos", image_column=image_column)
    return Subject(root, is_scan, report, Measured(repeat_deviation=repeat_deviation), data, tuple(unreadable))


@pytest.fixture
def subject(tmp_path):
    """Make a subject in the test's folder."""

    def make(rows, **options):
        return make_subject(Path(tmp_path), rows, **options)

    return make
