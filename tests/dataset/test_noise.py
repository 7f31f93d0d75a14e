import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumclean.dataset.noise import flip_noise, pair_noise, uniform_noise

N = 20_000


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.4, 1.0])
def test_uniform_noise_has_the_rate_and_reaches_all_other_classes_alike(rate):
    labels = np.arange(N) % 5
    noisy = uniform_noise(labels, 5, rate, np.random.default_rng(1))
    wrong = noisy != labels
    assert wrong.mean() == pytest.approx(rate, abs=4 * np.sqrt(max(rate * (1 - rate), 1e-9) / N))
    if rate:
        shift = (noisy - labels)[wrong] % 5
        assert np.bincount(shift, minlength=5)[1:] / wrong.sum() == pytest.approx(
            0.25, abs=4 * np.sqrt(0.25 * 0.75 / wrong.sum())
        )


def test_flip_noise_goes_to_the_next_class_only():
    labels = np.arange(N) % 5
    noisy = flip_noise(labels, 5, 0.3, np.random.default_rng(1))
    assert set(((noisy - labels) % 5).tolist()) == {0, 1}
    assert (noisy != labels).mean() == pytest.approx(0.3, abs=0.02)


def test_pair_noise_leaves_unnamed_classes_alone():
    labels = np.arange(N) % 3
    noisy = pair_noise(labels, [1, 1, 2], 0.5, np.random.default_rng(1))
    assert (noisy[labels != 0] == labels[labels != 0]).all()
    assert (noisy[labels == 0] == 1).mean() == pytest.approx(0.5, abs=0.03)


@given(st.integers(2, 9), st.integers(0, 50))
def test_labels_stay_classes_and_the_seed_decides(classes, seed):
    labels = np.arange(40) % classes
    for noise in (uniform_noise, flip_noise):
        first, again = (noise(labels, classes, 0.5, np.random.default_rng(seed)) for _ in range(2))
        assert (first == again).all()
        assert ((first >= 0) & (first < classes)).all()
