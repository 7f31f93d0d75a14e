"""The options of a scan and of a gate: typed tables, filled from a file, the environment and the command line."""

import math
import os
import re
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aumclean.errors import ConfigError, did_you_mean
from aumclean.files.location import location
from aumclean.files.records import MOST, problem
from aumclean.recipe import MOST_EPOCHS, closing_epochs

Preset = Literal["fast", "frozen", "paper", "asapp", "thorough"]
Combine = Literal["all", "any", "mean"]
Rule = Literal["percentile", "asapp"]
Threshold = Literal["indicator", "estimate"]
Parallel = Literal["auto", "draws", "data"]
ClassFolder = Literal["first", "last"]
Source = Literal["folder", "manifest"]

ENVIRONMENT_PREFIX = "AUMCLEAN_"
OTHER_VARIABLES = {"AUMCLEAN_DEBUG"}
GATE_PREFIX = "AUMCLEAN_GATE_"
PATH_KEYS = ("out", "against", "root", "cache_dir", "ledger", "baseline", "data")
READING = (
    "source", "path_column", "label_column", "root", "split", "class_folder", "value_range", "max_pixels", "limit",
)  # fmt: skip

_PAPER = {
    "small_arch": "resnet32",
    "epochs": 150,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "warmup_epochs": 0,
    "closing": 0,  # share of the epochs that come last, with a falling rate
    "percentile": 99.0,
    "first_epoch": 1,
    "combine": "all",
    "rule": "percentile",
    "threshold": "indicator",
    "draws": 2,
}

_FAST = {
    "small_arch": "resnet8-s2d",
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "warmup_epochs": 1,
    "closing": 0.25,
    "percentile": 99.0,
    "first_epoch": 2,
    "combine": "all",
    "rule": "percentile",
    "threshold": "estimate",
    "least_steps": 640,  # in all; few images get more epochs, up to AUTO_EPOCHS
    "least_held_out": 1 / 12,  # of the images, in every draw; where there are many classes more than N / (c + 1)
}

PRESETS: dict[str, dict[str, Any]] = {
    # Pleiss et al., NeurIPS 2020, section 4 and appendix: the published protocol.
    "paper": _PAPER,
    # github.com/asappresearch/aum, examples/paper_replication/runner.py: what the published code does instead.
    "asapp": {**_PAPER, "rule": "asapp"},
    # Detection per unit of compute: margins are read before memorisation begins (docs/benchmarks.md).
    "fast": {
        **_FAST,
        "epochs": 12,
        "draws": 2,
    },
    # No network: heads on the features of a backbone, in seconds once these are there.
    "frozen": {
        **_FAST,
        "small_arch": "linear",
        "epochs": 10,
        "learning_rate": 0.002,
        "weight_decay": 0.01,
        "closing": 0,
        "first_epoch": 1,
        "draws": 2,
    },
    # About four times the compute of `fast`.
    "thorough": {**_FAST, "epochs": 24, "draws": 4},
}


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


def value_range(given: Any) -> Any:
    """`0,4095` as two numbers.

    Raises:
        ValueError: when it is none.
    """
    try:
        black, white = map(float, given.split(",") if isinstance(given, str) else given)
    except (TypeError, ValueError):
        raise ValueError("must be two numbers such as 0,4095") from None
    if not -math.inf < black < white < math.inf:
        raise ValueError("must be two numbers, the smaller first, such as 0,4095")
    return black, white


def _optional_range(given: Any) -> Any:
    return None if given is None else value_range(given)


