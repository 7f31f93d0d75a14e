"""The inputs and the loss of one training step: plain, mixed up, or attacked."""

import torch
from torch import nn
from torch.nn import functional as F

from aumclean.config.recipe import Recipe
from aumclean.training import augment
from aumclean.training.attack import pgd


def logits_and_loss(
    model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor]:
    """One forward pass of a batch.

    Args:
        model: in training mode.
        pixels: [batch, height, width, 3] in 0..255, augmented.
        labels: int64 [batch].
        mean, std: float32 [3], in 0..255.
        recipe: says what is done to the batch; chance comes from torch's global generator.

    Returns:
        Logits, float32 [batch, classes], and the mean cross-entropy with a gradient.
    """
    if recipe.adversarial:
        step = recipe.adversarial / 10
        pixels = pgd(
            model, pixels, labels, mean, std, recipe.adversarial, recipe.adversarial_steps, step, bf16=recipe.bf16
        )
    if recipe.pixels == "image":
        mean, std = augment.own_scale(pixels)
    inputs = augment.normalise(pixels, mean, std)
    share, partner = 1.0, labels
    if recipe.mixup:
        # Zhang et al. 2018: one share for the whole batch, partners by a permutation of it.
        share = float(torch.distributions.Beta(recipe.mixup, recipe.mixup).sample())
        order = torch.randperm(len(labels)).to(labels.device)
        inputs, partner = share * inputs + (1 - share) * inputs[order], labels[order]
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=recipe.bf16):
        logits = model(inputs).float()
    loss = F.cross_entropy(logits, labels)
    if recipe.mixup:
        loss = share * loss + (1 - share) * F.cross_entropy(logits, partner)
    return logits, loss
