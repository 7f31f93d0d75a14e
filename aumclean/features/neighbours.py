"""The nearest samples of each, by the cosine of their features, block by block.

They are exact but for very many rows on a CPU, where an index finds candidates (`aumclean.features.index`).

Features are centred and scaled each by its own mean and deviation before, so that no single one decides. Those of
both views of an image are averaged: a mirrored copy is about as near as any other.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from aumclean.dataset.dataset import Dataset
from aumclean.features.index import index_of, is_needed
from aumclean.progress import Track
from aumclean.training.device import has_fast_bf16
from aumclean.training.loop import normalisation

BLOCK = 1024  # samples whose similarities to all others are in memory together
SPARE = 13  # candidates beyond the nearest ones: the sample itself, and those whose order bfloat16 has wrong


@dataclass(frozen=True)
class Neighbours:
    """The k nearest of n samples, nearest first.

    Attributes:
        sample: int32 [n, k].
        similarity: float32 [n, k], cosines.
    """

    sample: np.ndarray
    similarity: np.ndarray


def nearest(
    rows: np.ndarray, k: int, device: torch.device, track: Track, among: np.ndarray | None = None
) -> Neighbours:
    """Find them: candidates by an index or, where that is fast, in bfloat16, which are compared in float32.

    Args:
        rows: float32 [n, width].
        k: how many, or as many as there are.
        device: where to compute.
        track: shows the progress.
        among: float32 [m, width], where to look; by default among the others of the rows themselves.
    """
    own = torch.from_numpy(rows)
    others = own if among is None else torch.from_numpy(among)
    others = F.normalize(others, dim=1).to(device)
    n, most = len(rows), len(others) - (among is None)
    k = min(k, most)
    find = index_of(others) if is_needed(len(others), device) else None
    coarse = others.bfloat16() if has_fast_bf16(device) and find is None else others
    sample, similarity = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    for block in track(torch.split(torch.arange(n), BLOCK), "comparing images", 0, n):
        mine = F.normalize(own[block], dim=1).to(device)
        wanted = min(k + SPARE, len(others))
        if find is None:
            candidates = (mine.to(coarse.dtype) @ coarse.T).topk(wanted, dim=1).indices
        else:
            candidates = find(mine, wanted)
        cosines = torch.einsum("bw,bkw->bk", mine, others[candidates])
        cosines[candidates < 0] = -2  # an index may find fewer
        if among is None:
            cosines[candidates == block.to(device)[:, None]] = -2  # nobody is its own neighbour
        best = cosines.topk(k, dim=1)
        here = slice(int(block[0]), int(block[-1]) + 1)
        sample[here] = candidates.gather(1, best.indices).cpu().numpy()
        similarity[here] = best.values.cpu().numpy()
    return Neighbours(sample, similarity)


def rows_of(dataset: Dataset) -> np.ndarray:
    """Features centred and scaled as the module says: float32 [n, width].

    Args:
        dataset: of features, float16 [n, views, width].
    """
    return scaled(dataset, *(np.array(values, np.float32) for values in normalisation(dataset)))


def scaled(dataset: Dataset, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """The same by a given mean and deviation of each feature, float32 [width]."""
    found = np.empty((len(dataset), dataset.size), np.float32)
    for start in range(0, len(dataset), BLOCK):
        found[start : start + BLOCK] = (dataset.images[start : start + BLOCK].mean(1, dtype=np.float32) - mean) / std
    return found
