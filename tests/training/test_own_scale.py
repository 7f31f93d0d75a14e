import numpy as np
import pytest
import torch

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.training import augment, loop
from aumclean.training.device import make_accelerator
from aumclean.training.predict import predict


def test_each_image_gets_mean_0_and_deviation_1_over_pixels_and_channels_together():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 7, 7, 3), dtype=np.uint8))
    images[1] = images[1] // 2 + 20
    scaled = augment.normalise(images, *augment.own_scale(images))
    for image in scaled:
        assert image.mean() == pytest.approx(0, abs=1e-5)
        assert image.std(correction=0) == pytest.approx(1, abs=1e-5)
    assert scaled[0, 0].mean() != pytest.approx(0, abs=1e-4)  # not each channel for itself


def test_an_image_of_one_colour_is_zero_and_a_faint_one_is_not_blown_up_beyond_the_floor():
    images = torch.full((2, 4, 4, 3), 90, dtype=torch.uint8)
    images[1, 0, 0, 0] = 91
    scaled = augment.normalise(images, *augment.own_scale(images))
    assert (scaled[0] == 0).all()
    assert scaled[1].max() == pytest.approx((1 - 1 / 48) / (255 / 48**0.5), rel=1e-4)


def test_training_and_prediction_scale_alike():
    """One batch: the logits of the untouched network are those whose margins are logged."""
    rng = np.random.default_rng(0)
    dataset = Dataset(rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8), np.arange(12) % 3, ("a", "b", "c"))
    recipe = Recipe("mlp_1x512", 1, 0.0, 16, 0.0, crop=False, flip=False, pixels="image")
    (epoch,) = loop.train(dataset, recipe, seed=0, accelerator=make_accelerator("cpu"))
    logits = predict(
        epoch.model, dataset.images, [0.0] * 3, [255.0] * 3, mirror=False, device=torch.device("cpu"), own_scale=True
    )
    own = logits[np.arange(12), dataset.labels]
    logits[np.arange(12), dataset.labels] = -np.inf
    np.testing.assert_allclose(epoch.margin, own - logits.max(1), atol=1e-4)
