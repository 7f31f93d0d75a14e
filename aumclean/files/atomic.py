"""Files that appear whole or not at all: written under a temporary name in the same folder, then renamed."""

import errno
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aumclean.errors import OutputError

TEMPORARY_SUFFIX = ".part"
DEVICES = Path("/dev")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well, flush it to disk and rename it to `path`.

    When the block fails (a full disk, Ctrl-C) the temporary file goes and whatever stood at `path` stays. A pipe or a
    device, such as `/dev/stdout`, is written to as it is: a file in its place would be no pipe any more.

    Raises:
        OutputError: when the file cannot be written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.parent == DEVICES or (path.exists() and not path.is_file()):
            yield path
        else:
            with _renamed(path) as temporary:
                yield temporary
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({reason(error)})") from error


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # the folder itself may be what is missing
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends well, rename it to `path`, which must be empty or not there.

    Raises:
        OutputError: when something else stands there, or a file cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()) or (path.is_dir() and any(path.iterdir())):
        raise OutputError(f"{path}: exists and is not an empty folder; choose another")
    building = path.absolute().with_name(f".{path.absolute().name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        building.mkdir(parents=True)
        yield building
        if path.is_dir():
            path.rmdir()
        building.rename(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({reason(error)})") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def reason(error: OSError) -> str:
    """What the system says, in small letters; Arrow and others wrap it in words of their own."""
    if error.strerror:
        return error.strerror.lower()
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        if os.strerror(number).lower() in str(error).lower():
            return os.strerror(number).lower()
    return " ".join(str(error).split())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write bytes that come in pieces, because all of them would take too much memory."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(pieces)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write indented ASCII JSON: names that are not UTF-8 survive as escapes; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def remove_leftovers(folder: Path) -> None:
    """Delete what a writer that was killed left, files and folders; only call it while holding the folder's lock."""
    for leftover in list(folder.rglob(f".*{TEMPORARY_SUFFIX}")):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
