"""Features of somebody's own, as what they say of labels: what a frozen scan finds, in a run that judges."""

from dataclasses import dataclass

import numpy as np

from aumclean.config.scan import ScanConfig
from aumclean.dataset.open import SMALLEST, Opened
from aumclean.dataset.rows import Rows
from aumclean.progress import Track
from aumclean.run.directory import Run
from aumclean.scanning.features import Looked, look_at_own, write_evidence
from aumclean.scanning.indicator_draws import train_draws
from aumclean.scanning.plan import Plan, settle
from aumclean.scanning.scan import indicators_of


@dataclass(frozen=True)
class OwnFeatures:
    """Features that fit the samples, and how heads on them are trained.

    Attributes:
        looked: what they say.
        plan: of the heads.
        indicators: int64 [draws, count], sample ids.
    """

    looked: Looked
    plan: Plan
    indicators: np.ndarray

    def write_evidence(self, run: Run, track: Track) -> None:
        """Write all that they say of the labels; the draws of the run are trained then."""
        write_evidence(run, self.looked)
        train_draws(run, self.looked.dataset, self.indicators, self.plan, track)


def own_features(opened: Opened, given: Rows, seed: int, track: Track) -> OwnFeatures:
    """Look at all samples by features, before anything is written.

    Args:
        opened: the samples, images or not.
        given: features.
        seed: of the run.
        track: shows the progress.

    Raises:
        DataError: when they do not fit the samples, or these are too few.
    """
    config = ScanConfig(preset="frozen", flip=False, image_size=SMALLEST, seed=seed)  # no image is looked at
    plan = settle(opened.samples, config)
    looked = look_at_own(opened, given, plan.accelerator, track)
    return OwnFeatures(looked, plan, indicators_of(opened, looked, seed, plan))
