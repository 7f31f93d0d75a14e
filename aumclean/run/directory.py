"""The run directory: what lies where, who may write, and which version wrote it."""

import itertools
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
from aumclean.run.record import JudgedRecord, Place, Progress, RunRecord, ScanRecord, ScoresRecord, Settings


@dataclass(frozen=True)
class Run:
    """One run directory; every path in it has its name here, and nowhere else.

    Attributes:
        path: the directory.
        moved: where DATA is now; None when it is where it was scanned.
    """

    path: Path
    moved: Path | None = None

    @property
    def run_json(self) -> Path:
        """What was asked for and what came of it."""
        return self.path / "run.json"

    @property
    def data(self) -> Path:
        """The images and labels themselves where the scan was given objects in memory; the run's own DATA then."""
        return self.path / "data.parquet"

    @property
    def samples(self) -> Path:
        """One row per readable sample: id, path, label, content hash, size, row in the source."""
        return self.path / "samples.parquet"

    @property
    def manifest(self) -> Path:
        """The input manifest's columns, a row per readable sample; absent when DATA is a folder or holds the images."""
        return self.path / "manifest.parquet"

    @property
    def unreadable(self) -> Path:
        """Files that could not be decoded, with the reason."""
        return self.path / "unreadable.csv"

    @property
    def margins(self) -> Path:
        """The margin log, see `aumclean.margins.log`."""
        return self.path / "margins"

    @property
    def summary(self) -> Path:
        """Counts, thresholds, noise rate, per class, per pair."""
        return self.path / "summary.json"

    @property
    def scores_json(self) -> Path:
        """Stands in place of `run.json` where new images were judged by the models of a run (`aumclean score`)."""
        return self.path / "scores.json"

    @property
    def model_json(self) -> Path:
        """Architecture, class names and normalisation of the stored models."""
        return self.path / "models" / "model.json"

    def report(self, suffix: str) -> Path:
        """One row per sample; `suffix` is csv or parquet."""
        return self.path / f"report.{suffix}"

    def cleaned(self, suffix: str) -> Path:
        """The samples that stay; `suffix` is csv or parquet."""
        return self.path / f"cleaned.{suffix}"

    @property
    def html(self) -> Path:
        """The page for people, self-contained."""
        return self.path / "report.html"

    @property
    def removed(self) -> Path:
        """The flagged samples with the reason."""
        return self.path / "removed.csv"

    @property
    def changes(self) -> Path:
        """What the cleaned manifest changed of the input, with the reason; the two together give the input back."""
        return self.path / "changes.csv"

    @property
    def decisions(self) -> Path:
        """What reviewers decided, see `aumclean.decisions.journal`; no scan and no report ever writes or deletes it."""
        return self.path / "decisions.jsonl"

    @property
    def silenced(self) -> Path:
        """The samples whose labels reviewers confirmed before this scan, from its `--ledger`; absent without one."""
        return self.path / "silenced.parquet"

    @property
    def frequency(self) -> Path:
        """Per sample the margins on its bands, from `aumclean frequency join`; its page lies in the folder beside."""
        return self.path / "frequency.parquet"

    def model(self, draw: int) -> Path:
        """Averaged weights of one draw; there when the draw is done."""
        return self.path / "models" / f"draw={draw}.safetensors"

    def final_margins(self, draw: int) -> Path:
        """Margins of all samples under the network of one draw, see `aumclean.margins.final`."""
        return self.path / "models" / f"draw={draw}.margins.parquet"

    @property
    def held_out(self) -> Path:
        """What is said of samples by what was not taught their labels, see `aumclean.margins.held_out`."""
        return self.path / "held_out"

    def held_out_part(self, part: int, rank: int | None = None) -> Path:
        """One part of it, of a scan's draw; or what one of several processes says."""
        return self.held_out / (f"part-{part}.parquet" if rank is None else f"part-{part}-{rank}.parquet")

    def rank_done(self, rank: int) -> Path:
        """Stands there when a process of a training of one's own has written all that it has."""
        return self.path / "checkpoints" / f"rank={rank}.done"

    @property
    def held_out_features(self) -> Path:
        """The part of the backbone: of every sample."""
        return self.held_out / "features.parquet"

    @property
    def features(self) -> Path:
        """Which backbone looked at the images, see `aumclean.run.features`; absent without one."""
        return self.path / "features.json"

    @property
    def heads(self) -> "Run":
        """Heads on the features, trained beside a network: margins, settings and state as in a run without one."""
        return Run(self.path / "heads")

    @property
    def neighbours(self) -> Path:
        """Near-duplicates and nearest others by the features, see `aumclean.verdict.neighbours`."""
        return self.path / "neighbours.parquet"

    @property
    def discriminant(self) -> Path:
        """What turns features of new images into classes, for `score`."""
        return self.path / "models" / "features.safetensors"

    def checkpoint(self, draw: int) -> Path:
        """Latest training state of one draw, for `--resume`; deleted when the draw is done."""
        return self.path / "checkpoints" / f"draw={draw}.pt"

    def progress(self, draw: int) -> Path:
        """How far a draw is; written by whoever trains it, and taken into `run.json` when the run is judged."""
        return self.path / "checkpoints" / f"draw={draw}.json"

    def read(self) -> RunRecord:
        """`run.json`, with the progress of draws that are being trained.

        Raises:
            RunError: when this is no run directory, or one that is damaged or written by a newer aumclean.
        """
        made_by = self._read(self.run_json, RunRecord).made_by
        record: RunRecord = self._read(self.run_json, ScanRecord if made_by == "scan" else JudgedRecord)
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

    def is_empty(self) -> bool:
        """Whether there is nothing in the directory but what a writer puts or leaves there before it begins the run."""
        return all(
            entry == self.data
            or (entry.name.startswith(".") and entry.name.endswith(".lock"))
            or (entry.name.startswith(".") and entry.name.endswith(atomic.TEMPORARY_SUFFIX))
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


def new_run(out: Path | None, name: str, *, overwrite: bool) -> Run:
    """Make the directory of a new run: `out`, or `runs/<name>-<n>` with the first free n.

    Raises:
        RunError: when `out` is taken, and `overwrite` is off or what stands there is no run.
    """
    try:
        if out is None:
            return _numbered(re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "data")
        run = Run(out)
        if out.is_dir() and not run.is_empty():
            if not run.run_json.is_file() and not run.scores_json.is_file():
                raise RunError(f"{out}: exists and is not a run directory; choose another --out")
            if not overwrite:
                raise RunError(f"{out}: holds a run already; choose another --out, or --overwrite, or --resume {out}")
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
