import numpy as np
import pyarrow as pa
import pytest

from aumclean.errors import RunError
from aumclean.verdict.neighbours import POWER, Near, near_conflicts, outlier, read_near, vote, write_near


def near(sample, similarity, group=None, leaked=None):
    sample, n = np.array(sample, np.int32), len(sample)
    group = np.arange(n, dtype=np.int32) if group is None else np.array(group, np.int32)
    leaked_from = None if leaked is None else pa.array(leaked, pa.string())
    return Near(group, leaked_from, sample, np.array(similarity, np.float32))


def test_votes_are_weighed_by_similarity_and_one_is_shared_by_all_classes():
    found = near([[1, 2], [0, 2], [0, 1]], [[0.9, 0.5], [0.9, -0.2], [0.5, -0.2]])
    labels = np.array([0, 1, 2])
    said = np.exp(vote(found, labels, 3))
    weight = np.array([0.9**POWER, 0.5**POWER])
    share = weight / weight.sum()
    np.testing.assert_allclose(said[0], (2 * np.array([0, *share]) + 1 / 3) / 3, rtol=1e-5)
    np.testing.assert_allclose(said[1], (2 * np.array([1, 0, 0]) + 1 / 3) / 3, rtol=1e-5)
    np.testing.assert_allclose(said.sum(1), 1, rtol=1e-5)


def test_a_twin_does_not_vouch_for_a_label():
    sample, similarity = [[1, 2], [0, 2], [0, 1]], [[1.0, 0.5], [1.0, 0.5], [0.5, 0.5]]
    labels = np.array([0, 0, 1])
    alone, twins = (np.exp(vote(near(sample, similarity, group), labels, 2)) for group in (None, [0, 0, 2]))
    assert alone[0, 0] > 0.5 > twins[0, 0]


def test_conflicts_are_groups_with_several_labels():
    found = near([[1], [0], [3], [2], [0]], [[1], [1], [1], [1], [0]], [0, 0, 2, 2, 4])
    assert near_conflicts(found, np.array([0, 1, 2, 2, 0])).tolist() == [True, True, False, False, False]


def test_what_is_far_from_neighbours_that_are_near_each_other_is_an_outlier():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal([5, 0, 0], 0.1, (30, 3)), rng.normal([0, 5, 0], 0.1, (30, 3)), [[0, 0, 5]]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    sample = np.argsort(-cosines, 1)[:, :5]
    score = outlier(near(sample, np.take_along_axis(cosines, sample, 1)))
    assert score.argmax() == 60
    assert np.median(score) == pytest.approx(1, abs=0.3)


def test_they_are_stored_whole_and_damage_is_named(tmp_path):
    file = tmp_path / "neighbours.parquet"
    written = near([[1], [0]], [[0.5], [0.5]], [0, 0], ["test/a.png", None])
    write_near(file, written)
    found = read_near(file, 2)
    assert found.leaked_from == written.leaked_from
    for name in ("group", "sample", "similarity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
    write_near(file, near([[1], [0]], [[0.5], [0.5]]))
    assert read_near(file, 2).leaked_from is None
    with pytest.raises(RunError, match="not of the 3 samples"):
        read_near(file, 3)
    write_near(file, near([[7], [0]], [[0.5], [0.5]]))
    with pytest.raises(RunError, match="samples that this run does not have"):
        read_near(file, 2)
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"neighbours\.parquet"):
        read_near(file, 2)
