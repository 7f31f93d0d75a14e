"""Where data lie: a path of this machine, or a URL of any store that fsspec opens (s3://, gs://, hf://, https://)."""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from aumclean.errors import ConfigError, DataError

Location = Path | str
"""A path, or as text a URL."""

PATIENCE = 30.0  # seconds until a store that never answered is given up; a busy machine needs 10 to begin to ask
PAUSES = (1.0, 4.0)  # seconds before what a fault kept away is fetched once more
SYSTEM_FOLDERS = {"$recycle.bin", "#recycle", "#snapshot", "@eadir", "__macosx", "lost+found"}
BUSY = {408, 429}  # of HTTP: later, perhaps
VERSIONS = (  # facts of a listing that change when an object does, as the stores call them
    "size", "ETag", "etag", "md5Hash", "blob_id", "xet_hash", "mtime", "last_modified", "LastModified", "created",
)  # fmt: skip

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
        said = " ".join(str(_cause(error)).split())[:200] or type(error).__name__
        raise DataError(f"{where}: cannot be read ({said}); check the address and the credentials") from None


def store_of(url: str) -> tuple[Any, str]:
    """The file system of a URL and what the URL is called in it.

    Raises:
        DataError: as `reaching`.
    """
    import fsspec  # only for what is far away

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs with a traceback what it raises too
    with reaching(url):
        _require_answer(url)
        store, path = fsspec.core.url_to_fs(url)
        return store, str(path)


_answered: set[tuple[str, str]] = set()


def _require_answer(url: str) -> None:
    """Wait for the first answer of a store, and no longer than `PATIENCE`: its library would go on for minutes."""
    import fsspec

    place = urlsplit(url)[:2]
    if place in _answered:
        return
    fsspec.get_filesystem_class(fsspec.utils.get_protocol(url))  # loaded before the time runs
    answer: SimpleQueue[Exception | None] = SimpleQueue()

    def ask() -> None:
        try:
            store, path = fsspec.core.url_to_fs(url, skip_instance_cache=True)  # a failure keeps old credentials
            store.info(path)
        except Exception as error:
            answer.put(error)
        else:
            answer.put(None)

    Thread(target=ask, daemon=True).start()
    try:
        error = answer.get(timeout=PATIENCE)
    except Empty:
        raise TimeoutError(f"no answer within {PATIENCE:g} s") from None
    if error is not None and not isinstance(error := _cause(error), FileNotFoundError | PermissionError):
        raise error
    _answered.add(place)


def opened(where: Location) -> BinaryIO:
    """A file to read and to seek in; what a fault keeps away of one that is far is asked for again.

    Raises:
        DataError: when it is far away and cannot be reached, also while it is read; OSError: when it is near and cannot
            be opened.
    """
    if isinstance(where, Path):
        return where.open("rb")
    store, path = store_of(where)
    with reaching(where):
        file = _patiently(store.open, path, "rb")
    if (cache := getattr(file, "cache", None)) is not None:  # of parts: without it the file comes as one stream
        fetch = cache.fetcher

        def fetch_part(start: int, end: int) -> Any:
            with reaching(where):
                return _patiently(fetch, start, end)

        cache.fetcher = fetch_part
    found: BinaryIO = file
    return found


def files_below(where: Location) -> list[str]:
    """The paths of all files in a folder, relative and POSIX, sorted; near, not those in hidden and system folders.

    Raises:
        DataError: when it is far away and cannot be reached, or near and a folder in it cannot be looked into.
    """
    if isinstance(where, Path):
        near: list[str] = []
        for folder, subfolders, files in walked(where, []):
            subfolders[:] = [name for name in subfolders if not is_unseen(name)]
            near += [folder + name for name in files]
        return sorted(near)
    store, path = store_of(where)
    with reaching(where):
        base = path.rstrip("/")
        found: list[str] = _patiently(store.find, base)
    return sorted(name.removeprefix(base).lstrip("/") for name in found if name != base)


def is_unseen(folder: str) -> bool:
    """Whether a folder is not entered by its name: a hidden one, or one of a system."""
    return folder.startswith(".") or folder.lower() in SYSTEM_FOLDERS


