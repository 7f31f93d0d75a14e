"""cleanlab: what its Datalab takes, and its table of label issues; rows in the order of the data."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.files.csv import guarded, to_csv
from aumclean.reports import pred_probs
from aumclean.verdict.judge import Verdict


def render(verdict: Verdict) -> dict[str, str | bytes]:
    """`labels.npy` and `pred_probs.npy` for Datalab, and the issues that we found: file names and contents.

    Labels are numbers, in the order of the classes and of the columns of pred_probs, see `pred_probs.matrix`.
    """
    names = pa.array(verdict.run.read().data.class_names)
    labels = pc.index_in(verdict.report.sort_by("sample_id")["label"], names).to_numpy()
    return {
        "labels.npy": pred_probs.npy(labels.astype(np.int64)),
        "pred_probs.npy": pred_probs.render(verdict),
        "label_issues.csv": issues(verdict),
    }


def issues(verdict: Verdict) -> str:
    """`is_label_issue`, `label_score` (low is suspect), `given_label`, `predicted_label`; before them which sample.

    A sample that is not judged has no score and counts as no issue, since cleanlab knows only yes and no.
    """
    report = verdict.report.sort_by("sample_id")
    flagged = pc.fill_null(report["flagged"], False)
    below = pc.fill_null(pc.less(report["aum"], 0), False)  # zero: the suggested label had the larger logit
    table = pa.table(
        {
            "sample_id": report["sample_id"],
            "path": report["path"],
            "is_label_issue": flagged,
            "label_score": report["label_score"],
            "given_label": report["label"],
            "predicted_label": pc.if_else(
                pc.or_(flagged, below), pc.coalesce(report["suggested_label"], report["label"]), report["label"]
            ),
        }
    )
    return to_csv(guarded(table))
