import numpy as np
import pytest

from aumclean.verdict.noise import noise_rate, per_class, per_pair, wilson

NAMES = ("a", "b", "c")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_rate_is_estimated_within_its_interval(rate):
    rng = np.random.default_rng(3)
    n = 8000
    wrong = rng.random((2, n)) < rate
    indicator = rng.random((2, n)) < 0.1
    aum = np.where(wrong | indicator, rng.normal(-3, 1, (2, n)), rng.normal(3, 1, (2, n)))
    found = noise_rate(aum, indicator, rng)
    assert found["low"] <= found["estimate"] <= found["high"]
    assert found["low"] - 0.01 <= rate <= found["high"] + 0.01
    assert found["high"] - found["low"] < 0.06


def test_rate_is_not_overestimated_when_wrong_labels_look_worse_than_indicators():
    rng = np.random.default_rng(3)
    n = 8000
    wrong, indicator = rng.random((1, n)) < 0.1, rng.random((1, n)) < 0.1
    aum = np.where(indicator, rng.normal(-3, 1, (1, n)), np.where(wrong, rng.normal(-6, 1, (1, n)), 3.0))
    assert noise_rate(aum, indicator, rng)["estimate"] == pytest.approx(wrong[~indicator].mean(), abs=0.01)


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
