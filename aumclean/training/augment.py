"""Augmentation as pure functions of a whole batch and of numbers drawn beforehand.

An epoch's numbers are drawn at once, one set per sample of the data set, so that they depend on the seed, the
epoch and the sample alone: not on the order of batches, the device, or how many processes share the work.
"""

import torch
from torch.nn import functional as F


def draw(n: int, padding: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw an epoch's numbers on the CPU, whatever the device, so that devices agree.

    Returns:
        shift: int64 [n, 2], each sample's crop offset in the padded image, down and right.
        mirrored: bool [n].
    """
    shift = torch.randint(0, 2 * padding + 1, (n, 2), generator=generator)
    return shift, torch.rand(n, generator=generator) < 0.5


def crop(images: torch.Tensor, shift: torch.Tensor, padding: int) -> torch.Tensor:
    """Pad with black and cut out windows of the old size.

    Args:
        images: uint8 [batch, height, width, channels].
        shift: int64 [batch, 2], offset of each window, 0 to 2 * padding; `padding` leaves an image as it is.
        padding: black border in pixels.
    """
    batch, height, width, _ = images.shape
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    row = shift[:, 0, None] + torch.arange(height, device=images.device)
    column = shift[:, 1, None] + torch.arange(width, device=images.device)
    sample = torch.arange(batch, device=images.device)
    return padded[sample[:, None, None], row[:, :, None], column[:, None, :]]


def mirror(images: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Mirror the images [batch, height, width, channels] left to right where `mirrored` (bool [batch]) says so.

    Of features, [batch, 2, width], those of the mirror image are taken there.
    """
    if images.ndim == 3:
        return images[torch.arange(len(images), device=images.device), mirrored.long()]
    return torch.where(mirrored[:, None, None, None], images.flip(2), images)


def both_views(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The images [batch, height, width, channels] and their mirror images; of features [batch, 2, width] likewise."""
    return images.unbind(1) if images.ndim == 3 else (images, images.flip(2))


def own_scale(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each image over all its pixels and channels, float32 [batch, 1, 1, 1], for `normalise`.

    TensorFlow's `per_image_whitening`, which Zhang et al. 2017 used: no deviation is under 1 / sqrt(values per image),
    for pixels in 0..1.

    Args:
        images: [batch, height, width, 3] in 0..255.
    """
    std, mean = torch.std_mean(images.float(), (1, 2, 3), correction=0, keepdim=True)
    return mean, std.clamp(min=255 / images[0].numel() ** 0.5)


def normalise(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 [batch, height, width, 3] to float32 [batch, 3, height, width] of mean 0 and deviation 1 per channel.

    The result has the memory layout of the input, which is what PyTorch calls channels_last. Features,
    [batch, ..., width], are scaled each by its own mean and deviation.
    """
    scaled = (images.float() - mean) / std
    return scaled.permute(0, 3, 1, 2) if images.ndim == 4 else scaled
