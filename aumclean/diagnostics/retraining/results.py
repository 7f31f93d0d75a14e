"""Results of plain trainings over all seeds, compared with the first."""

from typing import Any

import numpy as np

from aumclean.diagnostics.retraining.manifests import ORACLE
from aumclean.diagnostics.retraining.training_sets import Subject

CONFIDENT = 1.96  # standard errors on either side: 95 %


def results(
    subjects: list[Subject], trainings: list[dict[str, Any]], wrong: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Per subject over all seeds; the first is what the others are compared with.

    Args:
        subjects: in order.
        trainings: one row per training.
        wrong: by name, bool [seeds, test images].
    """
    first = wrong[subjects[0].name].mean(0)
    gap = first.mean() - wrong[ORACLE].mean() if ORACLE in wrong else 0.0
    results = []
    for subject in subjects:
        rows = [row for row in trainings if row["name"] == subject.name]
        errors, own = [row["error"] for row in rows], wrong[subject.name].mean(0)
        fewer = first - own  # per test image, so that images that both get wrong do not blur the difference
        error = CONFIDENT * float(fewer.std(ddof=1)) / len(fewer) ** 0.5 if len(fewer) > 1 else 0.0
        better = {
            "estimate": float(fewer.mean()),
            "low": float(fewer.mean() - error),
            "high": float(fewer.mean() + error),
        }
        judged = gap > 0 and subject.name not in {subjects[0].name, ORACLE}
        results.append(
            {
                "name": subject.name,
                "order": subject.order,
                "removed": subject.removed,
                "images": rows[0]["images"],
                "error": float(np.mean(errors)),
                "deviation": float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
                "train_accuracy": float(np.mean([row["train_accuracy"] for row in rows])),
                "better_by": None if subject is subjects[0] else better,
                "gap_closed": float(fewer.mean() / gap) if judged else None,
            }
        )
    return results
