import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aumclean.dataset.dataset import Dataset
from aumclean.dataset.indicators import INDICATOR_CLASS, draw_indicators, indicator_count, with_indicators


@pytest.mark.parametrize(
    ("n", "classes", "paper", "asapp"), [(45_000, 10, 4090, 4500), (45_000, 100, 445, 450), (100, 2, 33, 50)]
)
def test_the_indicator_class_is_about_as_large_as_the_others(n, classes, paper, asapp):
    assert indicator_count(n, classes) == paper
    assert indicator_count(n, classes, "asapp") == asapp


@given(st.integers(4, 300), st.integers(2, 12), st.integers(2, 4), st.integers(0, 99))
def test_draws_are_disjoint_so_that_every_sample_is_judged(n, classes, draws, seed):
    count = n // (classes + 1)
    assume(count >= 1 and draws * count <= n)
    chosen = draw_indicators(n, classes, draws, seed=seed)
    assert chosen.shape == (draws, count)
    assert len(np.unique(chosen)) == draws * count
    assert ((chosen >= 0) & (chosen < n)).all()


def test_the_choice_depends_on_the_seed_alone():
    first, again, other = (draw_indicators(100, 4, 2, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_too_many_draws_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        draw_indicators(100, 2, 4, seed=0)


def test_indicators_are_relabeled_to_one_more_class_and_nothing_else_changes():
    images = np.zeros((6, 4, 4, 3), np.uint8)
    dataset = Dataset(images, np.array([0, 1, 0, 1, 0, 1]), ("a", "b"))
    changed = with_indicators(dataset, np.array([1, 2]))
    assert changed.class_names == ("a", "b", INDICATOR_CLASS)
    assert changed.labels.tolist() == [0, 2, 2, 1, 0, 1]
    assert dataset.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert changed.images is images
