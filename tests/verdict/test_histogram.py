import numpy as np

from aumclean.verdict.histogram import BINS, histogram


def test_every_sample_is_counted_once_and_the_threshold_is_inside():
    rng = np.random.default_rng(0)
    aum, indicator = rng.normal(size=5000), rng.random(5000) < 0.1
    aum[0] = 1e9
    for threshold in (0.0, -50.0, 50.0):
        counted = histogram(aum, indicator, threshold)
        assert (sum(counted["samples"]), sum(counted["indicator_samples"])) == ((~indicator).sum(), indicator.sum())
        assert len(counted["samples"]) == BINS
        assert counted["low"] <= threshold <= counted["high"] < 1e9


def test_equal_aums_have_a_histogram():
    counted = histogram(np.zeros(4), np.array([True, False, False, False]), 0.0)
    assert (counted["low"], counted["high"], sum(counted["samples"])) == (-0.5, 0.5, 3)
