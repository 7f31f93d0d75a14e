"""What judging found of every sample, before it becomes a table and a summary."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from aumclean.run.directory import Run
from aumclean.verdict.aum import Areas
from aumclean.verdict.combine import Combined
from aumclean.verdict.cut import Cut
from aumclean.verdict.neighbours import Near
from aumclean.verdict.posterior import Posterior


@dataclass(frozen=True)
class Judged:
    """Arrays of length n from which the table and the summary are made."""

    run: Run
    path: pa.LargeStringArray
    content_hash: pa.LargeStringArray
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

    def at(self, samples: np.ndarray) -> "Judged":
        """What was found of some samples (int [k]); texts and tables stay those of all."""
        return replace(
            self,
            labels=self.labels[samples],
            area=self.area.at(samples),
            combined=replace(
                self.combined, flagged=self.combined.flagged[samples], distance=self.combined.distance[samples]
            ),
            judged=self.judged[samples],
            conflict=self.conflict[samples],
            first_of_content=self.first_of_content[samples],
            posterior=self.posterior.at(samples),
        )

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
