import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from aumclean.training import augment


def batch(count=5, size=8, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 256, (count, size, size + 2, 3), np.uint8))


@given(st.integers(0, 3), st.integers(0, 999))
def test_crop_is_a_window_of_the_padded_image(padding, seed):
    images = batch(seed=seed)
    shift, _ = augment.draw(len(images), padding, torch.Generator().manual_seed(seed))
    found = augment.crop(images, shift, padding)
    for image, (down, right), cropped in zip(images.numpy(), shift.tolist(), found.numpy(), strict=True):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        np.testing.assert_array_equal(cropped, padded[down : down + 8, right : right + 10])


def test_crop_in_the_middle_changes_nothing():
    images = batch()
    assert torch.equal(augment.crop(images, torch.full((5, 2), 2), 2), images)


def test_mirror_turns_the_chosen_images_and_twice_is_none():
    images, chosen = batch(), torch.tensor([True, False, True, False, True])
    once = augment.mirror(images, chosen)
    np.testing.assert_array_equal(once[0].numpy(), images[0].numpy()[:, ::-1])
    assert torch.equal(once[1], images[1])
    assert torch.equal(augment.mirror(once, chosen), images)


def test_draws_reach_every_shift_and_mirror_half():
    shift, mirrored = augment.draw(9000, 1, torch.Generator().manual_seed(0))
    counts = np.bincount((shift[:, 0] * 3 + shift[:, 1]).numpy(), minlength=9)
    assert (np.abs(counts - 1000) < 150).all()
    assert 0.47 < mirrored.float().mean() < 0.53


def test_normalised_images_have_mean_zero_and_deviation_one():
    images = batch(count=50)
    pixels = images.float().reshape(-1, 3)
    found = augment.normalise(images, pixels.mean(0), pixels.std(0))
    assert found.shape == (50, 3, 8, 10)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
