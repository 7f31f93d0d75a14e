"""A trained network as it is kept: its weights, and all that is needed to use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, Field, model_validator
from torch import nn

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.errors import RunError
from aumclean.files import atomic
from aumclean.training.loop import input_scale
from aumclean.training.models import model_of
from aumclean.training.predict import predict

HEADER = "aumclean"  # key in the header of a file of weights
MOST_FEATURES = 1 << 16

PerChannel = Annotated[list[float], Field(min_length=1, max_length=MOST_FEATURES)]


class About(BaseModel):
    """What somebody needs to know who uses a network's weights.

    Attributes:
        class_names: of the real classes.
        image_size: side in pixels; of a head on features, how many there are.
        mean, std: per channel, in 0..255, by which its pixels were scaled, or per feature.
    """

    schema_version: Literal[1] = 1
    class_names: tuple[str, ...] = Field(min_length=1)
    image_size: int = Field(ge=1, le=MOST_FEATURES)
    mean: PerChannel
    std: PerChannel

    @model_validator(mode="after")
    def _of_every_channel(self) -> Self:
        if not len(self.mean) == len(self.std) or len(self.mean) not in (3, self.image_size):
            raise ValueError("mean and std must be of three channels, or of every feature")
        return self


class _Header(About):
    """The same in the header of the one file that a diagnostic keeps."""

    recipe: Recipe


@dataclass(frozen=True)
class Network:
    """A trained network and what it needs to know.

    Attributes:
        model: in evaluation mode. That of a scan has one output more than there are real classes.
        about: its classes and the scale of its pixels.
        flip: whether it was trained on mirrored images too, and so judges both.
    """

    model: nn.Module
    about: About
    flip: bool

    def on(self, device: torch.device) -> nn.Module:
        """Its model, on a device."""
        return self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def logits(self, images: np.ndarray, device: torch.device) -> np.ndarray:
        """Logits of the real classes, float32 [n, classes], of images, uint8 [n, image_size, image_size, 3]."""
        logits = predict(self.model, images, self.about.mean, self.about.std, mirror=self.flip, device=device)
        return logits[:, : len(self.about.class_names)]


def with_weights(model: nn.Module, file: Path) -> nn.Module:
    """The model with the weights in a file, in evaluation mode, on the CPU.

    Raises:
        OSError, RuntimeError, SafetensorError: when the file is missing, damaged, or of another model.
    """
    model.load_state_dict(safetensors.torch.load_file(file))
    return model.eval()


def write_weights(file: Path, weights: Mapping[str, torch.Tensor], about: str | None = None) -> None:
    """Write weights; `about` goes into the header."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    atomic.write_bytes(file, safetensors.torch.save(whole, metadata=None if about is None else {HEADER: about}))


def write_network(file: Path, weights: Mapping[str, torch.Tensor], dataset: Dataset, recipe: Recipe) -> None:
    """Write a network that was trained on a data set in one file, with all that is needed to use it."""
    mean, std = input_scale(dataset, recipe)
    names, size = dataset.class_names, dataset.size
    header = _Header(class_names=names, image_size=size, mean=mean, std=std, recipe=recipe)
    write_weights(file, weights, header.model_dump_json())


def read_network(file: Path) -> Network:
    """Read what `write_network` wrote.

    Raises:
        RunError: when the file is something else or damaged.
    """
    try:
        with safetensors.safe_open(file, "pt") as opened:
            header = _Header.model_validate_json((opened.metadata() or {})[HEADER])
        model = model_of(header.recipe, len(header.class_names), header.image_size)
        return Network(with_weights(model, file), header, header.recipe.flip)
    except KeyError as error:
        raise RunError(f"{file}: was not kept by an aumclean diagnostic (it lacks {error})") from None
    except (OSError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        why = " ".join(str(error).split())[:200]
        raise RunError(
            f"{file}: cannot be read as a network ({why}); give a file from trainings/*.safetensors"
        ) from None
