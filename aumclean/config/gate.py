"""The budgets of a gate."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from aumclean.files.records import MOST


@dataclass(frozen=True)
class Limit:
    """At most so many samples: a count such as `20`, or a percentage such as `2.5%`."""

    value: float
    percent: bool

    def allows(self, count: int, of: int) -> bool:
        """Whether `count` samples of `of` are within it."""
        return count * 100 <= self.value * of if self.percent else count <= self.value

    def __str__(self) -> str:
        return f"{self.value:.15g}" + "%" * self.percent


def _limit(given: Any) -> Any:
    if isinstance(given, Limit):
        return given
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*(%?)", str(given).strip())
    if found is None or (not found[2] and "." in found[1]) or (found[2] and float(found[1]) > 100):
        raise ValueError("must be a count such as 20, or a percentage such as 2.5%")
    return Limit(float(found[1]), bool(found[2]))


Budget = Annotated[Limit, BeforeValidator(_limit)]


class GateConfig(BaseModel):
    """Every budget of `gate`; None means: not asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    max_flagged: Budget | None = None
    max_class_flagged: Budget | None = None
    classes: dict[str, Budget] = Field(default_factory=dict)
    max_conflicts: int | None = Field(default=None, ge=0, le=MOST)
    max_near_conflicts: int | None = Field(default=None, ge=0, le=MOST)
    max_leaked: int | None = Field(default=None, ge=0, le=MOST)
    max_unreadable: Budget | None = None
    max_unjudged: Budget = Limit(5, percent=True)
    min_score: float | None = Field(default=None, ge=0, le=1)
    baseline: Path | None = None
    max_new: int | None = Field(default=None, ge=0, le=MOST)
    data: Path | None = None
