"""Logits of a trained network for images as they are: no augmentation, no update."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from aumclean.training import augment

BATCH = 256


def predict(
    model: nn.Module,
    images: np.ndarray,
    mean: list[float],
    std: list[float],
    *,
    mirror: bool,
    device: torch.device,
    bf16: bool = False,
    own_scale: bool = False,
) -> np.ndarray:
    """All of `predictions` at once: logits, float32 [n, outputs]."""
    options = {"mirror": mirror, "bf16": bf16, "own_scale": own_scale}
    return np.concatenate(list(predictions(model, images, mean, std, device=device, **options)))


def predictions(
    model: nn.Module,
    images: np.ndarray,
    mean: list[float],
    std: list[float],
    *,
    mirror: bool,
    device: torch.device,
    bf16: bool = False,
    own_scale: bool = False,
) -> Iterator[np.ndarray]:
    """Logits in evaluation mode, batch after batch: float32 [batch, outputs].

    Args:
        model: on any device; it is moved to `device`.
        images: uint8 or float16 [n, height, width, 3], or features, float16 [n, views, width].
        mean, std: per channel, of the data the network was trained on.
        mirror: average the logits of each image and of its mirror image, as training mirrored them.
        device: where to compute.
        bf16: by autocast, as training may have done.
        own_scale: scale each image by its own moments instead, as a recipe with `pixels` `image` does.
    """
    model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    shift, scale = (torch.tensor(values, device=device) for values in (mean, std))
    some = images if len(images) else np.zeros((1, *images.shape[1:]), images.dtype)  # networks need not take none
    for start in range(0, len(some), BATCH):
        pixels = torch.from_numpy(np.ascontiguousarray(some[start : start + BATCH])).to(device)
        if own_scale:
            shift, scale = augment.own_scale(pixels)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            views = augment.both_views(pixels) if mirror else (pixels,)
            logits = torch.stack([model(augment.normalise(view, shift, scale)).float() for view in views]).mean(0)
        yield logits[: len(images) - start].cpu().numpy()
