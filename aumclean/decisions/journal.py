"""The journal of a run's decisions: one JSON object per line, only ever appended to, on disk before anybody is told.

A file to append to, not a database: what was decided is never written over, undoing included; `tail` and a text editor
read it; copying the run copies it whole; and it needs no file locks of the kind that network drives get wrong.
"""

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from aumclean.errors import DataError

SCHEMA_VERSION = 1

Entry = dict[str, Any]
"""A decision (`id`, `sample_id`, `content_hash`, `path`, `label`, `decision`, `new_label`, `reviewer`, `time`, `note`,
`blind`), or the undoing of one (`id`, `undoes`, `reviewer`, `time`)."""


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
            whole = new[: new.rfind(b"\n") + 1]
            for line in whole.splitlines():
                self._lines += 1
                entry = self._parsed(line)
                if entry["id"] not in self._ids:
                    self._ids.add(entry["id"])
                    self.entries.append((self._lines, entry))
            self._read += len(whole)

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries, and return when they are on disk; one whose `id` is there already is not written again."""
        with self._in_process, FileLock(self.path.with_name(f".{self.path.name}.lock")):
            self.refresh()
            self._mend()
            new = [entry for entry in entries if entry["id"] not in self._ids]
            lines = [json.dumps({"schema_version": SCHEMA_VERSION, **entry}).encode() + b"\n" for entry in new]
            if not lines:
                return
            made_now = not self.path.exists()
            with self.path.open("ab") as file:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
            if made_now:
                _sync_folder(self.path.parent)
            self.refresh()

    def knows(self, identity: str) -> bool:
        """Whether an entry with this `id` is there."""
        return identity in self._ids

    def current(self) -> list[tuple[int, Entry]]:
        """The last decision of each reviewer on each sample that was not undone, with its line; oldest first."""
        self.refresh()
        with self._in_process:
            undone = {entry["undoes"] for _, entry in self.entries if "undoes" in entry}
            last: dict[tuple[Any, ...], tuple[int, Entry]] = {}
            for line, entry in self.entries:
                if "undoes" not in entry and entry["id"] not in undone:
                    key = (entry["sample_id"], entry["content_hash"], entry["reviewer"])
                    last.pop(key, None)
                    last[key] = (line, entry)
            return list(last.values())

    def _parsed(self, line: bytes) -> Entry:
        try:
            entry: Entry = json.loads(line)
            version = entry["schema_version"]
            complete = "undoes" in entry or entry.keys() >= {"sample_id", "content_hash", "decision", "reviewer"}
            if not complete or not isinstance(entry["id"], str):
                raise KeyError
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{self.path}: line {self._lines} is damaged; mend or delete that line, the others are whole"
            ) from None
        if version > SCHEMA_VERSION:
            raise DataError(f"{self.path}: was written with schema version {version}; upgrade aumclean")
        return entry

    def _mend(self) -> None:
        """End or take away a last line without its end: what a killed writer left was never confirmed to anybody."""
        if not self.path.exists() or self.path.stat().st_size == self._read:
            return
        with self.path.open("r+b") as file:
            file.seek(self._read)
            rest = file.read()
            try:
                json.loads(rest)
            except ValueError:
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
