"""Results of plain trainings over all seeds, compared with the first."""

from collections.abc import Sequence

import numpy as np

from aumclean.diagnostics.retraining.manifests import ORACLE
from aumclean.diagnostics.retraining.record import Difference, Result, Trained
from aumclean.diagnostics.retraining.training import Subject

CONFIDENT = 1.96  # standard errors on either side: 95%


def results(subjects: Sequence[Subject], trainings: Sequence[Trained], wrong: dict[str, np.ndarray]) -> list[Result]:
    """Per subject over all seeds; the first is what the others are compared with.

    Args:
        subjects: in order.
        trainings: all of them.
        wrong: by name, bool [seeds, test images].
    """
    first = wrong[subjects[0].name].mean(0)
    gap = first.mean() - wrong[ORACLE].mean() if ORACLE in wrong else 0.0
    results = []
    for subject in subjects:
        rows = [row for row in trainings if row.name == subject.name]
        errors, own = [row.error for row in rows], wrong[subject.name].mean(0)
        fewer = first - own  # per test image, so that images that both get wrong do not blur the difference
        error = CONFIDENT * float(fewer.std(ddof=1)) / len(fewer) ** 0.5 if len(fewer) > 1 else 0.0
        mean = float(fewer.mean())
        judged = gap > 0 and subject.name not in {subjects[0].name, ORACLE}
        results.append(
            Result(
                name=subject.name,
                order=subject.order,
                removed=subject.removed,
                images=rows[0].images,
                error=float(np.mean(errors)),
                deviation=float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
                train_accuracy=float(np.mean([row.train_accuracy for row in rows])),
                better_by=None
                if subject is subjects[0]
                else Difference(estimate=mean, low=mean - error, high=mean + error),
                gap_closed=mean / gap if judged else None,
            )
        )
    return results
