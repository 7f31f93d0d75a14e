"""Held-out margins for tests."""

import numpy as np

from aumclean.verdict.held_out import HeldOut


def between_two(given: np.ndarray, wrong: np.ndarray) -> HeldOut:
    """Of two classes: a label with a negative margin is contradicted by a prediction that leads by as much."""
    return HeldOut(given, wrong, np.arange(len(given)) % 2, np.abs(given))
