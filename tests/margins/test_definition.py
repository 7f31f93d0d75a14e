import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aumclean.margins import margins


def by_hand(logits, labels):
    """The definition, one sample and one class at a time."""
    found = []
    for row, label in zip(logits, labels, strict=True):
        best = None
        for index, logit in enumerate(row):
            if index != label and (best is None or logit > row[best]):
                best = index
        found.append((row[label] - row[best], best))
    return np.array([margin for margin, _ in found], np.float32), np.array([best for _, best in found])


@st.composite
def batches(draw):
    shape = (draw(st.integers(1, 9)), draw(st.integers(2, 40)))
    # few distinct values, so that ties are common
    logits = draw(arrays.arrays(np.float32, shape, elements=st.integers(-3, 3).map(float)))
    labels = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    return logits, labels


@given(batches())
def test_agrees_with_a_double_loop_also_for_ties_and_batches_of_one(batch):
    logits, labels = batch
    margin, runner_up = margins(logits, labels)
    expected, first_best = by_hand(logits, labels)
    np.testing.assert_array_equal(margin, expected)
    np.testing.assert_array_equal(runner_up, first_best)


@pytest.mark.parametrize(("batch", "classes"), [(1, 2), (64, 11), (257, 1001)])
def test_torch_and_numpy_agree_with_the_double_loop(batch, classes):
    rng = np.random.default_rng(batch)
    logits = rng.normal(size=(batch, classes)).astype(np.float32)
    labels = rng.integers(0, classes, batch)
    expected, runner_up = by_hand(logits, labels)
    for found in (margins(logits, labels), margins(torch.from_numpy(logits), torch.from_numpy(labels))):
        np.testing.assert_array_equal(np.asarray(found[0]), expected)
        np.testing.assert_array_equal(np.asarray(found[1]), runner_up)


def test_leaves_the_logits_as_they_were():
    logits = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)
    margin, _ = margins(logits, np.array([0, 0]))
    np.testing.assert_array_equal(logits, [[1, 2], [3, -1]])
    np.testing.assert_array_equal(margin, [-1, 4])


def test_nan_logits_never_give_a_finite_margin():
    logits = np.array([[np.nan, 1.0, 2.0], [0.0, np.nan, 1.0]], np.float32)
    assert not np.isfinite(margins(logits, np.array([0, 0]))[0]).any()
