"""Scan a folder from Python and work with the result as a pandas table."""

import tempfile
from pathlib import Path

from aumclean import config
from aumclean.dataset.read import read_samples
from aumclean.scanning.demo import make_digits
from aumclean.scanning.scan import scan


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        images, _ = make_digits(Path(folder) / "digits")
        options = config.load({"out": Path(folder) / "run", "epochs": 6, "flip": False})
        finished = scan(read_samples(images), options)

    report = finished.verdict.report.to_pandas()
    suspects = report[report["flagged"] == True]  # noqa: E712  (empty where not judged)
    print(suspects[["path", "label", "suggested_label", "label_score"]].head(10).to_string(index=False))
    print(suspects.groupby(["label", "suggested_label"]).size().sort_values(ascending=False).head(5))
    print("estimated noise rate:", finished.verdict.summary["noise_rate"])


if __name__ == "__main__":
    main()
