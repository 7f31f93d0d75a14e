import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.random_labels import corruptions
from aumclean.diagnostics.random_labels.corruptions import (
    CORRUPTIONS,
    corrupted,
    corrupted_test,
    pixel_moments,
    pixel_permutation,
    random_labels,
    random_pixels,
    realised_rate,
    shuffled_pixels,
)
from aumclean.errors import ConfigError

N = 20_000
PIXEL_CORRUPTIONS = ("shuffled-pixels", "random-pixels", "gaussian")


def photos(n=60, size=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    images = (rng.random((n, size, size, 3)) ** 2 * np.array([255, 120, 60])).astype(np.uint8)
    return Dataset(images, (np.arange(n) % classes).astype(np.int64), tuple("abcdefgh"[:classes]))


def sorted_pixels(image):
    return sorted(map(tuple, image.reshape(-1, 3).tolist()))


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 5, 10])
def test_the_realised_rate_leaves_out_those_redrawn_to_the_true_class(probability, classes):
    labels = np.arange(N) % classes
    rate = probability * (1 - 1 / classes)
    wrong = random_labels(labels, classes, probability, np.random.default_rng(3)) != labels
    assert wrong.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / N))


def test_random_labels_are_uniform_whatever_the_true_class():
    labels = np.arange(N) % 5
    redrawn = random_labels(labels, 5, 1.0, np.random.default_rng(0))
    table = np.zeros((5, 5))
    np.add.at(table, (labels, redrawn), 5 / N)
    np.testing.assert_allclose(table, 0.2, atol=4 * np.sqrt(0.16 * 5 / N))


def test_what_is_random_at_a_low_probability_is_random_alike_at_a_higher_one():
    dataset = photos(2000)
    low, high, whole = (corrupted(dataset, "partial", seed=1, probability=p).labels for p in (0.2, 0.6, 1.0))
    changed = low != dataset.labels
    assert (high[changed] == low[changed]).all()
    assert (whole == corrupted(dataset, "random", seed=1).labels).all()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_shuffled_pixels_are_one_permutation_of_all_images(height, width, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    permutation = pixel_permutation(height * width, seed=seed)
    assert sorted(permutation.tolist()) == list(range(height * width))
    moved = shuffled_pixels(images, permutation)
    np.testing.assert_array_equal(shuffled_pixels(moved, np.argsort(permutation)), images)
    assert [sorted_pixels(image) for image in moved] == [sorted_pixels(image) for image in images]


@settings(max_examples=25)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000), st.sampled_from([1, 40, 1 << 24]))
def test_random_pixels_are_a_permutation_of_each_image(height, width, seed, at_once):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corruptions, "PERMUTED_AT_ONCE", at_once)
        moved = random_pixels(images, np.random.default_rng(seed))
    assert moved.shape == images.shape
    assert [sorted_pixels(image) for image in moved] == [sorted_pixels(image) for image in images]


def test_random_pixels_differ_from_image_to_image():
    same = np.repeat(photos(1, size=8).images, 50, axis=0)
    moved = random_pixels(same, np.random.default_rng(0))
    assert len({image.tobytes() for image in moved}) == 50


def test_gaussian_images_have_the_moments_of_the_data_and_not_their_own():
    dataset = photos(300, size=16)
    noise = corrupted(dataset, "gaussian", seed=0).images
    mean, std = pixel_moments(dataset.images)
    pixels = dataset.images.reshape(-1, 3)
    np.testing.assert_allclose(mean, pixels.mean(0))
    np.testing.assert_allclose(std, pixels.std(0))
    clipped = np.clip(np.random.default_rng(9).normal(mean, std, (200_000, 3)), 0, 255)
    np.testing.assert_allclose(noise.reshape(-1, 3).mean(0), clipped.mean(0), atol=0.02 * std.max())
    np.testing.assert_allclose(noise.reshape(-1, 3).std(0), clipped.std(0), rtol=0.02)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_seed_decides_and_the_original_is_untouched(corruption):
    dataset = photos()
    before = dataset.images.copy(), dataset.labels.copy()
    first, again, other = (corrupted(dataset, corruption, seed=seed, probability=0.5) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    same = (first.images == other.images).all() and (first.labels == other.labels).all()
    assert same == (corruption == "true")
    np.testing.assert_array_equal(dataset.images, before[0])
    np.testing.assert_array_equal(dataset.labels, before[1])


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_labels_of_test_images_stay_and_their_pixels_follow(corruption):
    train, test = photos(seed=0), photos(seed=1)
    seen = corrupted_test(test, train, corruption, seed=5)
    np.testing.assert_array_equal(seen.labels, test.labels)
    assert (seen.images != test.images).any() == (corruption in PIXEL_CORRUPTIONS)
    if corruption == "shuffled-pixels":
        permutation = pixel_permutation(36, seed=5)
        np.testing.assert_array_equal(seen.images, shuffled_pixels(test.images, permutation))
        np.testing.assert_array_equal(
            corrupted(train, corruption, seed=5).images, shuffled_pixels(train.images, permutation)
        )


@pytest.mark.parametrize("corruption", ["random-pixels", "gaussian"])
def test_what_is_random_for_each_image_is_drawn_apart_for_the_test_images(corruption):
    train = photos()
    assert (
        corrupted(train, corruption, seed=5).images != corrupted_test(train, train, corruption, seed=5).images
    ).any()


@pytest.mark.parametrize("corruption", PIXEL_CORRUPTIONS)
def test_corruptions_of_pixels_leave_labels_alone_and_of_labels_the_pixels(corruption):
    dataset = photos()
    assert realised_rate(corrupted(dataset, corruption, seed=0), dataset) == 0
    assert corrupted(dataset, "random", seed=0).images is dataset.images


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_0_to_1_is_refused(probability):
    with pytest.raises(ConfigError, match="--probability: .* is not between 0 and 1"):
        corrupted(photos(), "partial", seed=0, probability=probability)