class ScanConfig(BaseModel):
    """Every option of `scan`; None means: by the preset, or found from the data and the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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

    source: Source | None = None
    path_column: str | None = None
    label_column: str | None = None
    root: Path | None = None
    split: str | None = None
    class_folder: ClassFolder | None = None
    value_range: Annotated[tuple[float, float] | None, BeforeValidator(_optional_range)] = None
    max_pixels: int | None = Field(default=None, ge=1, le=MOST)
    limit: int | None = Field(default=None, ge=1, le=MOST)
    max_unreadable: float = Field(default=5.0, ge=0, le=100)
    ledger: Path | None = None
    horizon: str | None = None

    cache_dir: Path | None = None
    cache_limit: float = Field(default=50.0, gt=0, le=MOST)

    def reading(self) -> dict[str, Any]:
        """The options that say how DATA is read: arguments of `read_samples`."""
        return {name: getattr(self, name) for name in READING}

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


@dataclass(frozen=True)
class Limit:
    """At most so many samples: a count such as `20`, or a percentage such as `2.5%`."""

    value: float
    percent: bool

    def allows(self, count: int, of: int) -> bool:
        """Whether `count` samples of `of` are within it."""
        return count * 100 <= self.value * of if self.percent else count <= self.value

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.percent else f"{self.value:g}"


def _limit(given: Any) -> Any:
    if isinstance(given, Limit):
        return given
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*(%?)", str(given).strip())
    if found is None or (not found[2] and "." in found[1]) or (found[2] and float(found[1]) > 100):
        raise ValueError("must be a count such as 20, or a percentage such as 2.5%")
    return Limit(float(found[1]), bool(found[2]))


class GateConfig(BaseModel):
    """Every budget of `gate`; None means: not asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    max_flagged: Annotated[Limit, BeforeValidator(_limit)] | None = None
    max_class_flagged: Annotated[Limit, BeforeValidator(_limit)] | None = None
    classes: dict[str, Annotated[Limit, BeforeValidator(_limit)]] = Field(default_factory=dict)
    max_conflicts: int | None = Field(default=None, ge=0, le=MOST)
    max_near_conflicts: int | None = Field(default=None, ge=0, le=MOST)
    max_leaked: int | None = Field(default=None, ge=0, le=MOST)
    max_unreadable: Annotated[Limit, BeforeValidator(_limit)] | None = None
    max_unjudged: Annotated[Limit, BeforeValidator(_limit)] = Limit(5, percent=True)
    min_score: float | None = Field(default=None, ge=0, le=1)
    baseline: Path | None = None
    max_new: int | None = Field(default=None, ge=0, le=MOST)
    data: Path | None = None


Options = TypeVar("Options", bound=BaseModel)
SECTIONS: dict[str, type[BaseModel]] = {"scan": ScanConfig, "gate": GateConfig}


