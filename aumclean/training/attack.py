"""Adversarial images: projected gradient descent within a box around each pixel; a single step is FGSM."""

import torch
from torch import nn
from torch.nn import functional as F

from aumclean.training import augment


def pgd(
    model: nn.Module,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    mean: torch.Tensor,
    std: torch.Tensor,
    epsilon: float,
    steps: int,
    step: float,
    *,
    bf16: bool = False,
) -> torch.Tensor:
    """Climb the loss by the sign of its gradient, staying within `epsilon` of every pixel and within 0..255.

    Madry et al. 2018, without random start, as Wang et al. 2020 do. One step of `epsilon` is FGSM (Goodfellow et al.
    2015). Batch statistics and dropout do not take part: the model is attacked in evaluation mode and handed back in
    the mode that it had.

    Args:
        model: the network under attack; its weights get no gradient.
        pixels: [batch, height, width, 3] in 0..255, uint8 or float.
        labels: int64 [batch], to be moved away from.
        mean, std: float32 [3], in 0..255.
        epsilon: largest change of a pixel, in 0..1.
        steps: how many.
        step: length of each, in 0..1.
        bf16: compute in bfloat16.

    Returns:
        float32 [batch, height, width, 3] in 0..255.
    """
    was_training = model.training
    model.eval()
    start = pixels.float()
    attacked = start
    for _ in range(steps):
        attacked = attacked.detach().requires_grad_()
        with torch.enable_grad(), torch.autocast(attacked.device.type, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(augment.normalise(attacked, mean, std)).float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, attacked)
        moved = attacked.detach() + 255 * step * gradient.sign()
        attacked = torch.clamp(moved, start - 255 * epsilon, start + 255 * epsilon).clamp(0, 255)
    model.train(was_training)
    return attacked.detach()
