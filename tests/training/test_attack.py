import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aumclean.training import augment
from aumclean.training.attack import pgd

MEAN, STD = torch.full((3,), 127.0), torch.full((3,), 64.0)


@pytest.fixture
def linear():
    """A model whose loss is convex in its input, so that the sign step is the best one there is."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 3)).train()


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (6, 4, 4, 3), generator=generator, dtype=torch.uint8), torch.arange(6) % 3


def loss(model, pixels, labels):
    return F.cross_entropy(model(augment.normalise(pixels, MEAN, STD)), labels).item()


def test_an_attack_raises_the_loss_within_its_box(linear):
    pixels, labels = batch()
    for attacked in (
        pgd(linear, pixels, labels, MEAN, STD, 0.03, 1, 0.03),
        pgd(linear, pixels, labels, MEAN, STD, 0.03, 10, 0.003),
    ):
        assert loss(linear, attacked, labels) > loss(linear, pixels, labels) + 0.05
        assert (attacked - pixels.float()).abs().max() <= 255 * 0.03 + 1e-3
        assert attacked.min() >= 0 and attacked.max() <= 255


def test_a_single_step_is_fgsm_the_sign_of_the_gradient_stated_plainly(linear):
    pixels, labels = batch()
    inputs = pixels.float().requires_grad_()
    F.cross_entropy(linear(((inputs - MEAN) / STD).permute(0, 3, 1, 2)), labels).backward()
    expected = (pixels.float() + 255 * 0.02 * inputs.grad.sign()).clamp(0, 255)
    torch.testing.assert_close(pgd(linear, pixels, labels, MEAN, STD, 0.02, 1, 0.02), expected)


def test_an_attack_leaves_mode_and_gradients_of_the_model_alone(linear):
    pixels, labels = batch()
    pgd(linear, pixels, labels, MEAN, STD, 0.03, 2, 0.01)
    assert linear.training
    assert all(weight.grad is None for weight in linear.parameters())


def test_no_step_is_no_attack(linear):
    pixels, labels = batch()
    torch.testing.assert_close(pgd(linear, pixels, labels, MEAN, STD, 0.03, 0, 0.01), pixels.float())
