import pytest
import torch
from torch import nn

from aumclean.errors import ConfigError
from aumclean.training.heads import Float32Linear
from aumclean.training.models import build_model


@pytest.mark.parametrize("arch", ["resnet9", "resnet32", "resnet18", "mobilenet_v3_small"])
def test_networks_are_as_wide_as_asked_and_their_logits_are_float32(arch):
    model = build_model(arch, 7, 32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32
    assert sum(isinstance(module, Float32Linear) for module in model.modules()) == 1


@pytest.mark.parametrize("size", [8, 9, 28])
@pytest.mark.parametrize("arch", ["resnet9", "resnet32"])
def test_small_nets_take_small_images(arch, size):
    assert build_model(arch, 3, size)(torch.randn(2, 3, size, size)).shape == (2, 3)


def test_resnet32_is_the_published_one():
    model = build_model("resnet32", 10, 32)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 31
    # He et al. 2016, table 6: 0.46 M
    assert sum(weight.numel() for weight in model.parameters()) == 464_154
    assert convolutions[20].weight.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)


def test_resnets_keep_the_resolution_of_small_images_only():
    strides = [build_model("resnet18", 10, size).model.conv1.stride for size in (64, 65)]
    assert strides == [(1, 1), (2, 2)]


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match="--arch resnet19: .*did you mean 'resnet"):
        build_model("resnet19", 10, 32)
    with pytest.raises(ConfigError, match="timm"):
        build_model("timm:nothing_like_it", 10, 32)
