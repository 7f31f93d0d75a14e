"""The networks that a run keeps, one per draw, to judge images that come after it.

models/model.json                     architecture, class names, image size, normalisation
models/draw=K.safetensors             weights, averaged over the last steps of training
models/draw=K.margins.parquet         what it says of every sample, see `aumclean.margins.final`
held_out/part-K.parquet               how likely it finds each class of the draw's indicator samples, whose labels it
                                      was not taught, see `aumclean.margins.held_out`
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import safetensors
import torch
from pydantic import Field

from aumclean import chance
from aumclean.config.recipe import LINEAR, Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.errors import ConfigError, RunError
from aumclean.files import atomic
from aumclean.margins.final import Final, final_margins, write_final
from aumclean.margins.held_out import HeldOut, log_softmax, most_held_out, write_held_out
from aumclean.progress import Track
from aumclean.run.directory import Run
from aumclean.training.loop import normalisation
from aumclean.training.models import build_model
from aumclean.training.network import About, Network, with_weights, write_weights
from aumclean.training.predict import predictions


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
        seed: of which indicator samples are kept where they are very many.
        device: where to compute.
        track: shows the progress.
    """
    (mean, std), n_classes = normalisation(dataset), len(dataset.class_names)
    about = _ModelJson(
        outputs=n_classes + 1, arch=recipe.arch, image_size=dataset.size, mean=mean, std=std,
        flip=recipe.flip, class_names=dataset.class_names,
    )  # fmt: skip
    model = build_model(recipe.arch, about.outputs, about.image_size)
    model.load_state_dict(weights)
    if len(indicators) > (most := most_held_out(n_classes, run.read().draws)):
        chosen = chance.generator(seed, "held-out", draw).choice(indicators, most, replace=False)
        indicators = np.sort(chosen)
    batches = predictions(model, dataset.images, mean, std, mirror=recipe.flip, device=device, bf16=recipe.bf16)
    final, logits = _final_margins(track(batches, "judging", 0, len(dataset)), dataset, indicators)
    if recipe.arch != LINEAR:  # heads are no witness beside the discriminant of the same features
        fold = np.full(len(indicators), draw, np.int32)
        write_held_out(run.held_out_part(draw), HeldOut(indicators, fold, log_softmax(logits)))
    write_final(run.final_margins(draw), final)
    atomic.write_json(run.model_json, about.model_dump(mode="json"))
    write_weights(run.model(draw), weights)  # last: it says that the draw is done


def _final_margins(batches: Iterable[np.ndarray], dataset: Dataset, held_out: np.ndarray) -> tuple[Final, np.ndarray]:
    """Final margins of every sample, and logits (float32 [m, classes]) of those held out (int64, ascending).

    Batch by batch: logits are never all in memory. Both come of one pass, and so of one precision.
    """
    n_classes, done, parts, kept = len(dataset.class_names), 0, [], []
    for outputs in batches:
        logits, stop = outputs[:, :n_classes], done + len(outputs)
        parts.append(final_margins(logits, dataset.labels[done:stop]))
        inside = held_out[np.searchsorted(held_out, done) : np.searchsorted(held_out, stop)]
        kept.append(logits[inside - done])
        done = stop
    return Final(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(kept)


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