def walked(base: Path, again: list[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """A folder and all below it: each as a prefix of what is in it (POSIX), its subfolders, and its files.

    As of `os.walk`, subfolders that are taken out of the list are not entered. Links are followed.

    Args:
        base: where to begin.
        again: gets the folders that were met before, as links may lead back to where they stand.

    Raises:
        DataError: for a folder that cannot be looked into: it would be a class, or a shard, that is silently gone.
    """
    seen = set()
    for folder, subfolders, files in os.walk(base, followlinks=True, onerror=_refuse_closed):
        status = os.stat(folder)  # noqa: PTH116
        inside = Path(folder).relative_to(base).as_posix()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            again.append(inside)
            continue
        seen.add((status.st_dev, status.st_ino))
        yield "" if inside == "." else f"{inside}/", subfolders, files


def _refuse_closed(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({(error.strerror or str(error)).lower()})") from None


def exists(where: Location) -> bool:
    """Whether there is such a file or folder."""
    if isinstance(where, Path):
        try:
            return where.exists()
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return False
    store, path = store_of(where)
    with reaching(where):
        try:
            _patiently(store.info, path)
        except FileNotFoundError as error:
            if _may_pass(error):
                raise
            return False
    return True


def is_folder(where: Location) -> bool:
    """Whether it is a folder."""
    if isinstance(where, Path):
        return exists(where) and where.is_dir()
    store, path = store_of(where)
    with reaching(where):
        return bool(_patiently(store.isdir, path))


def stamp(where: Location) -> str:
    """What changes when a file does, permissions included, without reading it."""
    if isinstance(where, str):
        store, path = store_of(where)
        with reaching(where):
            about = _patiently(store.info, path)
        return f"{where} {_version(about)}"
    return stamp_of_file(absolute(where))


def versions_below(where: str) -> dict[str, str]:
    """What changes when an object does, by its path in a folder of a store, from one listing.

    Raises:
        DataError: when it cannot be reached.
    """
    store, path = store_of(where)
    with reaching(where):
        listed = _patiently(partial(store.find, detail=True), path)
    base = path.rstrip("/") + "/"
    return {name.removeprefix(base): _version(facts) for name, facts in listed.items()}


def _version(facts: dict[str, Any]) -> str:
    """What changes when an object does, of what a store says of it."""
    return " ".join(str(facts[name]) for name in VERSIONS if name in facts)


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
    found = _parts(spans)
    for (url, start, end), part in zip(spans, found, strict=True):
        if isinstance(part, Exception):
            with reaching(url):
                raise part
        if len(part) != end - start:
            raise DataError(f"{url}: its server does not send parts of a file; copy it to this machine")
    return found


def fetched(urls: Sequence[str]) -> list[bytes | OSError]:
    """Some objects of one store, several at a time where the store can; why, for those that it does not give.

    Raises:
        DataError: when one cannot be reached, also after some tries.
    """
    found = _parts([(url, None, None) for url in urls])
    return [_said(part) if isinstance(part, Exception) else part for part in found]


def _parts(spans: Sequence[tuple[str, int | None, int | None]]) -> list[Any]:
    """The bytes, or why not; what a fault of network or server keeps away is asked for again, and at last raised.

    Raises:
        DataError: for the first that is still kept away.
    """
    store, _ = store_of(spans[0][0])

    def fetch(some: Sequence[tuple[str, int | None, int | None]]) -> list[Any]:
        urls, starts, ends = zip(*some, strict=True)
        found: list[Any] = store.cat_ranges([store._strip_protocol(url) for url in urls], list(starts), list(ends))
        return found

    with reaching(spans[0][0]):
        found = fetch(spans)
        for pause in PAUSES:
            failed = [at for at, part in enumerate(found) if _may_pass(part)]
            if not failed:
                break
            time.sleep(pause)
            for at, part in zip(failed, fetch([spans[at] for at in failed]), strict=True):
                found[at] = part
        for part in filter(_may_pass, found):
            raise part
    return found


def _patiently(ask: Callable[..., Any], *of: Any) -> Any:
    """What a store answers; when a fault of network or server keeps it away, it is asked again."""
    for pause in PAUSES:
        try:
            return ask(*of)
        except Exception as error:
            if not _may_pass(error):
                raise
        time.sleep(pause)
    return ask(*of)


def _may_pass(part: Any) -> bool:
    """Whether it is a fault that may be gone in a moment: of the server or on the way, not of this object."""
    error = _cause(part) if isinstance(part, Exception) else None
    status = getattr(error, "status", 500)
    final = isinstance(error, FileNotFoundError | PermissionError) or (400 <= status < 500 and status not in BUSY)
    return error is not None and not final


def _cause(error: Exception) -> Exception:
    """What a web server answered, or why none did, where fsspec says only that there is no such file."""
    cause = error.__cause__
    known = isinstance(error, FileNotFoundError) and (isinstance(cause, OSError) or hasattr(cause, "status"))
    return cause if known and isinstance(cause, Exception) else error


def _said(error: Exception) -> OSError:
    """Why a store does not give an object, as a file says it."""
    missing = isinstance(error, FileNotFoundError) or getattr(error, "status", 0) == 404
    return FileNotFoundError() if missing else PermissionError(errno.EACCES, os.strerror(errno.EACCES))
