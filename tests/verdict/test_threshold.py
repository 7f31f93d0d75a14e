import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumclean.verdict.threshold import below_threshold, bootstrap_quantiles, indicator_threshold, interval

aums = st.lists(st.integers(-40, 40).map(lambda value: value / 8), min_size=1, max_size=400).map(np.array)


@given(aums, aums)
def test_paper_rule_is_at_or_below_the_99th_percentile(indicator, aum):
    threshold = indicator_threshold(indicator, 99)
    assert below_threshold(aum, threshold).tolist() == [value <= np.percentile(indicator, 99) for value in aum]


@given(aums, aums)
def test_asapp_rule_is_more_than_one_percent_strictly_above(indicator, aum):
    """The reference code compares every sample with every indicator sample (runner.py:447-450)."""
    flagged = below_threshold(aum, indicator_threshold(indicator, 99, "asapp"), "asapp")
    one_by_one = [100 * sum(other > value for other in indicator) > len(indicator) for value in aum]
    assert flagged.tolist() == one_by_one


@pytest.mark.parametrize(("count", "rank"), [(4500, 46), (450, 5), (99, 1), (100, 2), (1, 1)])
def test_asapp_threshold_is_the_documented_rank(count, rank):
    indicator = np.random.default_rng(0).permutation(count).astype(float)
    assert indicator_threshold(indicator, 99, "asapp") == count - rank


def test_nan_is_never_silently_clean_or_flagged_twice():
    assert not below_threshold(
        np.array([np.nan]), 0.0
    ).any()  # which is why the log refuses margins that are not finite


def test_bootstrap_interval_covers_the_true_quantile():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = interval(bootstrap_quantiles(rng.normal(size=400), 0.9, rng))
        covered += low <= 1.2816 <= high
    assert 176 <= covered <= 200  # 95% of 200, with room for chance


def test_bootstrap_agrees_with_resampling():
    rng = np.random.default_rng(1)
    values = rng.normal(size=300)
    resampled = [np.quantile(rng.choice(values, len(values)), 0.5) for _ in range(2000)]
    np.testing.assert_allclose(
        interval(bootstrap_quantiles(values, 0.5, rng)), interval(np.array(resampled)), atol=0.05
    )
