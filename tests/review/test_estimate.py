import numpy as np
import pytest

from aumclean.review.estimate import expected_errors, spot_check_result
from aumclean.verdict.noise import wilson


def test_too_few_decisions_give_no_estimate():
    outcomes = ["relabel"] * 9 + ["unsure"] * 20 + [None] * 60
    assert expected_errors(outcomes, 29) == {"ahead": 50, "rests_on": 9, "expected": None, "low": None, "high": None}


def test_the_estimate_is_the_share_among_the_nearest_with_its_interval():
    outcomes = ["relabel"] * 100 + ["keep", "remove"] * 25 + [None] * 60
    low, high = wilson(25, 50)
    assert expected_errors(outcomes, 150) == {
        "ahead": 50, "rests_on": 50, "expected": 25, "low": round(50 * low), "high": round(50 * high)
    }  # fmt: skip


def test_nothing_ahead_means_nothing_expected():
    assert expected_errors(["keep"] * 20, 19)["expected"] is None


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_holds_the_truth_mostly_when_errors_are_even(seed):
    rng = np.random.default_rng(seed)
    inside = 0
    for _ in range(200):
        wrong = rng.random(150) < 0.7
        outcomes = ["relabel" if one else "keep" for one in wrong[:100]] + [None] * 50
        said = expected_errors(outcomes, 100)
        inside += said["low"] <= 35 <= said["high"]
    assert inside > 170


def test_a_spot_check_counts_each_half_for_itself():
    outcomes = ["relabel", "remove", "keep", "unsure", None, "keep", "keep", "remove", "unsure", None]
    result = spot_check_result(outcomes, [True] * 5 + [False] * 5, 40, 960)
    low, high = wilson(2, 3)
    assert result["precision"] == {
        "wrong": 2, "decided": 3, "share": 2 / 3, "low": low, "high": high, "unsure": 1, "open": 1, "of": 40
    }  # fmt: skip
    assert (result["missed"]["wrong"], result["missed"]["decided"], result["missed"]["of"]) == (1, 3, 960)


def test_without_decisions_the_interval_is_everything():
    part = spot_check_result([None], [True], 1, 0)["precision"]
    assert (part["share"], part["low"], part["high"]) == (None, 0.0, 1.0)


def test_intervals_of_a_spot_check_hold_the_truth():
    rng = np.random.default_rng(0)
    population = rng.random(2000) < 0.1
    inside = 0
    for _ in range(300):
        drawn = rng.choice(population, 60, replace=False)
        said = spot_check_result(["remove" if one else "keep" for one in drawn], [False] * 60, 0, 2000)["missed"]
        inside += said["low"] <= population.mean() <= said["high"]
    assert inside >= 0.93 * 300
