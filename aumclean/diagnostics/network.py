"""A network that a diagnostic kept: one file with weights, recipe, class names and the scale of its pixels."""

import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from aumclean.errors import RunError
from aumclean.recipe import Recipe
from aumclean.training.models import model_of


@dataclass(frozen=True)
class Network:
    """A trained network and what it needs to know.

    Attributes:
        model: in evaluation mode, on the CPU.
        recipe: how it was trained.
        class_names: one per output.
        image_size: side in pixels.
        mean, std: per channel, in 0..255.
    """

    model: nn.Module
    recipe: Recipe
    class_names: tuple[str, ...]
    image_size: int
    mean: list[float]
    std: list[float]


def read_network(file: Path) -> Network:
    """Read what `aumclean.diagnostics.trainings.keep` wrote.

    Raises:
        RunError: when the file is something else or damaged.
    """
    try:
        with safetensors.safe_open(file, "pt") as opened:
            about = json.loads((opened.metadata() or {})["aumclean"])
        recipe = Recipe(**about["recipe"])
        class_names = tuple(about["class_names"])
        model = model_of(recipe, len(class_names), about["image_size"])
        model.load_state_dict(safetensors.torch.load_file(file))
    except KeyError as error:
        raise RunError(f"{file}: was not kept by an aumclean diagnostic (it lacks {error})") from None
    except (OSError, ValueError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        why = " ".join(str(error).split())[:200]
        raise RunError(
            f"{file}: cannot be read as a network ({why}); give a file from trainings/*.safetensors"
        ) from None
    return Network(model.eval(), recipe, class_names, about["image_size"], about["mean"], about["std"])


def on(network: Network, device: torch.device) -> nn.Module:
    """Its model, on a device."""
    return network.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
