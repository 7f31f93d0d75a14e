from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aumclean.margins.log import EpochMargins, write_epoch
from aumclean.verdict import aum as module
from aumclean.verdict.aum import areas, most_frequent

votes = st.tuples(st.integers(1, 7), st.integers(1, 6)).flatmap(
    lambda shape: arrays.arrays(np.int32, shape, elements=st.integers(-1, 3))
)


@given(votes)
def test_most_frequent_agrees_with_counting(ballots):
    value, count = most_frequent(ballots)
    for column, winner, times in zip(ballots.T, value, count, strict=True):
        tally = Counter(vote for vote in column.tolist() if vote >= 0)
        best = max(tally.values(), default=0)
        assert times == best
        assert winner == min((vote for vote in tally if tally[vote] == best), default=-1)


def write_log(folder, margin, runner_up, is_indicator):
    """margin and runner_up [draws, epochs, n], is_indicator [draws, n]."""
    for draw, indicator in enumerate(is_indicator):
        for epoch in range(margin.shape[1]):
            part = EpochMargins(
                np.arange(margin.shape[2], dtype=np.int32), margin[draw, epoch], runner_up[draw, epoch], indicator
            )
            write_epoch(folder, draw, epoch, part, {})


def test_aum_is_the_mean_margin_over_the_chosen_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROW_GROUP", 7)  # several blocks
    rng = np.random.default_rng(0)
    margin = rng.normal(size=(2, 4, 20)).astype(np.float32)
    runner_up = rng.integers(0, 3, (2, 4, 20))
    write_log(tmp_path, margin, runner_up, np.zeros((2, 20), bool))
    found, lowered = areas(tmp_path, np.zeros(20, int), 3, [range(1, 3)] * 2, [4, 4])
    np.testing.assert_allclose(found.aum, margin[:, 1:3].mean(1, dtype=np.float64))
    np.testing.assert_allclose(lowered.closing, margin[:, 3], atol=1e-6)
    assert found.epochs == 2
    _, without = areas(tmp_path, np.zeros(20, int), 3, [range(0, 4)] * 2, [4, 4])
    np.testing.assert_allclose(without.closing, margin[:, 3], atol=1e-6)  # the last quarter


def test_a_log_with_gaps_is_averaged_over_what_was_seen(tmp_path):
    nobody = np.zeros(3, bool)
    for epoch, (ids, margin) in enumerate([([0, 1], [1, -2]), ([0], [3]), ([1], [-4])]):
        part = EpochMargins(np.array(ids), np.array(margin, np.float32), np.array([1] * len(ids)), nobody[ids])
        write_epoch(tmp_path, 0, epoch, part, {})
    found, _ = areas(tmp_path, np.zeros(3, int), 2, [range(3)], [3], whole=False)
    np.testing.assert_array_equal(found.aum[0], [2, -3, np.nan])
    assert found.seen[0].tolist() == [2, 2, 0] and found.judges[0].tolist() == [True, True, False]
    assert found.suggested.tolist() == [1, 1, -1] and found.suggested_share.tolist() == [1, 1, 0]


def test_suggestion_leaves_out_the_indicator_class_and_indicator_draws(tmp_path):
    indicator_class = 3
    runner_up = np.array(
        [
            [[1, indicator_class, 0], [1, indicator_class, 0], [2, indicator_class, 0]],
            [[1, indicator_class, 2], [0, indicator_class, 2], [0, indicator_class, 1]],
        ]
    )
    is_indicator = np.array([[False, False, True], [False, False, False]])
    write_log(tmp_path, np.zeros((2, 3, 3), np.float32), runner_up, is_indicator)
    found, _ = areas(tmp_path, np.zeros(3, int), indicator_class, [range(3)] * 2, [3, 3])
    assert found.suggested.tolist() == [1, -1, 2]
    np.testing.assert_allclose(found.suggested_share, [3 / 6, 0, 2 / 3])
    assert found.is_indicator.tolist() == is_indicator.tolist()
