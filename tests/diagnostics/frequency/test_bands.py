import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.frequency.bands import Disc, imaginary_part, low_pass, scaled, with_band
from aumclean.errors import ConfigError

sides = st.integers(5, 33)
discs = st.builds(
    Disc,
    radius=st.floats(0.5, 12, allow_nan=False),
    unit=st.just("bins"),
    edge=st.sampled_from(["inside", "outside"]),
) | st.builds(Disc, st.floats(0.05, 0.5), st.just("cycles"), st.sampled_from(["inside", "outside"]))


def random_images(height, width, seed, n=2):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, (n, height, width, 3)).astype(np.float32))


def split(images, disc):
    low = low_pass(images, torch.from_numpy(disc.mask(*images.shape[1:3])))
    return low, images - low


def plainly(image, disc):
    """The paper's definition, coefficient by coefficient: shifted spectrum, centre (height // 2, width // 2)."""
    height, width = image.shape
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    for i in range(height):
        for j in range(width):
            down, across = i - height // 2, j - width // 2
            if disc.unit == "cycles":
                down, across = down / height, across / width
            distance = np.sqrt(down**2 + across**2)
            near = abs(distance - disc.radius) < 1e-9
            if not (near if near and disc.edge == "inside" else distance < disc.radius and not near):
                spectrum[i, j] = 0
    return np.fft.ifft2(np.fft.ifftshift(spectrum))


@settings(deadline=None, max_examples=30)
@given(sides, sides, discs, st.integers(0, 99))
def test_low_and_high_add_up_to_the_image(height, width, disc, seed):
    images = random_images(height, width, seed)
    low, high = split(images, disc)
    torch.testing.assert_close(low + high, images, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=30)
@given(sides, sides, discs, st.integers(0, 99))
def test_filtering_twice_is_filtering_once_and_the_bands_share_nothing(height, width, disc, seed):
    low, high = split(random_images(height, width, seed), disc)
    torch.testing.assert_close(split(low, disc)[0], low, atol=1e-5, rtol=0)
    torch.testing.assert_close(split(high, disc)[1], high, atol=1e-5, rtol=0)
    torch.testing.assert_close(split(high, disc)[0], torch.zeros_like(high), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=30)
@given(sides, sides, discs, st.integers(0, 99))
def test_the_mean_of_every_channel_is_in_the_low_band(height, width, disc, seed):
    images = random_images(height, width, seed)
    low, high = split(images, disc)
    torch.testing.assert_close(low.mean((1, 2)), images.mean((1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(high.mean((1, 2)), torch.zeros(2, 3), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=30)
@given(sides, sides, discs, st.integers(0, 99))
def test_the_mask_is_conjugate_symmetric_so_that_nothing_becomes_imaginary(height, width, disc, seed):
    low = disc._low(height, width)
    i, j = np.indices(low.shape)
    assert (low == low[-i % height, -j % width]).all()
    assert imaginary_part(random_images(height, width, seed), disc) < 1e-5


@settings(deadline=None, max_examples=15)
@given(st.integers(5, 12), st.integers(5, 12), discs, st.integers(0, 99))
def test_the_filter_is_the_papers_definition_stated_plainly(height, width, disc, seed):
    images = random_images(height, width, seed, n=1)
    expected = plainly(images[0, :, :, 1].numpy().astype(float), disc)
    assert np.abs(expected.imag).max() < 1e-10
    np.testing.assert_allclose(split(images, disc)[0][0, :, :, 1].numpy(), expected.real, atol=1e-5)


@pytest.mark.parametrize(("edge", "counts"), [("inside", [49, 197, 441, 795]), ("outside", [45, 193, 437, 793])])
def test_kept_coefficients_of_32_pixels_are_those_of_the_paper_and_of_its_code(edge, counts):
    assert [Disc(radius, edge=edge).count(32, 32) for radius in (4, 8, 12, 16)] == counts


def test_everything_is_kept_from_the_corner_on():
    assert Disc(22.62).count(32, 32) == 1023
    assert Disc(22.63).count(32, 32) == 1024


@pytest.mark.parametrize(
    ("disc", "size"), [(Disc(22.63), (32, 32)), (Disc(0, edge="outside"), (32, 32)), (Disc(0.8, "cycles"), (20, 30))]
)
def test_a_radius_that_leaves_a_band_empty_is_refused(disc, size):
    with pytest.raises(ConfigError, match=r"--radius .*leaves nothing in the (low|high) band"):
        disc.check(*size)
    Disc(0.3, "cycles").check(*size)


def test_in_cycles_per_pixel_the_cut_is_the_same_in_every_direction():
    low = Disc(0.25, "cycles")._low(32, 64)
    assert low[8, 0] and not low[9, 0] and low[0, 16] and not low[0, 17]


def test_a_data_set_is_filtered_image_by_image_with_its_labels(monkeypatch):
    monkeypatch.setattr("aumclean.diagnostics.frequency.bands.BATCH_VALUES", 3 * 8 * 12 * 2)  # batches of two
    rng = np.random.default_rng(0)
    data = Dataset(rng.integers(0, 256, (5, 8, 12, 3), dtype=np.uint8), np.arange(5) % 2, ("a", "b"))
    low, high = (with_band(data, Disc(2), band, device=torch.device("cpu")) for band in ("low", "high"))
    assert low.images.dtype == np.float16 and (low.labels == data.labels).all()
    np.testing.assert_allclose(low.images.astype(float) + high.images, data.images, atol=0.2)
    assert high.images.min() < 0
    expected, _ = split(torch.from_numpy(data.images).float(), Disc(2))
    np.testing.assert_allclose(low.images, expected.numpy(), atol=0.1)


def test_scaling_shows_no_rounding_errors_and_stays_finite():
    blank = np.full((2, 100, 100, 3), 255, np.uint8)
    blank[0] = 173  # of which the transform leaves 3e-5 in the high band
    blank[1, 50, 50] = 0
    data = Dataset(blank, np.array([0, 1]), ("a", "b"))
    flat, speck = with_band(data, Disc(1), "high", scaling="image-max", device=torch.device("cpu")).images
    assert np.abs(flat).max() < 1e-3
    assert np.isfinite(speck).all() and speck.max() == 255


def test_scaling_by_the_own_maximum_gives_every_image_the_same_peak_and_leaves_blank_ones():
    images = torch.stack([torch.zeros(4, 4, 3), torch.randn(4, 4, 3), 9 * torch.randn(4, 4, 3)])
    peaks = scaled(images, "image-max").amax((1, 2, 3))
    assert peaks.tolist() == pytest.approx([0, 255, 255], rel=1e-5)
    assert scaled(images, "none") is images
