"""The networks of Zhang et al. 2017 (appendix A and figure 3): small Inception, small AlexNet, and two perceptrons.

On 28-pixel images of 10 classes they have the paper's numbers of weights: 1,649,402, 1,387,786, 1,209,866, 1,735,178.
The paper does not say how weights start; here from N(0, 2 / inputs) (He et al. 2015), biases from 0.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from aumclean.training.heads import Float32Linear


class CentredBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with a learned shift and no learned scale, as in TensorFlow's slim models.

    The rectifier and the convolution after it make up for the scale; so a network has as many weights with it as
    without, where the shift is the bias of the convolution: table 1 gives one number for both.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Features [batch, channels, height, width], normalised and shifted."""
        return super().forward(input) + self.shift.to(input.dtype)[:, None, None]


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        CentredBatchNorm(outputs),
        nn.ReLU(inplace=True),
    )


class _Branches(nn.Module):
    """Branches side by side, their channels one after another."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(features) for branch in self.branches], 1)


class SmallInception(nn.Module):
    """The small Inception of figure 3: convolutions of 1 and 3 pixels side by side, in three resolutions."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 96, 3)]
        width = 96
        for ones, threes in ((32, 32), (32, 48), (0, 80), (112, 48), (96, 64), (80, 80), (48, 96), (0, 96)):
            if ones:
                layers.append(_Branches(_conv(width, ones, 1), _conv(width, threes, 3)))
                width = ones + threes
            else:  # halve the resolution
                layers.append(_Branches(_conv(width, threes, 3, stride=2), nn.MaxPool2d(3, 2, padding=1)))
                width += threes
        for _ in range(2):
            layers.append(_Branches(_conv(width, 176, 1), _conv(width, 160, 3)))
            width = 336
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = Float32Linear(width, n_classes)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of images [batch, 3, height, width]."""
        return cast(torch.Tensor, self.head(self.features(images)))


class ResponseNorm(nn.Module):
    """Local response normalisation over 9 channels, with the constants of TensorFlow's CIFAR-10 tutorial.

    What `nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)` computes, as a product with a band matrix: three
    times as fast on a CPU.
    """

    band: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        distance = (torch.arange(channels)[:, None] - torch.arange(channels)).abs()
        self.register_buffer("band", (distance <= 4).float()[:, :, None, None], persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features [batch, channels, height, width], each divided by those of its neighbours in channel."""
        around = F.conv2d(features.square(), self.band.to(features.dtype))
        return features / (1 + 1e-3 / 9 * around).pow(0.75)


class SmallAlexNet(nn.Module):
    """Two convolutions of 5 pixels, each pooled and normalised over channels, and three full layers."""

    def __init__(self, n_classes: int, image_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = image_size
        for inputs in (3, 64):
            layers += [
                nn.Conv2d(inputs, 64, 5, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, 2, padding=1),
                ResponseNorm(64),
            ]
            side = -(-side // 2)
        self.features = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(64 * side * side, 384),
            nn.ReLU(inplace=True),
            nn.Linear(384, 192),
            nn.ReLU(inplace=True),
        )
        self.head = Float32Linear(192, n_classes)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of images [batch, 3, height, width]."""
        return cast(torch.Tensor, self.head(self.features(images)))


class Perceptron(nn.Module):
    """Full layers of 512 rectified units."""

    def __init__(self, n_classes: int, image_size: int, layers: int) -> None:
        super().__init__()
        widths = [3 * image_size * image_size, *[512] * layers]
        hidden = [
            layer
            for inputs, outputs in pairwise(widths)
            for layer in (nn.Linear(inputs, outputs), nn.ReLU(inplace=True))
        ]
        self.features = nn.Sequential(nn.Flatten(), *hidden)
        self.head = Float32Linear(512, n_classes)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of images [batch, 3, height, width]."""
        return cast(torch.Tensor, self.head(self.features(images)))


ZHANG_NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "small_inception": lambda n_classes, image_size: SmallInception(n_classes),
    "small_alexnet": SmallAlexNet,
    "mlp_1x512": lambda n_classes, image_size: Perceptron(n_classes, image_size, 1),
    "mlp_3x512": lambda n_classes, image_size: Perceptron(n_classes, image_size, 3),
}
"""By name: from a number of classes and the side of the images in pixels to a freshly initialised network."""


def _initialise(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            last = isinstance(module, Float32Linear)
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear" if last else "relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
