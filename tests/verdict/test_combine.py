import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumclean.verdict.combine import combine_draws, label_score, repeat_deviation

AUM = np.array([[-3.0, -3.0, 3.0, 9.9, -3.0], [-3.0, 3.0, 3.0, -3.0, 9.9]])
INDICATOR = np.array([[False, False, False, True, False], [False, False, False, False, True]])
ZERO = np.zeros(2)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("all", [True, False, False, True, True]), ("any", [True, True, False, True, True])],
)
def test_a_sample_is_judged_only_by_draws_in_which_it_is_no_indicator(how, expected):
    assert combine_draws(AUM, INDICATOR, ZERO, how).flagged.tolist() == expected


def test_mean_weighs_the_distances_of_the_judging_draws():
    found = combine_draws(AUM, INDICATOR, ZERO, "mean")
    scales = [AUM[0][~INDICATOR[0]].std(), AUM[1][~INDICATOR[1]].std()]
    assert found.distance[0] == pytest.approx(np.mean([-3 / scales[0], -3 / scales[1]]))
    assert found.distance[3] == pytest.approx(-3 / scales[1])
    assert found.flagged.tolist() == (found.distance <= 0).tolist()


@given(st.integers(0, 2**32 - 1))
def test_flags_follow_the_samples_when_they_are_reordered(seed):
    rng = np.random.default_rng(seed)
    aum, indicator = rng.normal(size=(3, 20)), rng.random((3, 20)) < 0.2
    indicator[0] &= ~indicator[1:].all(0)
    order = rng.permutation(20)
    for how in ("all", "any", "mean"):
        straight = combine_draws(aum, indicator, np.full(3, 0.1), how).flagged
        shuffled = combine_draws(aum[:, order], indicator[:, order], np.full(3, 0.1), how).flagged
        assert straight[order].tolist() == shuffled.tolist()


def test_all_implies_any():
    rng = np.random.default_rng(0)
    aum, indicator = rng.normal(size=(2, 500)), np.zeros((2, 500), bool)
    every, some = (combine_draws(aum, indicator, ZERO, how).flagged for how in ("all", "any"))
    assert every.sum() < some.sum()
    assert (some | ~every).all()


def test_draws_of_another_scale_count_alike():
    aum = np.array([[-1.0, 1.0, 0.5, -0.5], [-100.0, 100.0, 50.0, -50.0]])
    found = combine_draws(aum, np.zeros((2, 4), bool), ZERO, "mean")
    alone = combine_draws(aum[:1], np.zeros((1, 4), bool), ZERO[:1], "mean")
    np.testing.assert_allclose(found.distance, alone.distance)


def test_score_is_half_at_the_threshold_and_falls_with_suspicion():
    score = label_score(np.array([-50.0, -1.0, 0.0, 1.0, 50.0]))
    assert score[2] == 0.5
    assert (np.diff(score) > 0).all()
    assert ((score >= 0) & (score <= 1)).all()


def test_repeating_a_scan_changes_the_distances_by_what_its_draws_say():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    first, second = (truth + rng.normal(0, 0.3, (2, 20_000)) for _ in range(2))
    judges = np.ones((2, 20_000), bool)
    expected = (first.mean(0) - second.mean(0)).std()
    assert repeat_deviation(first, judges) == pytest.approx(expected, rel=0.03)
    judges[0, ::2] = False  # half of the samples are judged by one draw alone and tell nothing
    assert repeat_deviation(first, judges) == pytest.approx(expected, rel=0.03)
    assert repeat_deviation(first[:1], judges[:1]) == 0.0
