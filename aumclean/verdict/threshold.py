"""The indicator threshold: at or below it a sample behaves like one that is mislabeled by construction."""

import numpy as np

from aumclean.config.presets import Rule

BOOTSTRAP = 1000


def indicator_threshold(indicator_aum: np.ndarray, percentile: float, rule: Rule = "percentile") -> float:
    """The threshold of one draw.

    `percentile`: that percentile of the indicator samples' AUMs, with linear interpolation (Pleiss et al. 2020,
    section 3.2). `asapp`: the published code instead asks that strictly more than 1 % of them lie strictly above
    a flagged sample (runner.py:447); the same as being below the (floor(0.01 M) + 1)-th largest of M.

    Args:
        indicator_aum: float [M], M >= 1.
        percentile: 0..100, 99 in the paper.
        rule: which of the two.
    """
    if rule == "percentile":
        return float(np.percentile(indicator_aum, percentile))
    allowed_above = int(np.floor(len(indicator_aum) * (100 - percentile) / 100 + 1e-9))
    return float(np.sort(indicator_aum)[::-1][min(allowed_above, len(indicator_aum) - 1)])


def below_threshold(aum: np.ndarray, threshold: float, rule: Rule = "percentile") -> np.ndarray:
    """Whether a draw flags each sample: AUM <= threshold in the paper, AUM < threshold in the published code."""
    return np.asarray(aum < threshold if rule == "asapp" else aum <= threshold)


def bootstrap_quantiles(values: np.ndarray, quantile: float, rng: np.random.Generator) -> np.ndarray:
    """1,000 bootstrap replicates of a quantile.

    The order statistic of a resample is one of the sample at a Beta-distributed position, so nothing is resampled.
    """
    m = len(values)
    position = rng.beta(quantile * (m - 1) + 1, (1 - quantile) * (m - 1) + 1, BOOTSTRAP)
    return np.asarray(np.quantile(values, position))


def interval(replicates: np.ndarray) -> tuple[float, float]:
    """95 % interval of bootstrap replicates."""
    low, high = np.percentile(replicates, (2.5, 97.5))
    return float(low), float(high)
