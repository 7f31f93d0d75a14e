"""Scan arrays that are in memory, and keep those that are not suspect: one label in ten is wrong here."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import aumclean

digits = load_digits()
images = digits.images / 16  # [n, 8, 8], fractions 0..1
labels = digits.target.copy()
rng = np.random.default_rng(0)
wrong = rng.choice(len(labels), len(labels) // 10, replace=False)
labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10

with tempfile.TemporaryDirectory() as folder:
    run = aumclean.scan((images, labels), out=Path(folder) / "run", epochs=12, flip=False)
    report = run.report

suspects = report.loc[report["flagged"].eq(True), "sample_id"]  # where in the arrays
print(f"{len(suspects)} suspects, of which {np.isin(suspects, wrong).sum()} of the {len(wrong)} planted errors")
keep = np.setdiff1d(np.arange(len(labels)), suspects)
print("shape of what stays:", images[keep].shape)