def load(
    given: Mapping[str, Any],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> ScanConfig:
    """The options of a scan: `given` (command line) over the environment over a file over the defaults.

    Args:
        given: options the user typed; None stands for "not given".
        file: a TOML file with a `[scan]` table, or a pyproject.toml; without one the nearest pyproject.toml
            upwards of `folder` that has `[tool.aumclean]` is read.
        environment: variables; those named `AUMCLEAN_<OPTION>` count.
        folder: where the search for a pyproject.toml begins; the working directory by default.

    Raises:
        ConfigError: for an unknown key or variable, a value out of range, or a file that cannot be read.
    """
    own = {name: value for name, value in environment.items() if not name.startswith(GATE_PREFIX)}
    config, names = _merged(ScanConfig, "scan", given, file, own, ENVIRONMENT_PREFIX, folder)
    _require_shareable(config, names)
    recorded, first_epoch = config.recorded_epochs, config.first_epoch
    if first_epoch is not None and first_epoch >= recorded:
        name = names.get("first_epoch", "--first-epoch")
        raise ConfigError(
            f"{name}: {first_epoch} leaves nothing to average over {recorded} epochs, after which the training is "
            f"closed; epochs count from 0, so give at most {recorded - 1}"
        )
    return config


def _require_shareable(config: ScanConfig, names: Mapping[str, str]) -> None:
    """Refuse a single draw of a run that others could not join, or would lose."""
    if config.only_draw is None:
        return
    name = names.get("only_draw", "--only-draw")
    last = config.by_preset("draws") - 1
    if config.only_draw > last:
        raise ConfigError(f"{name}: {config.only_draw} is not among the draws, 0 to {last}")
    if config.out is None:
        raise ConfigError(f"{name}: name the run directory that the draws share with --out")
    if config.overwrite:
        raise ConfigError(f"{name}: goes into a run that others may be writing to; leave out --overwrite")


def load_gate(
    given: Mapping[str, Any],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> GateConfig:
    """The budgets of a gate, merged as `load` does; variables are named `AUMCLEAN_GATE_<OPTION>`.

    Raises:
        ConfigError: as `load` does.
    """
    return _merged(GateConfig, "gate", given, file, environment, GATE_PREFIX, folder)[0]


def _merged(
    kind: type[Options],
    section: str,
    given: Mapping[str, Any],
    file: Path | None,
    environment: Mapping[str, str],
    prefix: str,
    folder: Path | None,
) -> tuple[Options, dict[str, str]]:
    """The options, and how messages name those that come from a file or the environment."""
    read, file = _from_file(file, folder or Path.cwd(), section)
    found = _from_environment(environment, prefix, kind)
    typed = {key: value for key, value in given.items() if value is not None}
    names = {key: f"{file}: key '{key}' of [{section}]" for key in read}
    names |= {key: f"environment variable {prefix}{key.upper()}" for key in found}
    names = {key: name for key, name in names.items() if key not in typed}
    return _checked(kind, {**read, **found, **typed}, names), names


def checked(kind: type[Options], **options: Any) -> Options:
    """Options of a kind.

    Raises:
        ConfigError: for one that is out of range or of a wrong type.
    """
    return _checked(kind, options, {})


def _checked(kind: type[Options], options: dict[str, Any], names: Mapping[str, str]) -> Options:
    try:
        return kind(**options)
    except ValidationError as error:
        option, _, said = problem(error).partition(": ")
        key, _, part = option.partition(".")
        name = names.get(key, "--" + key.replace("_", "-")) + (part and f": {part}")
        raise ConfigError(f"{name}: {said} (got {reprlib.repr(error.errors()[0]['input'])})") from None


def _from_environment(environment: Mapping[str, str], prefix: str, kind: type[BaseModel]) -> dict[str, str]:
    found = {}
    for variable, value in environment.items():
        if not variable.startswith(prefix) or variable in OTHER_VARIABLES or value == "":
            continue
        key = variable.removeprefix(prefix).lower()
        if key not in kind.model_fields:
            known = [prefix + name.upper() for name in kind.model_fields]
            raise ConfigError(f"environment variable {variable} is not known{did_you_mean(variable, known)}")
        found[key] = value
    return found


def _from_file(file: Path | None, folder: Path, section: str) -> tuple[dict[str, Any], Path | None]:
    if file is None:
        candidates = (parent / "pyproject.toml" for parent in (folder, *folder.parents))
        for candidate in candidates:
            if candidate.is_file() and "aumclean" in _table(candidate, _read_toml(candidate), "tool"):
                file = candidate
                break
        else:
            return {}, None
    document = _read_toml(file)
    tool = _table(file, document, "tool")
    tables = (
        _table(file, tool, "aumclean") if "aumclean" in tool else {k: v for k, v in document.items() if k != "tool"}
    )
    for name in tables:
        if name not in SECTIONS:
            raise ConfigError(f"{file}: table '{name}' is not known{did_you_mean(name, SECTIONS)}")
    options = dict(_table(file, tables, section))
    known = SECTIONS[section].model_fields
    for key in options:
        if key not in known:
            raise ConfigError(f"{file}: key '{key}' of [{section}] is not known{did_you_mean(key, known)}")
    for key in PATH_KEYS:
        if isinstance(options.get(key), str):
            where = location(options[key])
            options[key] = where if isinstance(where, str) else str(file.parent / where)
    return options, file


def _table(file: Path, document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: '{name}' must be a table, not {reprlib.repr(table)}")
    return table


def expanded(path: Path) -> Path:
    """A path with a home folder at its beginning (`~`) written out.

    Raises:
        ConfigError: when there is no such user, or no home folder is known.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: no such home folder; write the path out") from None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check --config") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: is not valid TOML ({error})") from None
