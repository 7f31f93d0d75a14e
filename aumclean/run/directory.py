"""The run directory: what lies where, who may write, and which version wrote it."""

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from aumclean.errors import RunError
from aumclean.files import atomic
from aumclean.files.records import Kind, read_record
from aumclean.run.record import Common, JudgedRecord, Place, Progress, RunRecord, ScanRecord, ScoresRecord, Settings


class Inside:
    """A file or folder by its place in a run directory: `run.<name>` is its path."""

    def __init__(self, *place: str) -> None:
        self.place = place

    def __get__(self, run: "Run", kind: type["Run"]) -> Path:
        return run.path.joinpath(*self.place)


@dataclass(frozen=True)
class Run:
    """One run directory; every path in it has its name here, and nowhere else.

    Attributes:
        path: the directory.
        moved: where DATA is now; None when it is where it was scanned.
    """

    path: Path
    moved: Path | None = None

    run_json = Inside("run.json")  # what was asked for and what came of it
    scores_json = Inside("scores.json")  # in its place where `aumclean score` judged new images by the models of a run
    data = Inside("data.parquet")  # the images and labels where the scan was given objects in memory: its own DATA then
    samples = Inside("samples.parquet")  # a row per readable sample: id, path, label, content hash, size, source row
    manifest = Inside("manifest.parquet")  # the input's columns for these; absent of a folder or where images are in it
    unreadable = Inside("unreadable.csv")  # files that could not be decoded, with the reason
    silenced = Inside("silenced.parquet")  # samples whose labels the `--ledger` had confirmed; absent without one

    margins = Inside("margins")  # the margin log, see `aumclean.margins.log`
    held_out = Inside("held_out")  # what was said by what was not taught the label, see `aumclean.margins.held_out`
    held_out_features = Inside("held_out", "features.parquet")  # the backbone's part of it: of every sample
    features = Inside("features.json")  # which backbone looked, see `aumclean.run.features`; absent without one
    neighbours = Inside("neighbours.parquet")  # near-duplicates, nearest others, see `aumclean.verdict.neighbours`
    discriminant = Inside("models", "features.safetensors")  # turns features of new images into classes, for `score`
    model_json = Inside("models", "model.json")  # architecture, class names and normalisation of the stored models

    summary = Inside("summary.json")  # counts, thresholds, noise rate, per class, per pair
    html = Inside("report.html")  # the page for people, self-contained
    removed = Inside("removed.csv")  # the flagged samples with the reason
    changes = Inside("changes.csv")  # what the cleaned manifest changed; the two together give the input back
    decisions = Inside("decisions.jsonl")  # see `aumclean.decisions.journal`; no scan or report writes or deletes it
    frequency = Inside("frequency.parquet")  # margins by band, from `frequency join`; its page is in the folder beside

    def report(self, suffix: str) -> Path:
        """One row per sample; `suffix` is csv or parquet."""
        return self.path / f"report.{suffix}"

    def cleaned(self, suffix: str) -> Path:
        """The samples that stay; `suffix` is csv or parquet."""
        return self.path / f"cleaned.{suffix}"

    def model(self, draw: int) -> Path:
        """Averaged weights of one draw; there when the draw is done."""
        return self.path / "models" / f"draw={draw}.safetensors"

    def final_margins(self, draw: int) -> Path:
        """Margins of all samples under the network of one draw, see `aumclean.margins.final`."""
        return self.path / "models" / f"draw={draw}.margins.parquet"

    def held_out_part(self, part: int, rank: int | None = None) -> Path:
        """One part of what was held out, of a scan's draw; or what one of several processes says."""
        return self.held_out / (f"part-{part}.parquet" if rank is None else f"part-{part}-{rank}.parquet")

    def rank_done(self, rank: int) -> Path:
        """Stands there when a process of a training of one's own has written all that it has."""
        return self.path / "checkpoints" / f"rank={rank}.done"

    def checkpoint(self, draw: int) -> Path:
        """Latest training state of one draw, for `--resume`; deleted when the draw is done."""
        return self.path / "checkpoints" / f"draw={draw}.pt"

    def progress(self, draw: int) -> Path:
        """How far a draw is; written by whoever trains it, and taken into `run.json` when the run is judged."""
        return self.path / "checkpoints" / f"draw={draw}.json"

    @property
    def heads(self) -> "Run":
        """Heads on the features, trained beside a network: margins, settings and state as in a run without one."""
        return Run(self.path / "heads")

    def read(self) -> RunRecord:
        """`run.json`, with the progress of draws that are being trained.

        Raises:
            RunError: when this is no run directory, or one that is damaged or written by a newer aumclean.
        """
        of_scan = self._read(self.run_json, Common).made_by == "scan"
        record: RunRecord = (
            self._read(self.run_json, ScanRecord) if of_scan else self._read(self.run_json, JudgedRecord)
        )
        done, seconds = list(record.epochs_done), list(record.training_seconds)
        for draw in range(record.draws):
            with suppress(FileNotFoundError):
                progress = read_record(self.progress(draw), Progress)
                done[draw], seconds[draw] = progress.epochs_done, progress.training_seconds
        return record.model_copy(update={"epochs_done": done, "training_seconds": seconds})

    def read_scan(self) -> ScanRecord:
        """`run.json` of a scan, for what only a scan has: its network, its options.

        Raises:
            RunError: as `read` does; or when the evidence of this run was made by something else.
        """
        record = self.read()
        if not isinstance(record, ScanRecord):
            raise RunError(f"{self.path}: was not made by aumclean scan, and keeps no network that this needs")
        return record

    def place(self) -> Place:
        """Where the images are now: as `run.json` says, or where DATA has moved.

        Raises:
            RunError: when there is no such file or folder, or as `read` does.
        """
        place = self.read().data
        if self.moved is None:
            return place
        if not self.moved.exists():
            raise RunError(f"--data: {self.moved} does not exist; name the file or folder that was scanned")
        source, moved = Path(place.source), self.moved.absolute()
        base, now = (source, moved) if moved.is_dir() else (source.parent, moved.parent)
        root = Path(place.root)
        root = now / root.relative_to(base) if root.is_relative_to(base) else root
        return place.model_copy(update={"source": str(moved), "root": str(root)})

    def write_progress(self, draw: int, progress: Progress) -> None:
        """Note how far a draw is, apart from `run.json`: other draws may be trained elsewhere at the same time."""
        atomic.write_json(self.progress(draw), progress.model_dump(mode="json"))

    def finish(self, judge: Settings) -> None:
        """Note in `run.json` that all is done and how it was judged, together with the progress of every draw."""
        record = self.read()
        finished = record.finished or datetime.now(UTC).isoformat(timespec="seconds")
        self.write(record.model_copy(update={"judge": judge, "state": "done", "finished": finished}))
        for draw in range(record.draws):
            self.progress(draw).unlink(missing_ok=True)

    def note_state(self, state: Literal["running", "interrupted"]) -> None:
        """Note in `run.json` whether the scan is going on."""
        self.write(self.read().model_copy(update={"state": state}))

    def untrained(self) -> list[int]:
        """The draws whose network is not there yet."""
        return [draw for draw in range(self.read().draws) if not self.model(draw).is_file()]

    def awaits_network(self) -> bool:
        """Whether a backbone has looked and the network is still to be trained: there may be a first verdict."""
        return self.held_out_features.is_file() and bool(self.untrained())

    def has_heads(self) -> bool:
        """Whether heads on the features have been trained beside the network."""
        return self.heads.run_json.is_file() and not self.heads.untrained()

    def write(self, record: RunRecord) -> None:
        """Replace `run.json`."""
        atomic.write_json(self.run_json, record.model_dump(mode="json"))

    def read_scores(self) -> ScoresRecord:
        """`scores.json`.

        Raises:
            RunError: as `read` does.
        """
        return self._read(self.scores_json, ScoresRecord)

    def write_scores(self, record: ScoresRecord) -> None:
        """Replace `scores.json`."""
        atomic.write_json(self.scores_json, record.model_dump(mode="json"))

    def _read(self, file: Path, kind: type[Kind]) -> Kind:
        try:
            return read_record(file, kind)
        except FileNotFoundError:
            raise RunError(f"{self.path}: is not a run directory (it holds no {file.name})") from None
        except NotADirectoryError:
            raise RunError(f"{self.path}: is a file and no run directory; name the folder that a scan wrote") from None

    def is_empty(self) -> bool:
        """Whether there is nothing in the directory but what a writer puts or leaves there before it begins the run."""
        return all(
            entry == self.data
            or (entry.name.startswith(".") and entry.name.endswith((".lock", atomic.TEMPORARY_SUFFIX)))
            for entry in self.path.iterdir()
        )

    def clear(self) -> None:
        """Delete the run's own files and nothing else; `run.json` last, so that it stays a run until it is none.

        Its `data` stay: they may be what is about to be scanned.
        """
        tables = [path for suffix in ("csv", "parquet") for path in (self.report(suffix), self.cleaned(suffix))]
        files = [
            self.samples,
            self.manifest,
            self.unreadable,
            self.summary,
            self.removed,
            self.changes,
            self.silenced,
            self.frequency,
            self.features,
            self.neighbours,
            self.html,
            *tables,
            self.scores_json,
        ]
        models, checkpoints = self.model_json.parent, self.checkpoint(0).parent
        heads = self.heads.path
        for folder in (self.margins, self.held_out, models, checkpoints, heads, self.frequency.with_suffix("")):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (*files, self.run_json):
            file.unlink(missing_ok=True)

    def require_finished(self) -> None:
        """Make sure that every epoch of every draw is in the margin log.

        Raises:
            RunError: when this is no run, or one that was stopped before its end.
        """
        record = self.read()
        if not isinstance(record, ScanRecord):
            if record.state != "done":
                raise RunError(f"{self.path}: is not finished; let the Recorder finish it, or judge again")
            return
        epochs = record.recipe.epochs
        for draw, done in enumerate(record.epochs_done):
            if done < epochs and not self.model(draw).is_file():  # which may be after fewer, with --epochs auto
                raise RunError(
                    f"{self.path}: is not finished ({done} of {epochs} epochs of draw {draw}); "
                    f"finish it with: aumclean scan --resume {self.path}"
                )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing, alone; the operating system lets go when the process ends, however it ends.

        Raises:
            RunError: when another process holds it, or trains one of its draws.
        """
        with self.lock_briefly(patience=0):
            for file in self.path.glob(".draw=*.lock"):
                with held(file, f"{self.path}: another aumclean trains one of its draws; wait for it to end"):
                    pass  # and nobody begins with another as long as this one holds the run
            yield

    @contextmanager
    def lock_briefly(self, *, patience: float = 60) -> Iterator[None]:
        """Hold the run to enter it or to judge it, while others may train its draws.

        Args:
            patience: for how many seconds to wait for who holds it; below 0 for as long as that takes.

        Raises:
            RunError: when another process holds it for longer.
        """
        busy = f"{self.path}: another aumclean is writing to this run; wait for it to end"
        with held(self.path / ".lock", busy, patience):
            yield

    @contextmanager
    def lock_draw(self, draw: int) -> Iterator[None]:
        """Hold a draw while it is trained.

        Raises:
            RunError: when another process, perhaps on another machine, trains it.
        """
        busy = f"{self.path}: another aumclean trains draw {draw} of this run; wait for it to end"
        with held(self.path / f".draw={draw}.lock", busy):
            yield


@contextmanager
def held(file: Path, busy: str, patience: float = 0) -> Iterator[None]:
    """Hold a lock file, for `patience` seconds waiting for it.

    Raises:
        RunError: with the message `busy` when another process holds it; or when its file system knows no locks.
        OSError: when it cannot be made.
    """
    try:
        lock = FileLock(file).acquire(timeout=patience)
    except Timeout:
        raise RunError(busy) from None
    except NotImplementedError:
        raise RunError(f"{file.parent}: its file system knows no locks; choose another --out") from None
    with lock:
        yield


def require_room(out: Path | None, *, overwrite: bool) -> None:
    """Make sure that `new_run` can make its directory, before hours are spent on what shall be in it.

    Raises:
        RunError: when `out` is taken, and `overwrite` is off or what stands there is no run; or when it cannot be made.
    """
    place = Path("runs") if out is None else out
    above = next(path for path in (place, *place.absolute().parents) if path.exists())
    if not above.is_dir():
        raise RunError(f"{place}: cannot be made ({above} is a file); choose another --out")
    if not os.access(above, os.W_OK):
        raise RunError(f"{place}: cannot be made (no permission to write to {above}); choose another --out")
    if out is None or above != out or Run(out).is_empty():
        return
    if not Run(out).run_json.is_file() and not Run(out).scores_json.is_file():
        raise RunError(f"{out}: exists and is not a run directory; choose another --out")
    if not overwrite:
        raise RunError(f"{out}: holds a run already; choose another --out, or --overwrite, or --resume {out}")


def new_run(out: Path | None, name: str, *, overwrite: bool) -> Run:
    """Make the directory of a new run: `out`, or `runs/<name>-<n>` with the first free n.

    Raises:
        RunError: when `out` is taken, and `overwrite` is off or what stands there is no run.
    """
    try:
        if out is None:
            return _numbered(re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "data")
        require_room(out, overwrite=overwrite)
        run = Run(out)
        if out.is_dir() and not run.is_empty():
            with run.lock():
                run.clear()
        out.mkdir(parents=True, exist_ok=True)
        return run
    except OSError as error:
        raise RunError(f"{out or 'runs'}: cannot be made ({atomic.reason(error)}); choose another --out") from None


def _numbered(stem: str) -> Run:
    for number in itertools.count(1):
        path = Path("runs") / f"{stem}-{number}"
        if not path.exists():
            with suppress(FileExistsError):  # another scan took the number just now
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir()
                return Run(path)
    raise AssertionError("numbers do not end")
