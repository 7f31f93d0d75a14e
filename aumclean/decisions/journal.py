"""The journal of a run's decisions: one JSON object per line, only ever appended to, on disk before anybody is told.

A file to append to, not a database: what was decided is never written over, undoing included; `tail` and a text editor
read it; copying the run copies it whole; and it needs no file locks of the kind that network drives get wrong.
"""

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from filelock import FileLock
from pydantic import Field, ValidationError

from aumclean.errors import DataError, OutputError
from aumclean.files import atomic
from aumclean.files.records import Record, Text, problem

SCHEMA_VERSION: Final = 1
MOST_SAMPLES = 2**31  # int32, as everywhere
LONGEST_NOTE = 100_000  # characters; the desk takes 2,000, a tool's comments may be longer

Id = Annotated[Text, Field(min_length=1, max_length=200)]
Name = Annotated[Text, Field(min_length=1, max_length=1000)]


class Decision(Record):
    """What a reviewer decided on a sample; `blind` in a spot check, `step` equal for what was decided at once."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: Id
    step: Id | None = None
    sample_id: int = Field(ge=0, lt=MOST_SAMPLES, strict=True)
    content_hash: Name
    path: Text | None = None
    label: Text | None = None
    decision: Literal["keep", "relabel", "remove", "unsure"]
    new_label: Text | None = None
    reviewer: Name
    time: Text | None = Field(default=None, max_length=1000)
    note: Text | None = Field(default=None, max_length=LONGEST_NOTE)
    blind: bool = False


def decided(**said: Any) -> Decision:
    """A decision that can be read again when it is in the journal.

    Raises:
        DataError: for one that could not.
    """
    try:
        return Decision(**said)
    except ValidationError as error:
        raise DataError(problem(error)) from None


class Undoing(Record):
    """That a reviewer took a decision back."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: Id
    step: Id | None = None
    undoes: Id
    reviewer: Name | None = None
    time: Text | None = Field(default=None, max_length=1000)


Entry = Decision | Undoing


class Journal:
    """The journal at a path; several threads and several processes may append at once.

    Attributes:
        entries: what has been read so far, with the line each stands on, from 1.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            DataError: when a line is damaged, or of a newer version.
        """
        self.path = path
        self.entries: list[tuple[int, Entry]] = []
        self._ids: set[str] = set()
        self._read = 0  # bytes
        self._lines = 0
        self._in_process = threading.RLock()
        self.refresh()

    def refresh(self) -> None:
        """Read what others have appended since; a last line without its end is still being written, or never was."""
        with self._in_process:
            try:
                if self.path.stat().st_size == self._read:
                    return
                with self.path.open("rb") as file:
                    file.seek(self._read)
                    new = file.read()
            except FileNotFoundError:
                return
            except OSError as error:
                raise DataError(f"{self.path}: cannot be read ({atomic.reason(error)})") from None
            whole = new[: new.rfind(b"\n") + 1]
            for line in whole.split(b"\n")[:-1]:
                self._lines += 1
                entry = self._parsed(line)
                if entry.id not in self._ids:
                    self._ids.add(entry.id)
                    self.entries.append((self._lines, entry))
            self._read += len(whole)

    def append(self, entries: Iterable[Entry]) -> int:
        """Write entries, all or none, and say how many when they are on disk; of one `id` the first is kept.

        Args:
            entries: taken when nobody else can write any more, so that they may depend on what is there.

        Raises:
            OutputError: when they cannot be written; none of them is there then.
        """
        try:
            with self._in_process, FileLock(self.path.with_name(f".{self.path.name}.lock")):
                self.refresh()
                self._mend()
                new = [entry for entry in entries if entry.id not in self._ids]
                lines = [json.dumps(entry.model_dump()).encode() + b"\n" for entry in new]
                if lines:
                    self._write(b"".join(lines))
                    self.refresh()
                return len(new)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({atomic.reason(error)})") from None

    def _write(self, lines: bytes) -> None:
        """Put lines at the end and on disk; when that fails (a full disk, Ctrl-C) nothing of them stays."""
        made_now = not self.path.exists()
        with self.path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                while lines:
                    lines = lines[file.write(lines) :]
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    self.path.unlink() if made_now else file.truncate(end)
                raise
        if made_now:
            _sync_folder(self.path.parent)

    def knows(self, identity: str) -> bool:
        """Whether an entry with this `id` is there."""
        return identity in self._ids

    def find(self, identity: str) -> Entry | None:
        """The entry with this `id`."""
        return next((entry for _, entry in self.entries if entry.id == identity), None)

    def current(self) -> list[tuple[int, Decision]]:
        """The last decision of each reviewer on each sample that was not undone, with its line; oldest first."""
        self.refresh()
        with self._in_process:
            undone = {entry.undoes for _, entry in self.entries if isinstance(entry, Undoing)}
            last: dict[tuple[Any, ...], tuple[int, Decision]] = {}
            for line, entry in self.entries:
                if isinstance(entry, Decision) and entry.id not in undone:
                    key = (entry.sample_id, entry.content_hash, entry.reviewer)
                    last.pop(key, None)
                    last[key] = (line, entry)
            return list(last.values())

    def _parsed(self, line: bytes) -> Entry:
        try:
            found = json.loads(line)
            version = found["schema_version"]
            if type(version) is int and version > SCHEMA_VERSION:
                raise DataError(f"{self.path}: was written with schema version {version}; upgrade aumclean")
            return (Undoing if "undoes" in found else Decision).model_validate(found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f" ({problem(error)})" if isinstance(error, ValidationError) else ""
            raise DataError(
                f"{self.path}: line {self._lines} is damaged{why}; mend or delete that line, the others are whole"
            ) from None

    def _mend(self) -> None:
        """End or take away a last line without its end: what a killed writer left was never confirmed to anybody."""
        if not self.path.exists() or self.path.stat().st_size == self._read:
            return
        with self.path.open("r+b") as file:
            file.seek(self._read)
            rest = file.read()
            try:
                json.loads(rest)
            except (ValueError, RecursionError):
                file.truncate(self._read)
            else:  # whole but for the line end, as a text editor may leave it
                file.write(b"\n")
        self.refresh()


def _sync_folder(folder: Path) -> None:
    """The new file's name, too, must be on disk."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
