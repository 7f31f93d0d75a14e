import pytest
import torch
from torch import nn

from aumclean.config.recipe import Recipe
from aumclean.training.heads import Float32Linear
from aumclean.training.models import build_model, model_of
from aumclean.training.zhang_networks import ZHANG_NETWORKS, CentredBatchNorm, ResponseNorm

PUBLISHED = {  # Zhang et al. 2017, table 1
    "small_inception": 1_649_402,
    "small_alexnet": 1_387_786,
    "mlp_1x512": 1_209_866,
    "mlp_3x512": 1_735_178,
}


def weights(model):
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("arch", ZHANG_NETWORKS)
def test_networks_have_exactly_the_papers_numbers_of_weights(arch):
    assert weights(build_model(arch, 10, 28)) == PUBLISHED[arch]


def test_inception_has_as_many_weights_without_batch_normalisation():
    recipe = Recipe("small_inception", 1, 0.1, 128, 0.0, batch_norm=False)
    model = model_of(recipe, 10, 28)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert weights(model) == PUBLISHED["small_inception"]


@pytest.mark.parametrize("size", [8, 28, 32, 33])
@pytest.mark.parametrize("arch", ZHANG_NETWORKS)
def test_they_take_images_of_any_size_and_give_float32_logits(arch, size):
    model = build_model(arch, 7, size)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(2, 3, size, size).contiguous(memory_format=torch.channels_last))
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32
    assert sum(isinstance(module, Float32Linear) for module in model.modules()) == 1


def test_inception_is_layered_as_figure_3_shows():
    """Channels and sides behind every stage, read off the figure."""
    seen = []
    model = build_model("small_inception", 10, 28).eval()
    for stage in list(model.features)[:11]:
        stage.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    model(torch.randn(1, 3, 28, 28))
    assert seen == [
        (96, 28, 28), (64, 28, 28), (80, 28, 28),
        (160, 14, 14), (160, 14, 14), (160, 14, 14), (160, 14, 14), (144, 14, 14),
        (240, 7, 7), (336, 7, 7), (336, 7, 7),
    ]  # fmt: skip


@pytest.mark.parametrize("arch", ZHANG_NETWORKS)
def test_a_signal_passes_a_fresh_network_neither_lost_nor_blown_up(arch):
    torch.manual_seed(0)
    with torch.no_grad():
        spread = build_model(arch, 10, 28)(torch.randn(64, 3, 28, 28)).std()
    assert 0.1 < spread < 10


def test_centred_batch_normalisation_is_batch_normalisation_without_its_scale():
    features = torch.randn(8, 5, 3, 3) * 4 + 1
    own, reference = CentredBatchNorm(5), nn.BatchNorm2d(5)
    with torch.no_grad():
        own.shift.copy_(torch.arange(5.0))
        reference.bias.copy_(torch.arange(5.0))
    for training in (True, False):
        torch.testing.assert_close(own.train(training)(features), reference.train(training)(features))


def test_response_normalisation_is_that_of_torch():
    features = torch.randn(4, 64, 5, 5)
    reference = nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)
    torch.testing.assert_close(ResponseNorm(64)(features * 30), reference(features * 30))
