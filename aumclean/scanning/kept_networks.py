"""The networks that a run keeps, one per draw, to judge images that come after it.

models/model.json                     architecture, class names, image size, normalisation
models/draw=K.safetensors             weights, averaged over the last steps of training
models/draw=K.margins.parquet         what it says of every sample, see `aumclean.margins.final`
models/draw=K.held_out.parquet        margins of the draw's indicator samples among the real classes, see
                                      `aumclean.verdict.held_out`
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from aumclean import atomic
from aumclean.dataset.dataset import Dataset
from aumclean.errors import RunError
from aumclean.margins.final import Final, final_margins, write_final
from aumclean.recipe import Recipe
from aumclean.run import Run
from aumclean.training.loop import normalisation
from aumclean.training.models import build_model
from aumclean.training.predict import predict, predictions
from aumclean.verdict.held_out import MOST_HELD_OUT, HeldOut, held_out, read_held_out, write_held_out

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Network:
    """A trained network and what it needs to know.

    Attributes:
        weights: its state.
        held_out: how it judges labels it was not taught.
        arch, image_size, mean, std, flip: as it was trained.
        class_names: of the real classes; it has one output more, that of the indicator class.
    """

    weights: dict[str, torch.Tensor]
    held_out: HeldOut
    arch: str
    image_size: int
    mean: list[float]
    std: list[float]
    flip: bool
    class_names: tuple[str, ...]

    def logits(self, images: np.ndarray, device: torch.device) -> np.ndarray:
        """Logits of the real classes, float32 [n, classes], of images, uint8 [n, image_size, image_size, 3]."""
        n_classes = len(self.class_names)
        model = build_model(self.arch, n_classes + 1, self.image_size)
        model.load_state_dict(self.weights)
        logits = predict(model, images, self.mean, self.std, mirror=self.flip, device=device)
        return logits[:, :n_classes]


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
    """
    mean, std = normalisation(dataset)
    about: dict[str, Any] = {
        "arch": recipe.arch,
        "image_size": dataset.images.shape[1],
        "mean": mean,
        "std": std,
        "flip": recipe.flip,
        "class_names": list(dataset.class_names),
    }
    n_classes = len(dataset.class_names)
    model = build_model(recipe.arch, n_classes + 1, about["image_size"])
    model.load_state_dict(weights)
    rng = np.random.default_rng([seed, draw])
    if len(indicators) > MOST_HELD_OUT:
        indicators = np.sort(rng.choice(indicators, MOST_HELD_OUT, replace=False))
    logits = predict(model, dataset.images[indicators], mean, std, mirror=recipe.flip, device=device)
    write_held_out(run.held_out(draw), indicators, held_out(logits[:, :n_classes], dataset.labels[indicators], rng))
    write_final(run.final_margins(draw), _final_margins(model, dataset, recipe, mean, std, device))
    atomic.write_json(run.model_json, {"schema_version": SCHEMA_VERSION, "outputs": n_classes + 1, **about})
    whole = {name: tensor.contiguous() for name, tensor in weights.items()}
    atomic.write_bytes(run.model(draw), safetensors.torch.save(whole))  # last: it says that the draw is done


def _final_margins(
    model: nn.Module, dataset: Dataset, recipe: Recipe, mean: list[float], std: list[float], device: torch.device
) -> Final:
    """Final margins of every sample, batch by batch: logits are never all in memory."""
    n_classes, done, parts = len(dataset.class_names), 0, []
    batches = predictions(model, dataset.images, mean, std, mirror=recipe.flip, device=device, bf16=recipe.bf16)
    for logits in batches:
        parts.append(final_margins(logits[:, :n_classes], dataset.labels[done : done + len(logits)]))
        done += len(logits)
    return Final(*map(np.concatenate, zip(*parts, strict=True)))


def read_networks(run: Run) -> list[Network]:
    """The networks of all draws of a finished run.

    Raises:
        RunError: when one is missing or damaged.
    """
    try:
        about = json.loads(run.model_json.read_text(encoding="utf-8"))
        return [_read(run, draw, about) for draw in range(run.read().draws)]
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise RunError(f"{run.model_json.parent}: its networks cannot be read ({error}); scan anew") from None


def _read(run: Run, draw: int, about: dict[str, Any]) -> Network:
    return Network(
        weights=safetensors.torch.load_file(run.model(draw)),
        held_out=read_held_out(run.held_out(draw)),
        arch=about["arch"],
        image_size=about["image_size"],
        mean=about["mean"],
        std=about["std"],
        flip=about["flip"],
        class_names=tuple(about["class_names"]),
    )
