import numpy as np
import pytest

from aumclean.verdict.held_out import HeldOut
from aumclean.verdict.noise import noise_rate, per_class, per_pair, wilson, wrong_share

NAMES = ("a", "b", "c")


def held_out(rate, *, n=3000, wrong_at=-3.0, given_wrong_at=-3.0, seed=3):
    """Margins of one draw's indicator samples, of whose labels `rate` are wrong."""
    rng = np.random.default_rng(seed)
    is_wrong = rng.random(n) < rate
    given = np.where(is_wrong, rng.normal(given_wrong_at, 1, n), rng.normal(3, 1, n))
    return HeldOut(given, rng.normal(wrong_at, 1, (n, 4))), is_wrong


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_rate_is_estimated_within_its_interval(rate):
    draws = [held_out(rate, seed=seed)[0] for seed in (3, 4)]
    found = noise_rate(draws, np.random.default_rng(0))
    assert found.low <= found.estimate <= found.high
    assert found.low - 0.01 <= rate <= found.high + 0.01
    assert found.high - found.low < 0.06
    assert found.estimate == pytest.approx(wrong_share(draws))


def test_rate_is_not_overestimated_when_wrong_labels_look_worse_than_tried_ones():
    held, is_wrong = held_out(0.1, given_wrong_at=-6)
    assert noise_rate([held], np.random.default_rng(0)).estimate == pytest.approx(is_wrong.mean(), abs=0.015)


def test_few_samples_do_not_bias_the_estimate():
    found = [wrong_share([held_out(0.12, n=160, seed=seed)[0] for seed in (2 * s, 2 * s + 1)]) for s in range(60)]
    assert np.mean(found) == pytest.approx(0.12, abs=0.02)


def test_the_interval_is_as_wide_as_samples_differ():
    few, many = (noise_rate([held_out(0.3, n=n)[0]], np.random.default_rng(0)) for n in (200, 5000))
    assert few.high - few.low > 3 * (many.high - many.low)


def test_wilson_interval_matches_published_values():
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_classes_are_ordered_by_share_and_the_unjudged_come_last():
    labels = np.array([0] * 4 + [1] * 4 + [2])
    flagged = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0], bool)
    rows = per_class(labels, flagged, labels != 2, NAMES)
    assert [row["label"] for row in rows] == ["b", "a", "c"]
    assert [row["flagged_share"] for row in rows] == [0.5, 0.25, None]
    assert [row["judged"] for row in rows] == [True, True, False]


def test_pairs_count_flagged_samples_with_a_suggestion():
    labels, suggested = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 2, 0, -1])
    rows = per_pair(labels, suggested, np.array([1, 1, 0, 1, 1], bool), NAMES)
    assert rows == [
        {"label": "a", "suggested_label": "b", "flagged": 2},
        {"label": "b", "suggested_label": "a", "flagged": 1},
    ]
