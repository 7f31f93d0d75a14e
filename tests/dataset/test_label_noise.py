import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumclean.dataset.label_noise import flip_noise, imbalanced, instance_noise, pair_noise, uniform_noise

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


def pictures(kinds, copies, seed=0):
    """`kinds` different images of 2 x 2 pixels, each `copies` times."""
    return np.tile(np.random.default_rng(seed).integers(90, 130, (kinds, 2, 2, 3), dtype=np.uint8), (copies, 1, 1, 1))


def plain_probabilities(images, label, rate, seed, n, classes):
    """What instance-dependent noise should do to each image of class `label`, worked out one number at a time."""
    rng = np.random.default_rng(seed)
    rng.random(n)
    assert 0.2 <= rate <= 0.8, "the rates are then cut off two deviations away or farther"
    rates = rng.normal(rate, 0.1, n)
    while (beyond := np.abs(rates - rate) > min(rate, 1 - rate)).any():
        rates[beyond] = rng.normal(rate, 0.1, beyond.sum())
    matrix = rng.standard_normal((12, classes), np.float32)
    every = np.concatenate([image.reshape(-1, 3) for image in images])
    found = []
    for image in images:
        values = [
            (image.reshape(-1, 3)[p, c] - every[:, c].mean()) / every[:, c].std() for p in range(4) for c in (0, 1, 2)
        ]
        scores = [
            sum(value * weight for value, weight in zip(values, matrix[:, c], strict=True)) for c in range(classes)
        ]
        powers = [0.0 if c == label else np.exp(score) for c, score in enumerate(scores)]
        found.append([rate * power / sum(powers) if c != label else 1 - rate for c, power in enumerate(powers)])
    return np.array(found)


def test_instance_noise_draws_as_a_plain_statement_says():
    images, copies = pictures(3, 1), 20_000
    labels = np.zeros(3 * copies, np.int64)
    noisy = instance_noise(labels, np.repeat(images, copies, axis=0), 4, 0.4, np.random.default_rng(5))
    expected = plain_probabilities(images, 0, 0.4, 5, 3 * copies, 4)
    for kind in range(3):
        seen = np.bincount(noisy.reshape(3, copies)[kind], minlength=4) / copies
        assert seen == pytest.approx(expected[kind], abs=4 * np.sqrt(0.25 / copies))
    assert (np.abs(expected[:, 1:] - 0.4 / 3).max(1) > 0.08).all(), "far from uniform noise"


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 0.4, 0.9, 1.0])
def test_instance_noise_has_the_rate(rate):
    labels, images = np.arange(N) % 5, pictures(100, N // 100)
    noisy = instance_noise(labels, images, 5, rate, np.random.default_rng(1))
    assert (noisy != labels).mean() == pytest.approx(rate, abs=4 * np.sqrt(max(rate * (1 - rate), 1e-9) / N))
    assert set(noisy.tolist()) == set(range(5))


def test_instance_noise_goes_by_the_picture_and_by_the_class():
    labels, images = np.arange(N) % 2, np.repeat(pictures(10, 1), N // 10, axis=0) // 2
    noisy = instance_noise(labels, images, 6, 1.0, np.random.default_rng(3)).reshape(10, -1, 2)
    usual = np.array([[np.bincount(noisy[kind, :, label]).argmax() for label in (0, 1)] for kind in range(10)])
    alike = (noisy == usual[:, None, :]).mean()
    assert alike > 0.6, "pictures of a kind and class go mostly one way; by chance a fifth would"
    assert len(np.unique(usual[:, 0])) > 1
    assert (usual[:, 0] != usual[:, 1]).any()


def test_instance_noise_repeats_with_its_seed_in_parts_of_any_size(monkeypatch):
    labels, images = np.arange(300) % 3, pictures(300, 1)
    first = instance_noise(labels, images, 3, 0.5, np.random.default_rng(2))
    monkeypatch.setattr("aumclean.dataset.label_noise.PROJECTED", 7)
    np.testing.assert_array_equal(first, instance_noise(labels, images, 3, 0.5, np.random.default_rng(2)))
    assert (first != instance_noise(labels, images, 3, 0.5, np.random.default_rng(3))).any()


def test_imbalance_falls_exponentially_and_keeps_what_the_classes_allow():
    labels = np.repeat(np.arange(5), 1000)
    kept = imbalanced(labels, 10, np.random.default_rng(0))
    assert (np.diff(kept) > 0).all()
    assert np.bincount(labels[kept]).tolist() == [1000, 562, 316, 178, 100]
    few = np.repeat(np.arange(3), [400, 90, 50])
    assert np.bincount(few[imbalanced(few, 4, np.random.default_rng(0))]).tolist() == [180, 90, 45]
    assert (imbalanced(labels, 10, np.random.default_rng(1)) != kept).any()
    assert len(imbalanced(labels, 1, np.random.default_rng(0))) == 5000
    assert np.bincount(labels[imbalanced(labels, 1e6, np.random.default_rng(0))]).min() == 1
