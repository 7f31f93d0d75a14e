"""FiftyOne: an image classification dataset with the given labels, and a CSV dataset with everything."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import DataError
from aumclean.files.csv import to_csv
from aumclean.files.json import to_json
from aumclean.verdict.judge import Verdict

SHOWN = ("suggested_label", "suggested_confidence", "flagged", "aum", "label_score", "conflict", "sample_id")


def render(verdict: Verdict) -> dict[str, str]:
    """Every sample of the run, by the absolute path of its image: file names and contents.

    `mistakenness` is 1 - label_score, high for what is suspect, as FiftyOne has it.

    Raises:
        DataError: when the images are no files.
    """
    data = verdict.run.place()
    if not data.near_files:
        raise DataError(f"the images are in {data.source}; FiftyOne reads image files only, so write them out first")
    report = verdict.report.sort_by("sample_id")
    files = pa.array([str(Path(data.root) / path) for path in report["path"].to_pylist()])
    mistakenness = pc.subtract(1.0, report["label_score"])
    rows = report.select(["label", *SHOWN]).append_column("mistakenness", mistakenness).to_pylist()
    labels = {
        file: {
            "label": row.pop("label"),
            "attributes": {name: value for name, value in row.items() if value is not None},
        }
        for file, row in zip(files.to_pylist(), rows, strict=True)
    }
    classes = sorted(row.label for row in verdict.summary.per_class)
    table = report.select(["label", *SHOWN]).rename_columns(["given_label", *SHOWN])
    table = table.append_column("mistakenness", mistakenness).add_column(0, "filepath", files)
    return {
        "labels.json": to_json({"classes": classes, "labels": labels}, indent=1) + "\n",
        "labels.csv": to_csv(table),
    }
