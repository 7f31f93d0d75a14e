import numpy as np
import pytest
import torch

from aumclean.diagnostics.frequency.bands import Disc, spectrum_of
from aumclean.diagnostics.frequency.energy import EnergyBelow, discs_around, energy_of


def added(images, discs):
    energy = EnergyBelow(discs)
    width = images.shape[2]
    energy.add(energy_of(spectrum_of(torch.from_numpy(images).float()), width), width)
    return energy.rows()


@pytest.mark.parametrize("size", [(16, 16), (15, 21), (8, 9), (2, 3)])
@pytest.mark.parametrize("edge", ["inside", "outside"])
def test_shares_are_those_of_the_full_transform(size, edge):
    images = np.random.default_rng(0).integers(0, 256, (5, *size, 3)).astype(np.float32)
    discs = discs_around(Disc(1, edge=edge), *size)
    squared = (np.abs(np.fft.fft2(images, axes=(1, 2))) ** 2).sum(3)
    for disc, row in zip(discs, added(images, discs), strict=True):
        inside = disc._low(*size)
        mean = squared[:, 0, 0]
        assert row.energy_low == pytest.approx(np.mean(squared[:, inside].sum(1) / squared.sum((1, 2))), abs=1e-6)
        varying = squared[:, inside].sum(1) - mean * inside[0, 0]
        around = np.mean(varying / (squared.sum((1, 2)) - mean))
        assert row.energy_low_without_mean == pytest.approx(around, abs=1e-5)
        assert row.coefficients_kept == pytest.approx(inside.mean())


@pytest.mark.parametrize("level", [0, 1, 255])
def test_an_image_of_one_colour_is_all_low_unless_its_mean_is_high(level):
    images = np.full((2, 15, 21, 3), level, np.float32)
    rows = added(images, (Disc(0, edge="outside"), Disc(3, edge="outside")))
    assert [row.energy_low_without_mean for row in rows] == [0, 1]
    assert [row.energy_low for row in rows] == [0, pytest.approx(float(level > 0))]


def test_batches_add_up():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.float32)
    discs = discs_around(Disc(2), 8, 8)
    together, apart = EnergyBelow(discs), EnergyBelow(discs)
    energy = energy_of(spectrum_of(torch.from_numpy(images)), 8)
    together.add(energy, 8)
    apart.add(energy[:1], 8)
    apart.add(energy[1:], 8)
    for one, other in zip(together.rows(), apart.rows(), strict=True):
        assert one.model_dump() == pytest.approx(other.model_dump())
