"""The networks that a run keeps, one per draw, to judge images that come after it.

models/model.json                     architecture, class names, image size, normalisation
models/draw=K.safetensors             weights, averaged over the last steps of training
models/draw=K.margins.parquet         what it says of every sample, see `aumclean.margins.final`
models/draw=K.held_out.parquet        margins of the draw's indicator samples among the real classes, see
                                      `aumclean.verdict.held_out`
"""

from pathlib import Path

import numpy as np
import safetensors
import torch
from pydantic import Field
from torch import nn

from aumclean import atomic
from aumclean.dataset.dataset import Dataset
from aumclean.errors import ConfigError, RunError
from aumclean.margins.final import Final, final_margins, write_final
from aumclean.progress import Track
from aumclean.recipe import Recipe
from aumclean.run import Run
from aumclean.training.loop import normalisation
from aumclean.training.models import build_model
from aumclean.training.network import About, Network, with_weights, write_weights
from aumclean.training.predict import predict, predictions
from aumclean.verdict.held_out import MOST_HELD_OUT, held_out, write_held_out


class _ModelJson(About):
    """What `models/model.json` says of the networks of all draws; one output is that of the indicator class."""

    outputs: int = Field(ge=2)
    arch: str
    flip: bool


def keep_network(
    run: Run,
    draw: int,
    weights: dict[str, torch.Tensor],
    dataset: Dataset,
    indicators: np.ndarray,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    track: Track,
) -> None:
    """Store the network of a draw that has been trained.

    Args:
        run: where.
        draw: which draw.
        weights: the averaged ones.
        dataset: with the labels the samples have, not those of the indicator class.
        indicators: int64, sample ids of the draw's indicator samples.
        recipe: how it was trained.
        seed: of the wrong labels that are tried.
        device: where to compute.
        track: shows the progress.
    """
    (mean, std), n_classes = normalisation(dataset), len(dataset.class_names)
    about = _ModelJson(
        outputs=n_classes + 1, arch=recipe.arch, image_size=dataset.images.shape[1], mean=mean, std=std,
        flip=recipe.flip, class_names=dataset.class_names,
    )  # fmt: skip
    model = build_model(recipe.arch, about.outputs, about.image_size)
    model.load_state_dict(weights)
    rng = np.random.default_rng([seed, draw])
    if len(indicators) > MOST_HELD_OUT:
        indicators = np.sort(rng.choice(indicators, MOST_HELD_OUT, replace=False))
    logits = predict(model, dataset.images[indicators], mean, std, mirror=recipe.flip, device=device)
    write_held_out(run.held_out(draw), indicators, held_out(logits[:, :n_classes], dataset.labels[indicators], rng))
    write_final(run.final_margins(draw), _final_margins(model, dataset, recipe, mean, std, device, track))
    atomic.write_json(run.model_json, about.model_dump(mode="json"))
    write_weights(run.model(draw), weights)  # last: it says that the draw is done


def _final_margins(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    mean: list[float],
    std: list[float],
    device: torch.device,
    track: Track,
) -> Final:
    """Final margins of every sample, batch by batch: logits are never all in memory."""
    n_classes, done, parts = len(dataset.class_names), 0, []
    batches = predictions(model, dataset.images, mean, std, mirror=recipe.flip, device=device, bf16=recipe.bf16)
    for logits in track(batches, "judging", 0, len(dataset)):
        parts.append(final_margins(logits[:, :n_classes], dataset.labels[done : done + len(logits)]))
        done += len(logits)
    return Final(*map(np.concatenate, zip(*parts, strict=True)))


def read_networks(run: Run) -> list[Network]:
    """The networks of all draws of a finished run.

    Raises:
        RunError: when one is missing or damaged.
    """
    try:
        about = _ModelJson.model_validate_json(run.model_json.read_bytes())
        return [_read(run.model(draw), about) for draw in range(run.read().draws)]
    except (OSError, ValueError, RuntimeError, ConfigError, safetensors.SafetensorError) as error:
        why = " ".join(str(error).split())[:200]
        raise RunError(f"{run.model_json.parent}: its networks cannot be read ({why}); scan again") from None


def _read(weights: Path, about: _ModelJson) -> Network:
    model = build_model(about.arch, about.outputs, about.image_size)
    return Network(with_weights(model, weights), about, about.flip)
