"""The memorisation horizon: after how many epochs wrong labels are learned, so that AUM must have been read."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from aumclean.config.recipe import MOST_EPOCHS, Recipe
from aumclean.errors import ConfigError, RunError
from aumclean.files.records import Count, Record, problem, read_record
from aumclean.run.record import ComparedRecipe, Horizon, RunRecord, ScanRecord
from aumclean.verdict.warnings import Caution

RECORD = "diagnostic.json"
KIND = "random-labels horizon"
COMPARED = tuple(ComparedRecipe.model_fields)
Epochs = Annotated[float, Field(ge=0, le=MOST_EPOCHS)]


class _Answer(Record):
    """What is needed of `diagnostic.json`."""

    state: Literal["running", "done"]
    kind: str | None = None
    facts: dict[str, Any] = Field(default={})


class _Facts(Record):
    """What `random-labels horizon` found."""

    horizon: Epochs | None
    low: Epochs | None
    high: Epochs | None
    later_than: Epochs | None
    images: Count | None
    recipe: ComparedRecipe

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.horizon is None and self.later_than is None:
            raise ValueError("horizon or later_than must be a number")
        return self


def read_horizon(given: str) -> Horizon:
    """A number of epochs, or the directory that `aumclean random-labels horizon` wrote.

    Raises:
        ConfigError: for anything else, also for a diagnostic that is not finished or of another kind.
    """
    try:
        epochs = float(given)
    except ValueError:
        return _stored(Path(given))
    if not (epochs > 0 and math.isfinite(epochs)):
        raise ConfigError(f"--horizon: {given} is not a number of epochs above 0")
    return Horizon(epochs)


def _stored(folder: Path) -> Horizon:
    file = folder / RECORD if folder.is_dir() else folder
    remedy = "give a number of epochs, or the directory that aumclean random-labels horizon wrote"
    try:
        answer = read_record(file, _Answer, remedy=remedy)
        if answer.state != "done" or answer.kind != KIND:
            what = "is not finished" if answer.state != "done" else f"holds the answer of {answer.kind}"
            raise ConfigError(f"--horizon {folder}: {what}; {remedy}")
        facts = _Facts.model_validate(answer.facts)
    except FileNotFoundError:
        raise ConfigError(f"--horizon {folder}: no such result; {remedy}") from None
    except ValidationError as error:
        raise ConfigError(f"--horizon {file}: is damaged ({problem(error)}); {remedy}") from None
    except RunError as error:
        raise ConfigError(f"--horizon {error}; {remedy}") from None
    recipe = ComparedRecipe(**{name: getattr(facts.recipe, name) for name in COMPARED})
    return Horizon(facts.horizon, facts.low, facts.high, facts.later_than, facts.images, recipe)


def horizon_warnings(horizon: Horizon, recipe: Recipe, images: int) -> list[Caution]:
    """What to say of margins that are read up to the last epoch of a recipe, on so many images."""
    found = []
    epochs = recipe.epochs - recipe.closing_epochs  # those are not averaged
    if horizon.epochs is not None and epochs > horizon.epochs:
        read = horizon.low if horizon.low is not None else horizon.epochs
        most = max(1, math.floor(read * recipe.epochs / epochs))  # closing epochs keep their share
        found.append(
            Caution(
                "past-horizon",
                f"margins were read over {epochs} epochs, but wrong labels are memorised after {horizon}: they look "
                f"better the longer it goes on; --epochs {most} stays before it",
            )
        )
    if horizon.epochs is None and horizon.later_than is not None and epochs > horizon.later_than:
        found.append(
            Caution(
                "horizon-unknown", f"margins were read over {epochs} epochs; the horizon is only known to be {horizon}"
            )
        )
    different = [name for name in COMPARED if horizon.recipe and getattr(horizon.recipe, name) != getattr(recipe, name)]
    if different:
        found.append(
            Caution(
                "horizon-of-another-recipe",
                f"the horizon was measured with another {', '.join(different)}; measure it with the scan's own",
            )
        )
    if horizon.images is not None and not 0.5 <= images / max(1, horizon.images) <= 2:
        found.append(
            Caution(
                "horizon-of-other-data",
                f"the horizon was measured on {horizon.images:,} images, these are {images:,}: it grows or shrinks "
                "with their number",
            )
        )
    return found


def recorded_warnings(record: RunRecord, images: int) -> list[Caution]:
    """The warnings that follow from the horizon in a `run.json`, if there is one."""
    if not isinstance(record, ScanRecord) or record.horizon is None:
        return []
    return horizon_warnings(record.horizon, record.recipe, images)
