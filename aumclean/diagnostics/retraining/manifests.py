"""What to train on and what to measure on, read by name; without torch, so that a wrong path is said at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Samples
from aumclean.errors import ConfigError, DataError

RAW, ORACLE = "raw", "oracle"
"""What DATA itself is called, and those of its images whose label is right."""


def read_manifests(
    data: Path, compare: Iterable[str], reading: Mapping[str, Any], limit: int | None
) -> dict[str, Samples]:
    """DATA, called `raw`, and what is compared with it.

    Args:
        data: an image folder or a manifest.
        compare: NAME=DATA each, or DATA alone, which is called as its file or folder is.
        reading: arguments of `read_samples`, for all of them.
        limit: at most so many images of DATA.

    Raises:
        ConfigError: when two have one name.
        DataError: when one cannot be read.
    """
    manifests = {RAW: read_samples(data, **reading, limit=limit)}
    for entry in compare:
        name, where = _named(entry)
        if name in manifests:
            raise ConfigError(f"--compare {entry}: there are two called '{name}'; give NAME=DATA with another name")
        manifests[name] = read_samples(where, **reading)
    return manifests


def read_test(data: Path | None, test: Path | None, split: str | None, reading: Mapping[str, Any]) -> Samples:
    """The test set: `test` where there is one, else a split of DATA, which is called test unless `split` names it.

    Raises:
        DataError: when it cannot be read.
    """
    if test is not None:
        return read_samples(test, split=split, one_class=True, **reading)
    assert data is not None, "refused before"
    try:
        return read_samples(data, split=split or "test", one_class=True, **reading)
    except DataError as error:  # which `--debug` shows
        if split is not None:
            raise
        raise DataError(f"{data}: has no test part; name one with --test PATH or --test-split NAME") from error


def _named(entry: str) -> tuple[str, Path]:
    name, _, where = entry.partition("=")
    if where and not Path(entry).exists():
        return name, Path(where)
    return Path(entry).stem, Path(entry)
