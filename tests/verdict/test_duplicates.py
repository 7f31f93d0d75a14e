import numpy as np
import pyarrow as pa

from aumclean.verdict.duplicates import duplicates


def test_identical_content_points_to_its_first_and_conflicts_where_labels_differ():
    first, conflict = duplicates(pa.chunked_array([["x", "y", "x"], ["z", "y"]]), np.array([0, 1, 0, 2, 2]))
    assert first.tolist() == [0, 1, 0, 3, 1]
    assert conflict.tolist() == [False, True, False, False, True]
