import numpy as np
import pyarrow as pa

from aumclean.verdict.duplicates import duplicates


def test_identical_content_points_to_its_first_and_conflicts_where_labels_differ():
    first, conflict = duplicates(pa.array(["x", "y", "x", "z", "y"]), np.array([0, 1, 0, 2, 2]))
    assert first.tolist() == [0, 1, 0, 3, 1]
    assert conflict.tolist() == [False, True, False, False, True]


def test_a_key_that_two_contents_share_makes_them_no_copies(monkeypatch):
    monkeypatch.setattr("aumclean.verdict.duplicates._keys", lambda texts: np.zeros(len(texts), np.int64))
    first, conflict = duplicates(pa.array(["x", "y", "x", "z"]), np.array([0, 1, 2, 2]))
    assert first.tolist() == [0, 1, 0, 3]
    assert conflict.tolist() == [True, False, True, False]


def test_of_no_samples_there_are_no_duplicates():
    first, conflict = duplicates(pa.array([], pa.string()), np.array([], np.int64))
    assert (len(first), len(conflict)) == (0, 0)


def test_without_copies_everything_is_its_own_first():
    first, conflict = duplicates(pa.array(["x", "y"]), np.array([0, 1]))
    assert (first.tolist(), conflict.tolist()) == ([0, 1], [False, False])
