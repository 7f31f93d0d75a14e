"""A network judged on original, low-pass and high-pass images, with stored or with the batch's own statistics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from aumclean.config.recipe import LINEAR, Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.frequency.bands import Disc, batches, low_pass
from aumclean.errors import RunError
from aumclean.progress import Track, untracked
from aumclean.run.directory import Run
from aumclean.scanning.kept_networks import read_networks
from aumclean.training import augment
from aumclean.training.loop import Epoch, input_scale
from aumclean.training.models import batch_norms
from aumclean.training.network import Network

BnEval = Literal["running", "batch"]

ORIGINAL = "original"
BATCH = 100  # the paper's; with the batch's own statistics it is part of the result


def band_names(radii: Sequence[float]) -> list[str]:
    """Names of the images that are judged: original, then low and high for each radius."""
    return [ORIGINAL, *(f"{band}-{radius:g}" for radius in radii for band in ("low", "high"))]


@contextmanager
def judging(model: nn.Module, bn_eval: BnEval) -> Iterator[None]:
    """Evaluation mode; with `batch` every batch normalisation takes its batch's own statistics, and keeps none."""
    was_training = model.training
    model.eval()
    layers = batch_norms(model) if bn_eval == "batch" else []
    kept = [layer.track_running_stats for layer in layers]
    for layer in layers:
        layer.train()
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer, keeps in zip(layers, kept, strict=True):
            layer.track_running_stats = keeps
        model.train(was_training)


def networks_of(run: Run) -> list[Network]:
    """The networks that a finished scan keeps.

    Raises:
        RunError: when it keeps none, or these see no pixels.
    """
    if run.read_scan().recipe.arch == LINEAR:
        raise RunError(f"{run.path}: was scanned with --preset frozen, which keeps no network that sees pixels")
    return read_networks(run)


def band_logits(
    model: nn.Module,
    images: np.ndarray,
    discs: Sequence[Disc],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    device: torch.device,
    bn_eval: BnEval = "running",
    bf16: bool = False,
    high_offset: Sequence[float] = (0.0, 0.0, 0.0),
    track: Track = untracked,
) -> dict[str, np.ndarray]:
    """Logits of every image and of its bands.

    A batch holds images of one band only. The filter comes before the network's own scaling of pixels.

    Args:
        model: on the device.
        images: uint8 [n, height, width, 3].
        discs: where to cut.
        mean, std: per channel, in 0..255.
        device: where to compute.
        bn_eval: see `judging`; `batch` takes batches of 100 in a fixed random order, as large as the paper's.
        bf16: compute in bfloat16.
        high_offset: added to high-pass images, per channel in 0..255.
        track: shows the progress.

    Returns:
        float32 [n, classes] by the names of `band_names`.
    """
    height, width = images.shape[1:3]
    masks = [torch.from_numpy(disc.mask(height, width)).to(device) for disc in discs]
    names = band_names([disc.radius for disc in discs])
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    shift, scale, offset = (torch.tensor(list(values), device=device) for values in (mean, std, high_offset))
    # data often lie sorted by class, and a batch of one class has statistics of its own
    order = np.random.default_rng(0).permutation(len(images)) if bn_eval == "batch" else np.arange(len(images))
    with judging(model, bn_eval), torch.inference_mode():
        each = batches(images if bn_eval == "running" else images[order], device, BATCH)
        for pixels in track(each, "judging", 0, len(images)):
            shown = [pixels]
            for mask in masks:
                low = low_pass(pixels, mask)
                shown += [low, pixels - low + offset]
            for name, band in zip(names, shown, strict=True):
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    logits = model(augment.normalise(band, shift, scale)).float()
                parts[name].append(logits.cpu().numpy())
    place = np.argsort(order)
    return {name: np.concatenate(part)[place] for name, part in parts.items()}


def accuracies(logits: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Share of right predictions, by band."""
    return {name: float((values.argmax(1) == labels).mean()) for name, values in logits.items()}


def measuring(
    train: Dataset,
    recipe: Recipe,
    looked_at: Dataset,
    discs: Sequence[Disc],
    device: torch.device,
    bn_eval: BnEval = "running",
) -> Callable[[Epoch], dict[str, float]]:
    """What measures, after every epoch of a training on `train`, the accuracy on each band of what is looked at."""
    scale = input_scale(train, recipe)
    options: dict[str, Any] = {"device": device, "bn_eval": bn_eval, "bf16": recipe.bf16}
    return lambda epoch: accuracies(
        band_logits(epoch.model, looked_at.images, discs, *scale, **options), looked_at.labels
    )
