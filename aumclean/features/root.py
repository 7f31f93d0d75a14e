"""The signed square root of features: pooled activations are many small values and few large ones.

A discriminant shares one covariance among the classes, and a cosine sums products: a few large values decide either,
until the root is taken (the "power normalisation" of Perronnin, Sanchez and Mensink 2010). On clothing AUROC rises by
0.0025 and average precision by 0.01; turned by a random rotation, features neither gain nor lose
(docs/lab/features.md).
"""

import numpy as np


def signed_root(features: np.ndarray) -> np.ndarray:
    """Of each number the root of its size, with its sign; shape and dtype stay."""
    return np.asarray(np.copysign(np.sqrt(np.abs(features)), features))
