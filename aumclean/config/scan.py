"""The options of a scan."""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from aumclean.config.presets import PRESETS, Combine, Preset, Threshold
from aumclean.config.recipe import MOST_EPOCHS, closing_epochs
from aumclean.files.records import MOST

Parallel = Literal["auto", "draws", "data"]
ClassFolder = Literal["first", "last"]
Source = Literal["folder", "manifest"]

AUTO = "auto"
FROZEN = "frozen"
AUTO_EPOCHS = 40  # at most, of `--epochs auto` and of few images
MOST_DRAWS = 1000
MOST_PIXELS = 1024  # a side
MOST_WORKERS = 4096


def _epochs(given: Any) -> Any:
    if given is None or given == AUTO:
        return given
    if not re.fullmatch(r"[1-9]\d{0,5}", str(given)) or int(given) > MOST_EPOCHS:
        raise ValueError(f"must be a number from 1 to {MOST_EPOCHS}, or auto")
    return int(given)


def _value_range(given: Any) -> Any:
    """`0,4095` as two numbers."""
    if given is None:
        return None
    try:
        black, white = map(float, given.split(",") if isinstance(given, str) else given)
    except (TypeError, ValueError):
        raise ValueError("must be two numbers such as 0,4095") from None
    if not -math.inf < black < white < math.inf:
        raise ValueError("must be two numbers, the smaller first, such as 0,4095")
    return black, white


class Reading(BaseModel):
    """How DATA is read; None means: found from the data."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: Source | None = None
    path_column: str | None = None
    label_column: str | None = None
    root: Path | None = None
    split: str | None = None
    class_folder: ClassFolder | None = None
    value_range: Annotated[tuple[float, float] | None, BeforeValidator(_value_range)] = None
    max_pixels: int | None = Field(default=None, ge=1, le=MOST)
    limit: int | None = Field(default=None, ge=1, le=MOST)

    def reading(self) -> dict[str, Any]:
        """These options alone: arguments of `read_samples`."""
        return {name: getattr(self, name) for name in Reading.model_fields}


class ScanConfig(Reading):
    """Every option of `scan`; None means: by the preset, or found from the data and the machine."""

    out: Path | None = None
    overwrite: bool = False

    preset: Preset = "fast"
    features: str | None = Field(default=None, min_length=1, max_length=4096)
    against: Path | None = None
    arch: str = "auto"
    pretrained: bool = False
    image_size: int | None = Field(default=None, ge=8, le=MOST_PIXELS)
    epochs: Annotated[int | Literal["auto"] | None, BeforeValidator(_epochs)] = None
    batch_size: int = Field(default=64, ge=2, le=2**20)
    learning_rate: float | None = Field(default=None, gt=0, le=1000)
    weight_decay: float | None = Field(default=None, ge=0, le=1000)
    flip: bool = True

    percentile: float | None = Field(default=None, gt=0, lt=100)
    threshold: Threshold | None = None
    target_precision: float | None = Field(default=None, gt=0, lt=1)
    target_recall: float | None = Field(default=None, gt=0, lt=1)
    draws: int | None = Field(default=None, ge=2, le=MOST_DRAWS)
    combine: Combine | None = None
    first_epoch: int | None = Field(default=None, ge=0, le=MOST_EPOCHS)

    seed: int = Field(default=0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int | None = Field(default=None, ge=1, le=MOST_WORKERS)
    jobs: int | None = Field(default=None, ge=1, le=MOST_WORKERS)
    parallel: Parallel = "auto"
    only_draw: int | None = Field(default=None, ge=0, lt=MOST_DRAWS)

    max_unreadable: float = Field(default=5.0, ge=0, le=100)
    ledger: Path | None = None
    horizon: str | None = None

    cache_dir: Path | None = None
    cache_limit: float = Field(default=50.0, gt=0, le=MOST)
    verify: bool = False

    def by_preset(self, name: str) -> Any:
        """The option's own value if one was given, else the preset's."""
        given = getattr(self, name, None)
        return PRESETS[self.preset][name] if given is None else given

    @property
    def judged_by(self) -> Threshold:
        """The threshold asked for, also by a target (estimate), or by a percentile or a combination (indicator)."""
        if self.threshold is None and (self.target_precision is not None or self.target_recall is not None):
            return "estimate"
        if self.threshold is None and (self.percentile is not None or self.combine is not None):
            return "indicator"
        threshold: Threshold = self.by_preset("threshold")
        return threshold

    @property
    def most_epochs(self) -> int:
        """How many epochs there are at most: with `auto` the training may end before."""
        epochs = self.by_preset("epochs")
        return AUTO_EPOCHS if epochs == AUTO else int(epochs)

    @property
    def least_held_out(self) -> float:
        """Which share of the images is an indicator sample of a draw at least; as published, none more than there."""
        return float(PRESETS[self.preset].get("least_held_out", 0)) if self.judged_by == "estimate" else 0.0

    def epochs_for(self, images: int) -> int:
        """How many epochs so many images get: a preset's number, or more where that would be too few steps."""
        steps: int | None = PRESETS[self.preset].get("least_steps")
        if self.epochs is not None or steps is None:
            return self.most_epochs
        return max(self.most_epochs, min(AUTO_EPOCHS, -(-steps * self.batch_size // images)))

    @property
    def recorded_epochs(self) -> int:
        """How many of them come before the rate falls."""
        return self.most_epochs - closing_epochs(self.most_epochs, self.by_preset("closing"))
