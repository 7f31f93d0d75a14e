"""Networks: small residual nets for small images, those of Zhang et al. 2017, and two zoos: torchvision, timm."""

import threading
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from aumclean.config.recipe import FINE_TUNED, LINEAR, Recipe
from aumclean.errors import ConfigError, did_you_mean
from aumclean.training.backbone import bare_body, load_backbone
from aumclean.training.heads import Float32Linear, LinearHead
from aumclean.training.zhang_networks import ZHANG_NETWORKS

SMALL_IMAGE = 64  # pixels: up to here the small nets are the default, and big ones get a stem without stride
LARGE_ARCH = "resnet18"  # the default above
TIMM_PREFIX = "timm:"
RESNET32_BLOCKS = {"resnet8": 1, "resnet32": 5}  # per stage: the 6n + 2 family of He et al. 2016, section 4.2
OWN_NETWORKS = ("resnet8-s2d", "resnet9", *RESNET32_BLOCKS, *ZHANG_NETWORKS)

SEEDING = threading.RLock()
"""Held while torch's generator is seeded or drawn from: all trainings of a process share it."""


def build_model(arch: str, n_classes: int, image_size: int) -> nn.Module:
    """A freshly initialised network for RGB images.

    Args:
        arch: `resnet8-s2d`, `resnet8`, `resnet9`, `resnet32`, one of Zhang et al. 2017 (`small_inception`,
            `small_alexnet`, `mlp_1x512`, `mlp_3x512`), a torchvision classifier's name, or `timm:NAME`.
        n_classes: width of the output.
        image_size: side of the images in pixels; ResNets get a stem for small images up to 64. Of `linear`, the number
            of features.

    Raises:
        ConfigError: for an unknown name.
    """
    with SEEDING:
        return _build(arch, n_classes, image_size)


def _build(arch: str, n_classes: int, image_size: int) -> nn.Module:
    if arch == LINEAR or arch.startswith(FINE_TUNED):
        return LinearHead(image_size, n_classes) if arch == LINEAR else FineTuned(arch, n_classes, image_size)
    if arch in {"resnet9", "resnet8-s2d"}:
        return ResNet9(n_classes) if arch == "resnet9" else SpaceToDepthResNet8(n_classes)
    if arch in RESNET32_BLOCKS:
        return ResNet32(n_classes, RESNET32_BLOCKS[arch])
    if arch in ZHANG_NETWORKS:
        return ZHANG_NETWORKS[arch](n_classes, image_size)
    if arch.startswith(TIMM_PREFIX):
        return _from_timm(arch.removeprefix(TIMM_PREFIX), n_classes)
    return _from_torchvision(arch, n_classes, image_size)


def model_of(recipe: Recipe, n_classes: int, image_size: int, *, seed: int | None = None) -> nn.Module:
    """The freshly initialised network that a recipe asks for, its switches set.

    With a seed its weights follow from that, whatever other trainings of the process draw meanwhile, and those of a
    backbone are loaded; without one it is there to be filled.

    Raises:
        ConfigError: as `build_model` does.
    """
    with SEEDING:
        if seed is not None:
            torch.manual_seed(seed)
        model = build_model(recipe.arch, n_classes, image_size)
        if seed is not None and isinstance(model, FineTuned):
            model.body.load_state_dict(load_backbone(recipe.arch.removeprefix(FINE_TUNED)).model.state_dict())
        if recipe.xavier:
            _start_from_xavier(model)
    if not recipe.batch_norm:
        _replace_batch_norm(model)
    if recipe.dropout:
        _put_dropout_before_head(model, recipe.dropout)
    return model


def _start_from_xavier(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Shift(nn.Module):
    """What is left of a batch normalisation without the normalising: a learned number added to each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features [batch, channels, height, width], shifted."""
        return features + self.bias.to(features.dtype)[:, None, None]


def _replace_batch_norm(model: nn.Module) -> None:
    for name, child in model.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(model, name, Shift(child.num_features))
        else:
            _replace_batch_norm(child)


def _put_dropout_before_head(model: nn.Module, probability: float) -> None:
    """Drop inputs of the last linear layer; its weights keep their names."""
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    head.register_forward_pre_hook(lambda layer, inputs: (F.dropout(inputs[0], probability, layer.training),))


def choose_arch(asked: str, small: str, image_size: int) -> str:
    """The network that was asked for; where that is `auto`, `small` for small images and `resnet18` for others."""
    if asked != "auto":
        return asked
    return small if image_size <= SMALL_IMAGE else LARGE_ARCH


def check_model(arch: str, n_classes: int, image_size: int) -> bool:
    """Build the network once and show it two black images, so that what does not fit fails before any work.

    Returns:
        Whether it draws random numbers while it trains, as dropout does.

    Raises:
        ConfigError: for an unknown name, or images that the network cannot take.
    """
    try:
        model = build_model(arch, n_classes, image_size)
        before = torch.get_rng_state()
        with torch.no_grad():
            model(torch.zeros(2, 3, image_size, image_size))
        return not torch.equal(torch.get_rng_state(), before)
    except (RuntimeError, ValueError, AssertionError) as error:
        why = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"--arch {arch}: cannot take images of {image_size} pixels ({why}); try --image-size"
        ) from None


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, features + self.body(features))


