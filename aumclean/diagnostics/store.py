"""The directory of a diagnostic: what lies where, who may write, and going on where a stopped command was."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from aumclean import __version__
from aumclean.diagnostics.tables import Tables
from aumclean.errors import ConfigError, RunError
from aumclean.files import atomic
from aumclean.files.records import Record, Time, read_record
from aumclean.run.directory import held, new_run

State = Literal["running", "interrupted", "done"]
AGAIN = "the same command"  # goes on where it was stopped


class Answer(Record):
    """What a diagnostic was asked and what came of it."""

    schema_version: Literal[1] = Field(default=1, description="Version of this file.")
    aumclean: str = Field(default=__version__, description="Version that wrote it.")
    argv: list[str] = Field(description="The command line.")
    started: Time = Field(description="When it was begun.")
    finished: Time | None = Field(default=None, description="When it was done; null before.")
    state: State = Field(default="running", description="running, interrupted or done.")
    question: dict[str, Any] = Field(description="All that decides the result; asked again, it goes on where it was.")
    kind: str | None = Field(default=None, description="The command, such as frequency test; null before it is done.")
    said: list[str] = Field(default=[], description="What it shows and what it cannot show, as sentences.")
    files: list[str] = Field(default=[], description="Names of the files that follow from it, beside trainings.")
    facts: dict[str, Any] = Field(default={}, description="Further values, by command.")
    tables: Tables = Field(default=Tables(), description="The rows of every table, by the name of its CSV file.")


@dataclass(frozen=True)
class Store:
    """The directory of one diagnostic; every path in it has its name here."""

    path: Path

    @property
    def record(self) -> Path:
        """The question, the answer and every table, for programs."""
        return self.path / "diagnostic.json"

    @property
    def page(self) -> Path:
        """The page for people, self-contained."""
        return self.path / "page.html"

    def table(self, name: str) -> Path:
        """A table for spreadsheets."""
        return self.path / f"{name}.csv"

    def figure(self, name: str, suffix: str) -> Path:
        """A figure; `suffix` is svg or png. Pictures made of pixels are png alone."""
        return self.path / f"{name}.{suffix}"

    def picture(self, band: str, position: int) -> Path:
        """One band of the image at a position in the data, for looking at."""
        return self.path / band / f"{position:06d}.png"

    def floats(self, band: str) -> Path:
        """One band of all images, as numbers."""
        return self.path / f"{band}.npy"

    def training(self, name: str) -> Path:
        """What was measured after each epoch of a training."""
        return self.path / "trainings" / f"{name}.json"

    def checkpoint(self, name: str) -> Path:
        """The loop's state of a training that has not ended; deleted when it does."""
        return self.path / "trainings" / f"{name}.pt"

    def weights(self, name: str) -> Path:
        """The network at the end of a training, where a diagnostic keeps it."""
        return self.path / "trainings" / f"{name}.safetensors"

    def predictions(self, name: str) -> Path:
        """What the network takes each test image for at the end of a training, where that is what was asked."""
        return self.path / "trainings" / f"{name}.parquet"

    def read(self) -> Answer:
        """`diagnostic.json`.

        Raises:
            FileNotFoundError: when there is none.
            RunError: when it is damaged, or of a newer version.
        """
        return read_record(self.record, Answer)

    def write(self, answer: Answer) -> None:
        """Replace `diagnostic.json`."""
        atomic.write_json(self.record, {**answer.model_dump(), "tables": answer.tables.model_dump(exclude_unset=True)})

    def announce(self, *files: Path) -> None:
        """Note files and folders that are written before the answer: `overwrite` deletes them, also after a kill."""
        answer = self.read()
        self.write(answer.model_copy(update={"files": sorted({*answer.files, *(file.name for file in files)})}))

    def note_state(self, old: State, new: State) -> None:
        """Note that it goes on, or was interrupted; in any other state than `old` it stays."""
        answer = self.read()
        if answer.state == old:
            self.write(answer.model_copy(update={"state": new}))


@contextmanager
def opened(out: Path | None, name: str, question: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Store]:
    """Hold the directory of a diagnostic for writing: a new one, or the one where the same question was begun.

    Asking the same question again with the same `out` goes on where it was stopped; what had ended is read, not
    repeated.

    Args:
        out: the directory; by default `runs/<name>-<n>` with the first free n.
        name: of the data and the diagnostic.
        question: everything that decides the result, as JSON: the diagnostic, its options, the data's fingerprint.
        overwrite: whether to throw away what another question left there.

    Raises:
        RunError: when another question was asked there, or another process is writing.
        KeyboardInterrupt: when it is interrupted, with what goes on.
    """
    question = json.loads(json.dumps(question))  # as it will be read
    store = Store(out if out is not None else new_run(None, name, overwrite=False).path)
    with made(store.path):
        _begin(store, question, overwrite)
        try:
            yield store
        except KeyboardInterrupt:
            store.note_state("running", "interrupted")
            raise KeyboardInterrupt(AGAIN if out is not None else f"{AGAIN} and --out {store.path}") from None


@contextmanager
def holding(out: Path) -> Iterator[Store]:
    """Hold a folder of trainings that answer no single question: a new one, or one that is there.

    Raises:
        ConfigError: when it holds something else.
        RunError: when another process is writing.
        KeyboardInterrupt: when it is interrupted, with what goes on.
    """
    if out.exists() and not (out / "trainings").is_dir() and _holds_something(out):
        raise ConfigError(f"--out {out}: exists and holds no trainings; choose another")
    with made(out):
        atomic.remove_leftovers(out)
        try:
            yield Store(out)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(AGAIN) from None


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder if there is none, and hold it for writing.

    Raises:
        RunError: when it cannot be made, or another process is writing to it.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            busy = f"{folder}: another aumclean is writing to it; wait for it to end"
            stack.enter_context(held(folder / ".lock", busy))
        except OSError as error:
            raise RunError(f"{folder}: cannot be made ({atomic.reason(error)}); choose another --out") from None
        yield


def _begin(store: Store, question: Mapping[str, Any], overwrite: bool) -> None:
    if store.record.is_file():
        asked = store.read().question
        atomic.remove_leftovers(store.path)
        if asked == question:
            store.note_state("interrupted", "running")
            return
        if not overwrite:
            different = sorted(key for key in {*asked, *question} if asked.get(key) != question.get(key))
            raise RunError(
                f"{store.path}: holds the answer to another question ({', '.join(different)} differ); choose another "
                "--out, or --overwrite"
            )
        _clear(store)
    elif _holds_something(store.path):
        raise RunError(f"{store.path}: exists and holds no diagnostic; choose another --out")
    else:
        atomic.remove_leftovers(store.path)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    store.write(Answer(argv=sys.argv, started=started, question=dict(question)))


def _holds_something(folder: Path) -> bool:
    """Whether it is more than a folder in which a writer was killed before anything was finished."""
    leftover = f".*{atomic.TEMPORARY_SUFFIX}"
    return not folder.is_dir() or any(entry.name != ".lock" and not entry.match(leftover) for entry in folder.iterdir())


def _clear(store: Store) -> None:
    """Delete what a diagnostic wrote and nothing else; its record last, so that it is a diagnostic until the end."""
    written = {*store.read().files, store.training("").parent.name}
    for entry in [entry for entry in store.path.iterdir() if entry.name in written]:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
    store.record.unlink(missing_ok=True)
