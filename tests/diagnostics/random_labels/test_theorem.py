import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.random_labels.theorem import TOLERANCE, construct, distinct_images, fit_exactly
from aumclean.errors import ConfigError


def noise(n, size, seed=0, classes=10):
    images = np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    return Dataset(images, np.zeros(n, np.int64), tuple(map(str, range(classes))))


def plain(network, image):
    """The network as the theorem writes it, for one image: units, layers and weights spelled out."""
    projection = float(np.dot(network.direction, image.ravel().astype(np.float64)))
    total = network.floor
    for knots, weights in zip(network.knots, network.weights, strict=True):
        total = max(total, 0.0) if network.depth > 1 else total
        total += sum(w * max(projection - b, 0.0) for w, b in zip(weights, knots, strict=True))
    return total - network.floor


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000), st.integers(1, 6))
def test_any_targets_of_different_images_are_met(n, seed, depth):
    images = noise(n, 3, seed).images
    targets = np.random.default_rng(seed).normal(size=n) * 10
    network = construct(images, targets, depth=min(depth, n), seed=seed)
    np.testing.assert_allclose(network(images), targets, atol=1e-6)
    np.testing.assert_allclose(plain(network, images[-1]), targets[-1], atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 50])
def test_the_network_has_the_theorems_number_of_weights(n):
    network = construct(noise(n, 4).images, np.arange(n))
    assert len(network.knots[0]) == len(network.weights[0]) == n
    assert network.n_weights == 2 * n + 48


@pytest.mark.parametrize("depth", [2, 4, 10])
def test_a_deeper_network_is_as_much_narrower_and_not_much_larger(depth):
    network = construct(noise(100, 4).images, np.arange(100), depth=depth)
    assert network.width <= 100 / depth + 3
    assert network.n_weights <= 2 * (100 + depth) + 48 + 1


def test_layers_of_a_deep_network_share_the_work_and_pass_nothing_but_two_numbers():
    images, targets = noise(90, 4).images, np.random.default_rng(0).integers(0, 10, 90)
    network = construct(images, targets, depth=3)
    projection = images.reshape(90, -1).astype(float) @ network.direction
    total = np.full(90, network.floor)
    for knots, weights in zip(network.knots, network.weights, strict=True):
        total = total + np.maximum(projection[:, None] - knots, 0) @ weights
        assert (total > 0).all()
        assert total.max() < network.floor + 9 + 1e-6
        behind = projection >= knots[-1]
        np.testing.assert_allclose(total[behind], total[behind][0], atol=1e-6)


def test_twenty_thousand_random_labels_are_fitted_within_seconds_and_bounded_memory():
    dataset = noise(20_000, 32)
    tracemalloc.start()
    started = time.process_time()
    (found,) = fit_exactly(dataset, seed=1)
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.samples == 20_000
    assert found.weights == 2 * 20_000 + 3072
    assert found.largest_error < TOLERANCE
    assert found.fitted == 1
    assert seconds < 10
    assert peak < dataset.images.nbytes + 64 * 2**20  # a dense 20,000 x 20,000 matrix would take 3 GiB


def test_equal_images_are_left_out_since_no_function_fits_both_labels():
    dataset = noise(40, 3)
    images = np.concatenate([dataset.images, dataset.images[5:15]])
    doubled = Dataset(images, np.zeros(50, np.int64), dataset.class_names)
    assert distinct_images(images).tolist() == list(range(40))
    (found,) = fit_exactly(doubled)
    assert (found.samples, found.duplicates) == (40, 10)
    assert found.fitted == 1
    with pytest.raises(ValueError, match="two images are equal"):
        construct(images, np.arange(50))


def test_a_depth_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="--depth: 41 is not between 1 and the number of different images, 40"):
        fit_exactly(noise(40, 3), depths=(1, 41))
