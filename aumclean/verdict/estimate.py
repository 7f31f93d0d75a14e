"""Shares with their 95% intervals, none of which has zero width: what sums of probabilities say, and how surely."""

from typing import NamedTuple

import numpy as np
import scipy.special

Z95 = 1.959964  # standard normal, two-sided 95%


class Estimate(NamedTuple):
    """A share, 0..1, with its 95% interval."""

    estimate: float
    low: float
    high: float


def estimate(share: float, variance: float, trials: float) -> Estimate:
    """A share that is known up to a variance, and up to the chance of so many trials all the same.

    The interval is the wider one, at either end, of the normal distribution's and of Clopper and Pearson's (1934) for a
    count of trials; so that none of a thousand is 0 to 0.4%.

    Args:
        share: 0..1.
        variance: of its estimate.
        trials: it is a share of; at least 1.
    """
    half = Z95 * float(np.sqrt(variance))
    hits = share * trials
    low = scipy.special.betaincinv(hits, trials - hits + 1, 0.025) if hits > 0 else 0.0
    high = scipy.special.betaincinv(hits + 1, trials - hits, 0.975) if hits < trials else 1.0
    return Estimate(share, float(max(0.0, min(low, share - half))), float(min(1.0, max(high, share + half))))


def said(estimate: float | None, low: float | None, high: float | None) -> str:
    """An estimate of `summary.json` in words, unknown ones too."""
    if estimate is None or low is None or high is None:
        return "unknown: the networks are not trained enough to say"
    return f"about {estimate:.1%} (95% interval {low:.1%} to {high:.1%})"


def percent(probability: float | None) -> str:
    """The probability that a label is wrong, for people; no label is wrong for certain. Nothing where it is unknown."""
    if probability is None:
        return ""
    return "over 99.9%" if probability > 0.9995 else "under 0.1%" if probability < 0.0005 else f"{probability:.1%}"
