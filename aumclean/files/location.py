"""Where data lie: a path of this machine, or a URL of any store that fsspec opens (s3://, gs://, hf://, https://)."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from aumclean.errors import ConfigError, DataError

Location = Path | str
"""A path, or as text a URL."""

_URL = re.compile(r"^([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])")  # one slash is what a Path leaves of two


def location(data: Path | str) -> Location:
    """What somebody named, as a path or as a URL.

    Raises:
        ConfigError: as `expanded`.
    """
    text = str(data)
    if (found := _URL.match(text)) and not Path(text).exists():
        return text if "://" in text else f"{found[1]}://{text[found.end() :]}"
    return expanded(text)


def expanded(given: str | os.PathLike[str]) -> Path:
    """What somebody gave as a path, with a home folder at its beginning (`~`) written out.

    Raises:
        ConfigError: when there is no such user, or no home folder is known.
    """
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise ConfigError(f"{given}: no such home folder; write the path out") from None


def absolute(where: Location) -> str:
    """The same for every working directory."""
    return where if isinstance(where, str) else str(where.absolute())


def below(where: Location, path: str) -> Location:
    """What has this path, relative and POSIX, in a folder."""
    if isinstance(where, str):
        return f"{where.rstrip('/')}/{path}" if path else where
    return where / path


def suffix_of(where: Location) -> str:
    """`.parquet` of a file's name, in small letters."""
    return Path(str(where)).suffix.lower()


def name_of(where: Location) -> str:
    """The last part of it."""
    return str(where).rstrip("/").rsplit("/", 1)[-1] if isinstance(where, str) else where.name


def parent_of(where: Location) -> Location:
    """The folder that it is in."""
    return where.rstrip("/").rsplit("/", 1)[0] if isinstance(where, str) else where.parent


def resolved(where: Location) -> Location:
    """A path without links and dots, whose last part is a name."""
    return where if isinstance(where, str) else where.resolve()


@contextmanager
def reaching(where: Location) -> Iterator[None]:
    """Say in one line why something far away cannot be read; what is near fails by itself.

    Raises:
        DataError: for a package or credentials that are missing, and for whatever the store says.
    """
    try:
        yield
    except ImportError as error:
        raise DataError(f"{where}: needs another package ({' '.join(str(error).split())})") from None
    except (DataError, MemoryError):
        raise
    except Exception as error:  # each store has errors of its own
        if isinstance(where, Path):
            raise
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{where}: cannot be read ({said}); check the address and the credentials") from None


def store_of(url: str) -> tuple[Any, str]:
    """The file system of a URL and what the URL is called in it.

    Raises:
        DataError: as `reaching`.
    """
    import fsspec  # only for what is far away

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs with a traceback what it raises too
    with reaching(url):
        store, path = fsspec.core.url_to_fs(url)
        return store, str(path)


def opened(where: Location) -> BinaryIO:
    """A file to read and to seek in.

    Raises:
        DataError: when it is far away and cannot be reached; OSError: when it is near and cannot be opened.
    """
    if isinstance(where, Path):
        return where.open("rb")
    store, path = store_of(where)
    with reaching(where):
        file: BinaryIO = store.open(path, "rb")
        return file


def files_below(where: Location) -> list[str]:
    """The paths of all files in a folder, relative and POSIX, sorted.

    Raises:
        DataError: when it is far away and cannot be reached.
    """
    if isinstance(where, Path):
        return sorted(file.relative_to(where).as_posix() for file in where.rglob("*") if file.is_file())
    store, path = store_of(where)
    with reaching(where):
        base = path.rstrip("/")
        found: list[str] = store.find(base)
    return sorted(name.removeprefix(base).lstrip("/") for name in found if name != base)


def exists(where: Location) -> bool:
    """Whether there is such a file or folder."""
    if isinstance(where, Path):
        return where.exists()
    store, path = store_of(where)
    with reaching(where):
        return bool(store.exists(path))


def is_folder(where: Location) -> bool:
    """Whether it is a folder."""
    if isinstance(where, Path):
        return where.is_dir()
    store, path = store_of(where)
    with reaching(where):
        return bool(store.isdir(path))


def stamp(where: Location) -> str:
    """What changes when a file does, permissions included, without reading it."""
    if isinstance(where, str):
        store, path = store_of(where)
        with reaching(where):
            about = store.info(path)
        known = [
            str(about[name]) for name in ("size", "ETag", "etag", "mtime", "LastModified", "created") if name in about
        ]
        return " ".join([where, *known])
    return stamp_of_file(absolute(where))


def stamp_of_file(path: str) -> str:
    """The same of an absolute path of this machine."""
    try:
        status = os.stat(path)  # noqa: PTH116 # of millions, a Path each costs more than the system's answer
    except OSError as error:
        return f"{path} {error.errno}"
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def ranges(spans: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """Parts of files of one store, each from one byte up to another, several at a time where the store can.

    Raises:
        DataError: when they cannot be reached, or the store sends no parts of files.
    """
    urls, starts, ends = zip(*spans, strict=True)
    store, _ = store_of(urls[0])
    with reaching(urls[0]):
        paths = [store._strip_protocol(url) for url in urls]
        found: list[bytes] = store.cat_ranges(paths, list(starts), list(ends))
    for url, start, end, part in zip(urls, starts, ends, found, strict=True):
        if len(part) != end - start:
            raise DataError(f"{url}: its server does not send parts of a file; copy it to this machine")
    return found


def fetched(urls: list[str]) -> list[bytes | None]:
    """Some objects of one store, several at a time where the store can; None for those that are not there.

    Raises:
        DataError: when none can be reached.
    """
    store, _ = store_of(urls[0])
    paths = [store._strip_protocol(url) for url in urls]
    with reaching(urls[0]):
        found = store.cat(paths, on_error="return")
    if not isinstance(found, dict):  # of a single one
        found = {paths[0]: found}
    values = [found.get(path) for path in paths]
    errors = [value for value in values if isinstance(value, Exception) and not isinstance(value, FileNotFoundError)]
    if errors and not any(isinstance(value, bytes) for value in values):
        with reaching(urls[0]):
            raise errors[0]
    return [value if isinstance(value, bytes) else None for value in values]
