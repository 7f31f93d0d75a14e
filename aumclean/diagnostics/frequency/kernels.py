"""First-layer kernels: made smoother, their smoothness as a number, and drawn."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from aumclean.diagnostics.figures import enlarged, sheet
from aumclean.errors import ConfigError


def first_layer(model: nn.Module) -> nn.Conv2d:
    """The first convolution.

    Raises:
        ConfigError: when the network has none.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module
    raise ConfigError("--arch: has no convolution, so there are no kernels to smooth")


def smooth(kernels: torch.Tensor, rho: float, *, keep_gain: bool = False) -> torch.Tensor:
    """Add to every weight rho times the sum of its eight neighbours; beyond the border its values are repeated.

    Wang et al. 2020, equation 3. A flat kernel grows by 1 + 8 rho.

    Args:
        kernels: [outputs, inputs, height, width]; the neighbours are those in height and width.
        rho: 0 changes nothing.
        keep_gain: divide by 1 + 8 rho, so that a flat kernel stays as it is.
    """
    outputs, inputs, height, width = kernels.shape
    padded = F.pad(kernels.reshape(outputs * inputs, 1, height, width), (1, 1, 1, 1), mode="replicate")
    around = kernels.new_full((1, 1, 3, 3), rho)
    around[0, 0, 1, 1] = 1.0
    smoothed = F.conv2d(padded, around).reshape(kernels.shape)
    return smoothed / (1 + 8 * rho) if keep_gain else smoothed


def smoothed(model: nn.Module, rho: float, *, keep_gain: bool = False) -> nn.Module:
    """A copy of the network with its first layer smoothed, and nothing else changed."""
    copied = copy.deepcopy(model)
    layer = first_layer(copied)
    with torch.no_grad():
        layer.weight.copy_(smooth(layer.weight, rho, keep_gain=keep_gain))
    return copied


def roughness(kernels: torch.Tensor) -> float:
    """Mean squared difference of neighbouring weights over their mean square: 0 flat, about 2 random, 4 a checkerboard.

    It does not change when all kernels are multiplied by a number.

    Args:
        kernels: [outputs, inputs, height, width], at least two by two.
    """
    weights = kernels.detach().float()
    down, across = weights.diff(dim=2).square().mean(), weights.diff(dim=3).square().mean()
    return float((down + across) / 2 / weights.square().mean().clamp_min(1e-12))


def drawn(kernels: torch.Tensor, least: int = 40, per_row: int = 16) -> np.ndarray:
    """Kernels of three inputs as a row of colour images, each stretched to its own range: uint8 [height, width, 3]."""
    weights = kernels.detach().float().cpu().permute(0, 2, 3, 1).numpy()[:, :, :, :3]
    low, high = weights.min((1, 2, 3), keepdims=True), weights.max((1, 2, 3), keepdims=True)
    pixels = np.rint(255 * (weights - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    images = [enlarged(kernel, least) for kernel in pixels]
    images += [np.full_like(images[0], 255)] * (-len(images) % per_row)
    return sheet([images[start : start + per_row] for start in range(0, len(images), per_row)])
