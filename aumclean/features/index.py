"""An approximate index of very many rows, which finds those that may be the nearest; cosines then decide.

It is the inverted file of faiss (Johnson et al. 2017) on principal components: of the indexes that come as a wheel it
takes the least time for each row, half a processor millisecond with learning, and needs no options of the user.
"""

import importlib.util
import math
from collections.abc import Callable

import torch

FEWEST = 200_000  # rows: to compare fewer with each other takes minutes, and is exact
COMPONENTS = 128  # of each row, by which lists are searched
LISTS = 4  # times the square root of the number of rows, as faiss advises
LEARNED_FROM = 50  # rows a list; below 39 faiss warns
PROBED = 16  # lists that are searched for each row; see docs/lab/features.md


def is_needed(count: int, device: torch.device) -> bool:
    """Whether so many rows are too many to compare with all others here, and an index can be had."""
    return device.type == "cpu" and count > FEWEST and importlib.util.find_spec("faiss") is not None


def index_of(rows: torch.Tensor) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """Learn an index of unit vectors, float32 [m, width].

    Returns:
        What finds, of other unit vectors [b, width], candidates for the k nearest: int64 [b, k], -1 where there are
        fewer.
    """
    import faiss

    count, width = rows.shape
    lists = max(1, int(LISTS * math.sqrt(count)))
    index = faiss.index_factory(width, f"PCA{min(COMPONENTS, width)},IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:: max(1, count // (lists * LEARNED_FROM))].numpy())
    for block in torch.split(rows, 1 << 16):
        index.add(block.numpy())
    faiss.extract_index_ivf(index).nprobe = PROBED
    return lambda of, k: torch.from_numpy(index.search(of.numpy(), k)[1])
