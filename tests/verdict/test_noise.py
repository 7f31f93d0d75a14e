import numpy as np
import pytest

from aumclean.verdict.noise import per_class, per_pair, wilson

NAMES = ("a", "b", "c")


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
