"""The options of a scan: one typed table, filled from presets, a file, the environment and the command line."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aumclean.errors import ConfigError, did_you_mean

Preset = Literal["fast", "paper", "asapp"]
Combine = Literal["all", "any", "mean"]
Rule = Literal["percentile", "asapp"]
ClassFolder = Literal["first", "last"]

ENVIRONMENT_PREFIX = "AUMCLEAN_"
OTHER_VARIABLES = {"AUMCLEAN_DEBUG"}
SECTIONS = ("scan",)
PATH_KEYS = ("out", "root", "cache_dir", "ledger")
READING = ("path_column", "label_column", "root", "split", "class_folder", "limit")

_PAPER = {
    "small_arch": "resnet32",
    "epochs": 150,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "warmup_epochs": 0,
    "first_epoch": 1,
    "combine": "all",
    "rule": "percentile",
}

PRESETS: dict[str, dict[str, Any]] = {
    # Pleiss et al., NeurIPS 2020, section 4 and appendix: the published protocol.
    "paper": _PAPER,
    # github.com/asappresearch/aum, examples/paper_replication/runner.py: what the published code does instead.
    "asapp": {**_PAPER, "rule": "asapp"},
    # Detection per unit of compute: margins are read before memorisation begins (docs/benchmarks.md).
    "fast": {
        "small_arch": "resnet9",
        "epochs": 10,
        "learning_rate": 0.05,
        "weight_decay": 5e-4,
        "warmup_epochs": 1,
        "first_epoch": 2,
        "combine": "all",
        "rule": "percentile",
    },
}


class ScanConfig(BaseModel):
    """Every option of `scan`; None means: by the preset, or found from the data and the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    out: Path | None = None
    overwrite: bool = False

    preset: Preset = "fast"
    arch: str = "auto"
    image_size: int | None = Field(default=None, ge=8, le=1024)
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    flip: bool = True

    percentile: float = Field(default=99.0, gt=0, lt=100)
    draws: int = Field(default=2, ge=2)
    combine: Combine | None = None
    first_epoch: int | None = Field(default=None, ge=0)

    seed: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int | None = Field(default=None, ge=1)

    path_column: str | None = None
    label_column: str | None = None
    root: Path | None = None
    split: str | None = None
    class_folder: ClassFolder | None = None
    limit: int | None = Field(default=None, ge=1)
    max_unreadable: float = Field(default=5.0, ge=0, le=100)
    ledger: Path | None = None

    cache_dir: Path | None = None
    cache_limit: float = Field(default=50.0, gt=0)

    def reading(self) -> dict[str, Any]:
        """The options that say how DATA is read: arguments of `read_samples`."""
        return {name: getattr(self, name) for name in READING}

    def by_preset(self, name: str) -> Any:
        """The option's own value if one was given, else the preset's."""
        given = getattr(self, name, None)
        return PRESETS[self.preset][name] if given is None else given


def load(
    given: Mapping[str, Any],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> ScanConfig:
    """Merge the layers: `given` (command line) over the environment over a file over the defaults.

    Args:
        given: options the user typed; None stands for "not given".
        file: a TOML file with a `[scan]` table, or a pyproject.toml; without one the nearest pyproject.toml
            upwards of `folder` that has `[tool.aumclean]` is read.
        environment: variables; those named `AUMCLEAN_<OPTION>` count.
        folder: where the search for a pyproject.toml begins; the working directory by default.

    Raises:
        ConfigError: for an unknown key or variable, a value out of range, or a file that cannot be read.
    """
    merged = {
        **_from_file(file, folder or Path.cwd()),
        **_from_environment(environment),
        **{key: value for key, value in given.items() if value is not None},
    }
    try:
        config = ScanConfig(**merged)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"{option}: {first['msg'].lower()} (got {first['input']!r})") from None
    epochs, first_epoch = config.by_preset("epochs"), config.first_epoch
    if first_epoch is not None and first_epoch >= epochs:
        raise ConfigError(
            f"--first-epoch: {first_epoch} leaves nothing to average over {epochs} epochs; "
            f"epochs count from 0, so give at most {epochs - 1}"
        )
    return config


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in OTHER_VARIABLES or value == "":
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if key not in ScanConfig.model_fields:
            known = [ENVIRONMENT_PREFIX + name.upper() for name in ScanConfig.model_fields]
            raise ConfigError(f"environment variable {variable} is not known{did_you_mean(variable, known)}")
        found[key] = value
    return found


def _from_file(file: Path | None, folder: Path) -> dict[str, Any]:
    if file is None:
        candidates = (parent / "pyproject.toml" for parent in (folder, *folder.parents))
        for candidate in candidates:
            if candidate.is_file() and "aumclean" in _table(_read_toml(candidate), "tool"):
                file = candidate
                break
        else:
            return {}
    document = _read_toml(file)
    tool = _table(document, "tool")
    tables = _table(tool, "aumclean") if "aumclean" in tool else {k: v for k, v in document.items() if k != "tool"}
    for section in tables:
        if section not in SECTIONS:
            raise ConfigError(f"{file}: table '{section}' is not known{did_you_mean(section, SECTIONS)}")
    options = dict(_table(tables, "scan"))
    for key in options:
        if key not in ScanConfig.model_fields:
            hint = did_you_mean(key, ScanConfig.model_fields)
            raise ConfigError(f"{file}: key '{key}' of [scan] is not known{hint}")
    for key in PATH_KEYS:
        if isinstance(options.get(key), str):
            options[key] = str(file.parent / Path(options[key]).expanduser())
    return options


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"configuration: '{name}' must be a table, not {table!r}")
    return table


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not valid TOML ({error})") from None
