import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from aumclean.verdict.cut import find_cut

odds = st.lists(st.floats(-20, 20), min_size=1, max_size=40).map(np.array)


def test_by_default_the_more_probable_decides():
    assert (find_cut(np.array([1.0, -1.0])).probability, find_cut(np.empty(0)).log_odds) == (0.5, 0.0)


@given(odds, st.floats(0.05, 0.95))
def test_a_target_precision_flags_as_many_as_it_allows(log_odds, target):
    flagged = log_odds > find_cut(log_odds, target_precision=target).log_odds
    p = np.sort(expit(log_odds))[::-1]
    means = p.cumsum() / np.arange(1, len(p) + 1)
    assert flagged.sum() <= (means >= target - 1e-9).sum()
    assert not flagged.any() or expit(log_odds[flagged]).mean() >= target - 1e-9
    if len(np.unique(log_odds)) == len(log_odds):
        assert flagged.sum() >= (means >= target + 1e-9).sum()


@given(odds, st.floats(0.05, 0.95))
def test_a_target_recall_flags_what_it_needs(log_odds, target):
    p = expit(log_odds)
    flagged = log_odds > find_cut(log_odds, target_recall=target).log_odds
    if len(np.unique(log_odds)) == len(log_odds):
        assert p[flagged].sum() >= (target - 1e-9) * p.sum()
        assert p[flagged].sum() - p[flagged].min() <= target * p.sum() + 1e-9  # one fewer would not do


def test_the_reason_names_the_rule():
    log_odds = np.linspace(-3, 3, 50)
    assert find_cut(log_odds, target_recall=0.9).why == "target recall 0.9"
    assert find_cut(log_odds, target_precision=0.8).probability < find_cut(log_odds, target_precision=0.9).probability
    assert find_cut(log_odds).probability == pytest.approx(0.5)
