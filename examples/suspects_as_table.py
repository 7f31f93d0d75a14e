"""Scan a folder from Python and work with the result as a pandas table."""

import tempfile
from pathlib import Path

import aumclean
from aumclean.scanning.demo import make_digits

with tempfile.TemporaryDirectory() as folder:
    images, _ = make_digits(Path(folder) / "digits")
    run = aumclean.scan(images, out=Path(folder) / "run", epochs=6, flip=False)
    suspects = run.suspects

print(run)
print(suspects[["path", "label", "suggested_label", "label_score"]].head(10).to_string(index=False))
print(suspects.groupby(["label", "suggested_label"]).size().sort_values(ascending=False).head(5))
