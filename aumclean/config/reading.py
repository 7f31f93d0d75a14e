"""How options are read: the command line over the environment over a file over the defaults; mistakes are named."""

import os
import reprlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from aumclean.config.gate import GateConfig
from aumclean.config.scan import ScanConfig
from aumclean.errors import ConfigError, did_you_mean
from aumclean.files.location import location
from aumclean.files.records import problem

ENVIRONMENT_PREFIX = "AUMCLEAN_"
OTHER_VARIABLES = {"AUMCLEAN_DEBUG"}
GATE_PREFIX = "AUMCLEAN_GATE_"
NAMES_OR_PATHS = {"features": Path.is_file, "horizon": Path.exists}  # a path where there is one: FILE, timm:NAME@FILE
PATH_KEYS = ("out", "against", "root", "cache_dir", "ledger", "baseline", "data")

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
        ours = (one for one in candidates if one.is_file() and "aumclean" in _table(one, _read_toml(one), "tool"))
        file = next(ours, None)
    if file is None:
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
    for key, is_there in NAMES_OR_PATHS.items():
        name, at, path = str(options.get(key, "")).rpartition("@")
        if path and is_there(file.parent / path):
            options[key] = f"{name}{at}{file.parent / path}"
    return options, file


def _table(file: Path, document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: '{name}' must be a table, not {reprlib.repr(table)}")
    return table


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check --config") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: is not valid TOML ({error})") from None
