"""Indicator samples: samples that are mislabeled by construction (the paper's "threshold samples")."""

import numpy as np

from aumclean import chance
from aumclean.config.presets import Rule
from aumclean.dataset.dataset import Dataset

INDICATOR_CLASS = "<indicator>"


def indicator_count(n: int, n_classes: int, rule: Rule = "percentile", least: float = 0.0) -> int:
    """How many indicator samples a draw has, so that their class is about as large as the others.

    floor(n / (c + 1)) as the paper says; floor(n / c) as its published code does (rule `asapp`); where there are many
    classes at least a share of all samples, since what a network says of the others it was taught.
    Pleiss et al. 2020, section 3.2; asappresearch/aum, examples/paper_replication/runner.py.
    """
    return max(n // n_classes if rule == "asapp" else n // (n_classes + 1), int(least * n))


def draw_indicators(
    n: int,
    n_classes: int,
    draws: int,
    *,
    seed: int,
    rule: Rule = "percentile",
    least: float = 0.0,
    group: np.ndarray | None = None,
) -> np.ndarray:
    """Choose the indicator samples of every draw, without replacement and disjoint between draws.

    Args:
        n: number of samples.
        n_classes: number of classes, the indicator class not counted.
        draws: number of draws.
        seed: of the run.
        rule, least: see `indicator_count`.
        group: int [n], of near-duplicates, which stay together: one that is taught would tell of a twin held out.

    Returns:
        int64 of shape [draws, count]: sample ids, ascending within a draw.

    Raises:
        ValueError: when there are too few samples for disjoint draws.
    """
    count = indicator_count(n, n_classes, rule, least)
    if count < 1 or draws * count > n:
        raise ValueError(f"{draws} disjoint draws of {count} indicator samples do not fit {n} samples")
    order = chance.generator(seed, "indicators").permutation(n)
    if group is not None:
        order = _together(order, group, count, draws)
    return np.sort(order[: draws * count].reshape(draws, count), axis=1)


def _together(order: np.ndarray, group: np.ndarray, count: int, draws: int) -> np.ndarray:
    """The same order with the samples of a group one after another, none across the end of a draw where that can be."""
    first = np.full(int(group.max()) + 1, len(order))
    np.minimum.at(first, group[order], np.arange(len(order)))
    order = order[np.argsort(first[group[order]], kind="stable")]
    alone = np.bincount(group)[group] == 1
    for end in range(count, draws * count + 1, count):
        inside = np.flatnonzero(group[order[:end]] == group[order[end - 1]])
        after = end + np.flatnonzero(alone[order[end:]])[: len(inside)]
        if end < len(order) and group[order[end]] == group[order[end - 1]] and len(after) == len(inside):
            order[inside], order[after] = order[after], order[inside]
    return order


def with_indicators(dataset: Dataset, indicators: np.ndarray) -> Dataset:
    """The data set with one more class, to which the samples at `indicators` (int64 ids) are relabeled."""
    labels = dataset.labels.copy()
    labels[indicators] = len(dataset.class_names)
    return dataset.with_labels(labels, (*dataset.class_names, INDICATOR_CLASS))
