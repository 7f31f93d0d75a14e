"""Images themselves as features: small and aligned ones, such as digits and symbols, need no backbone to be told apart.

As their own witness they know nothing of a network's mistakes, and errors that a network has learned with the labels
do not deceive them. Of photographs they tell next to nothing, and count for as little.
"""

import numpy as np
import torch
from torch.nn import functional as F

from aumclean.features.own import is_own
from aumclean.features.root import signed_root

PIXELS = "pixels"
SIDE = 16  # of what larger images are averaged to: the covariance of a discriminant has (3 * 256)^2 numbers then
BLOCK = 4096


def needs_backbone(features: str) -> bool:
    """Whether they are neither pixels nor in a file."""
    return features != PIXELS and not is_own(features)


def of_pixels(images: np.ndarray) -> np.ndarray:
    """Roots of the pixels: float16 [n, 1, width].

    Args:
        images: uint8 [n, size, size, 3].
    """
    side = min(SIDE, images.shape[1])
    found = np.empty((len(images), 1, side * side * 3), np.float16)
    for start in range(0, len(images), BLOCK):
        block = torch.from_numpy(images[start : start + BLOCK].astype(np.float32) / 255).permute(0, 3, 1, 2)
        found[start : start + BLOCK, 0] = signed_root(F.adaptive_avg_pool2d(block, side).flatten(1).numpy())
    return found
