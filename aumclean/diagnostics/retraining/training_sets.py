"""What plain trainings see: the images of an opened data set, all of them or some."""

from dataclasses import dataclass

import numpy as np

from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import Opened


@dataclass(frozen=True)
class Subject:
    """What a training sees: some samples of a data source."""

    name: str
    opened: Opened
    kept: np.ndarray  # ascending int64 positions
    order: str | None = None  # by what samples were removed
    removed: int = 0

    def dataset(self, class_names: tuple[str, ...]) -> Dataset:
        """Its samples as arrays, labels as indices into `class_names`."""
        whole = self.opened.dataset().with_classes(class_names)
        return whole if len(self.kept) == len(whole) else whole.take(self.kept)
