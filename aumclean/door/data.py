"""What the door is given: data as samples, those in files where they are, objects in the run directory; and options."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from aumclean.config.reading import PATH_KEYS
from aumclean.dataset.in_memory import InMemory, in_memory
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Samples
from aumclean.decisions.recorded import require_none
from aumclean.errors import ConfigError, did_you_mean
from aumclean.files import atomic
from aumclean.files.location import expanded
from aumclean.progress import Track
from aumclean.run.directory import Run, new_run

logger = logging.getLogger(__name__)


@contextmanager
def samples_of(
    data: Any, reading: dict[str, Any], out: Path | None, overwrite: bool, track: Track, *, scores: bool = False
) -> Iterator[tuple[Samples, Path | None]]:
    """The samples of data; and the directory that holds them already when they were objects in memory.

    Such a directory goes again when no run was begun in it.
    """
    if isinstance(data, str | os.PathLike):
        samples = read_samples(Path(data), **reading, one_class=scores)
        for note in samples.notes:
            logger.info("%s", note)
        yield samples, None
        return
    objects = _objects(data, **reading)
    name = f"{objects.name}-scores" if scores else objects.name
    directory = Run(out) if overwrite and out is not None else new_run(out, name, overwrite=False)
    try:
        with atomic.replacing(directory.data) as temporary:
            objects.write(temporary, track)
            if overwrite and out is not None:  # only now, so that data that cannot be stored replace nothing
                require_none(directory)
                new_run(out, name, overwrite=True)
        samples = read_samples(directory.data, limit=reading.get("limit"), one_class=scores)
        yield replace(samples, name=objects.name), directory.path
    except BaseException:
        if not directory.run_json.is_file() and not directory.scores_json.is_file():
            directory.data.unlink(missing_ok=True)
            with suppress(OSError):  # a file of somebody's, or a lock, may be there
                directory.path.rmdir()
        raise


def _objects(
    data: Any,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    limit: int | None = None,
    **of_files: Any,
) -> InMemory:
    """Data that are objects in memory.

    Raises:
        ConfigError: for options that only files have.
    """
    for name, value in of_files.items():
        if value is not None:
            raise ConfigError(f"{name}: is for data in files, not for a {type(data).__name__}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("data: several processes cannot share an object in memory; store it and pass its path")
    return in_memory(data, image_column=path_column, label_column=label_column, limit=limit)


def known_options(function: str, options: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The options, paths made of texts.

    Raises:
        ConfigError: for one that is not among `known`.
    """
    for name in options:
        if name not in known:
            raise ConfigError(f"{function}() has no option '{name}'{did_you_mean(name, known)}")
    return {
        name: expanded(value) if name in PATH_KEYS and value is not None else value for name, value in options.items()
    }