class ResNet9(nn.Module):
    """A shallow residual net after D. Page's CIFAR-10 speed runs; width 32, 0.6 M weights.

    Its few wide layers keep a CPU busier than ResNet-32's many narrow ones.
    """

    def __init__(self, n_classes: int, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(3, width),
            _conv(width, 2 * width),
            nn.MaxPool2d(2),
            _Residual(2 * width),
            _conv(2 * width, 4 * width),
            nn.MaxPool2d(2),
            _conv(4 * width, 4 * width),
            nn.MaxPool2d(2),
            _Residual(4 * width),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.head = Float32Linear(4 * width, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of images [batch, 3, height, width]."""
        return cast(torch.Tensor, self.head(self.features(images)))


class SpaceToDepthResNet8(nn.Module):
    """Seven convolutions and a linear layer, made for many images per second and to learn in few epochs; 0.9 M weights.

    Each 2 x 2 block of pixels becomes one position with twelve channels, so that nothing is computed at full size, and
    maps are pooled before they are normalised: on a CPU, normalising and rectifying large maps costs more than
    convolving. Convolutions start as the identity on as many channels as there are (Zagoruyko and Komodakis 2017), and
    features are scaled by an eighth, so that first logits are small: without that, training begins by unlearning them.
    """

    def __init__(self, n_classes: int, width: int = 48) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            _conv(12, width),
            _pooled_conv(width, 2 * width),
            _Residual(2 * width),
            _pooled_conv(2 * width, 4 * width),
            _Residual(4 * width),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.head = Float32Linear(4 * width, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.dirac_(module.weight.data[: module.in_channels])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of images [batch, 3, height, width]."""
        height, width = images.shape[2:]
        whole = F.pad(images, (0, width % 2, 0, height % 2))  # blocks of two need even sides
        return cast(torch.Tensor, self.head(self.features(whole) / 8))


def _pooled_conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions; where the size changes the shortcut averages and pads with zero channels (option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = outputs - inputs
        self.first = _conv(inputs, outputs, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shortcut = features
        if self.new_channels:
            shortcut = F.avg_pool2d(features, self.stride, ceil_mode=True)
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(shortcut + self.second(self.first(features)))


class ResNet32(nn.Module):
    """The paper's network for 32-pixel images: 3 stages of 5 blocks, 16, 32 and 64 channels, 0.46 M weights.

    Convolutions start from N(0, 2 / (k*k*outputs)). He et al. 2016, section 4.2; Pleiss et al. 2020, section 4.
    """

    def __init__(self, n_classes: int, blocks: int = 5) -> None:
        super().__init__()
        stages: list[nn.Module] = [_conv(3, 16)]
        inputs = 16
        for outputs, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range(blocks):
                stages.append(_BasicBlock(inputs, outputs, stride if block == 0 else 1))
                inputs = outputs
        self.features = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = Float32Linear(inputs, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of images [batch, 3, height, width]."""
        return cast(torch.Tensor, self.head(self.features(images)))


def _from_torchvision(arch: str, n_classes: int, image_size: int) -> nn.Module:
    try:
        from torchvision import models  # heavy, and not needed for the small nets
    except RuntimeError as error:
        raise ConfigError(
            f"--arch {arch}: torchvision does not match this torch ({error}); install the two together"
        ) from None
    known = models.list_models(module=models)
    if arch not in known:
        hint = did_you_mean(arch, [*OWN_NETWORKS, *known])
        own = ", ".join(OWN_NETWORKS)
        raise ConfigError(f"--arch {arch}: is neither {own}, a torchvision classifier nor timm:NAME{hint}")
    model = cast(nn.Module, models.get_model(arch, weights=None, num_classes=n_classes))
    if isinstance(model, models.ResNet) and image_size <= SMALL_IMAGE:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return _LogitsOnly(_with_float32_head(model))


def _from_timm(name: str, n_classes: int) -> nn.Module:
    try:
        import timm  # an extra
    except ImportError:
        raise ConfigError(f"--arch timm:{name}: timm is not installed; install it with: pip install timm") from None
    if name not in timm.list_models():
        raise ConfigError(f"--arch timm:{name}: timm has no such model{did_you_mean(name, timm.list_models())}")
    return _with_float32_head(timm.create_model(name, pretrained=False, num_classes=n_classes))


def _with_float32_head(model: nn.Module) -> nn.Module:
    """Turn the last linear layer, whatever its name, into a float32 one."""
    heads = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if heads:
        heads[-1].__class__ = Float32Linear
    return model


class FineTuned(nn.Module):
    """A pretrained network with a fresh head, all of it to be trained."""

    def __init__(self, arch: str, n_classes: int, image_size: int) -> None:
        super().__init__()
        self.body = bare_body(arch.removeprefix(FINE_TUNED))
        with torch.no_grad():
            self.body.eval()
            width = self.body(torch.zeros(1, 3, image_size, image_size)).flatten(1).shape[1]
        self.head = LinearHead(width, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of images [batch, 3, height, width]."""
        return cast(torch.Tensor, self.head(self.body(images)))


class _LogitsOnly(nn.Module):
    """A torchvision model without the auxiliary outputs that Inception and GoogLeNet add in training."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        output = self.model(images)
        return cast(torch.Tensor, output if isinstance(output, torch.Tensor) else output.logits)


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers of batch normalisation in a network."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
