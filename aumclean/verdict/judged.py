"""What judging found of every sample, before it becomes a table and a summary."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from aumclean.run.directory import Run
from aumclean.run.tables import read_samples
from aumclean.verdict.aum import Areas
from aumclean.verdict.combine import Combined
from aumclean.verdict.cut import Cut
from aumclean.verdict.neighbours import Near
from aumclean.verdict.posterior import Posterior


@dataclass(frozen=True)
class Judged:
    """Arrays of length n from which the table and the summary are made."""

    run: Run
    labels: np.ndarray
    class_names: tuple[str, ...]
    area: Areas
    thresholds: np.ndarray  # [draws]
    combined: Combined
    judged: np.ndarray  # False: too little is known of it
    conflict: np.ndarray
    first_of_content: np.ndarray
    bands: pa.Table | None  # margins on low-pass and high-pass images, where somebody asked for them
    confirmed: pa.Table  # the samples whose labels a reviewer confirmed before the scan
    posterior: Posterior
    cut: Cut
    near: Near | None  # near-duplicates and nearest others, where a backbone looked

    @property
    def suspect(self) -> np.ndarray:
        """What the rule flags: bool [n]."""
        return np.asarray(self.combined.flagged & self.judged)

    @property
    def flagged(self) -> np.ndarray:
        """The same without what reviewers confirmed before: bool [n]."""
        flagged = self.suspect
        flagged[self.confirmed["sample_id"].to_numpy()] = False
        return flagged


def column_of(run: Run, column: str) -> pa.ChunkedArray:
    """One column of the samples; all of them together, of millions of samples, are as large as the report."""
    return read_samples(run, column)[column]
