"""The Recorder: margins of a training of somebody else, step by step, and a run directory when it ends."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from aumclean.config.presets import PRESETS
from aumclean.config.reading import checked
from aumclean.dataset.indicators import draw_indicators
from aumclean.door.data import known_options
from aumclean.door.run import Run
from aumclean.errors import ConfigError, DataError, RunError, TrainingError
from aumclean.files.location import expanded
from aumclean.judging.judge import Asked, finish, run_of_training
from aumclean.judging.labels import in_rows, with_classes
from aumclean.margins.gather import Gathered, Gathering
from aumclean.margins.held_out import HeldOut, log_softmax, most_held_out, write_held_out
from aumclean.margins.log import recorded_epochs, remove_later_epochs, remove_other_parts, repeats, write_epoch
from aumclean.run.directory import Run as RunDirectory
from aumclean.run.record import Evidence, JudgedRecord, Progress, Settings

LEAST_HELD_OUT = float(PRESETS["fast"]["least_held_out"])
PATIENCE = 600.0  # seconds to wait for the other processes of a training
MOST_NUMBERS = 4_000_000  # held-out samples of a draw times classes that are kept in memory


class Recorder:
    """Records the margins of a training of your own, and judges the labels when it ends.

    Each draw is one training. With indicator samples the network needs one output more than there are classes
    (`outputs`), and is trained with `training_labels(draw)`: in each draw some samples get the additional class. They
    say what a wrong label looks like, and since their own labels were not taught, what the network says of them is
    held-out evidence; from two draws on a probability per label follows from it. Without them there is no published
    threshold, and unless something is `held_out` samples are ranked and none is flagged.

    A training that was stopped goes on with the same arguments and the same `out`; `epochs_done` says where. Under a
    launcher such as torchrun each process records what it sees (`RANK`, `WORLD_SIZE`), and the first one judges.

    Args:
        labels: the given labels, [n], texts or whole numbers: a list, an array or a tensor.
        class_names: the classes in the order of the network's outputs. By default 0, 1, ... where the labels are whole
            numbers, else the labels that occur, sorted as texts.
        paths: of the images, or names of the samples, [n], each once; row numbers by default.
        root: the folder that paths are relative to.
        out: the run directory, `runs/<name>-<n>` by default; to be given where a training shall go on, or has several
            processes.
        overwrite: whether to replace a run that stands there.
        name: of the data.
        draws: number of trainings.
        indicators: whether to have indicator samples.
        seed: of the choice of these.
        rank: which process this is, and `ranks`, of how many; those of the environment by default.

    Attributes:
        labels: int64 [n], the given labels as indices of `class_names`.
        outputs: how many outputs the network must have.

    Raises:
        DataError: for labels or paths that cannot serve.
        ConfigError: for draws that do not fit the samples.
        RunError: when another run stands at `out`.

    Example:
        ```python
        with aumclean.Recorder(labels, class_names=names, out="runs/mine") as recorder:
            for draw in range(recorder.draws):
                model, targets = Net(recorder.outputs), torch.from_numpy(recorder.training_labels(draw))
                for epoch in range(epochs):
                    for images, index in loader:
                        logits = model(images)
                        step(loss(logits, targets[index]))
                        recorder.update(logits, index, draw)
                    recorder.end_epoch(draw)
        ```
    """

    def __init__(
        self,
        labels: Any,
        class_names: Sequence[str] | None = None,
        *,
        paths: Sequence[str] | None = None,
        root: str | os.PathLike[str] | None = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        name: str = "training",
        draws: int = 2,
        indicators: bool = True,
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        self.rank = int(os.environ.get("RANK", "0")) if rank is None else rank
        self.ranks = int(os.environ.get("WORLD_SIZE", "1")) if ranks is None else ranks
        if draws < 1:
            raise ConfigError(f"draws: {draws} is not a number of trainings, 1 at least")
        if out is None and self.ranks > 1:
            raise ConfigError("out: name the run directory that the processes share")
        folder = Path.cwd() if root is None else expanded(root).absolute()
        samples = with_classes(
            in_rows(labels, name=name, source=Path(name), paths=paths, root=folder), class_names, None
        )
        self.draws, self.indicators, self.seed = draws, indicators, seed
        self.labels = samples.labels.astype(np.int64)
        self.class_names = samples.class_names
        self.outputs = len(self.class_names) + indicators
        self._indicators = self._drawn()
        target = None if out is None else expanded(out)
        if self.rank and target is not None:
            self._run = RunDirectory(target)
        else:
            self._run = run_of_training(
                samples, target, overwrite=overwrite, seed=seed, draws=draws, indicators=indicators
            )
        fresh = overwrite and self.rank > 0  # the first process may not have cleared it yet
        self._done = [0 if fresh else recorded_epochs(self._run.margins, draw) for draw in range(draws)]
        self._gathering: dict[int, Gathering] = {}
        self._began: dict[int, float] = {}
        self._held: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._run.rank_done(self.rank).unlink(missing_ok=True)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._run.path

    def _drawn(self) -> np.ndarray:
        if not self.indicators:
            return np.empty((self.draws, 0), np.int64)
        n, classes = len(self.labels), len(self.class_names)
        try:
            return draw_indicators(n, classes, self.draws, seed=self.seed, least=LEAST_HELD_OUT)
        except ValueError as error:
            raise ConfigError(f"draws: {error}; give more samples, fewer draws, or indicators=False") from None

    def _draw(self, draw: int) -> int:
        if not 0 <= draw < self.draws:
            raise ConfigError(f"draw: {draw} is not among the draws, 0 to {self.draws - 1}")
        return draw

    def training_labels(self, draw: int = 0) -> np.ndarray:
        """The labels to train a draw with, int64 [n]: those of its indicator samples are the additional class."""
        labels = self.labels.copy()
        labels[self._indicators[self._draw(draw)]] = len(self.class_names)
        return labels

    def epochs_done(self, draw: int = 0) -> int:
        """How many epochs of a draw are recorded: the next one has this number."""
        return self._done[self._draw(draw)]

    def update(self, logits: Any, sample_ids: Any, draw: int = 0) -> None:
        """Record a step, by the logits of the training's own forward pass; nothing waits for a GPU.

        Args:
            logits: [batch, outputs], raw, never a softmax: a tensor of any device and floating kind, or an array.
            sample_ids: whole numbers [batch], which row of the labels each is. On a GPU they should be in main memory,
                or on that GPU.
            draw: which training.

        Raises:
            DataError: for logits of another shape, or ids that are no rows.
        """
        if logits.ndim != 2 or logits.shape[1] != self.outputs or len(logits) != len(sample_ids):
            more = ", one more than classes, for the indicator class" if self.indicators else ""
            raise DataError(
                f"update: logits of shape {list(logits.shape)} for {len(sample_ids)} ids; they must be "
                f"[{len(sample_ids)}, {self.outputs}]{more}"
            )
        if (gathering := self._gathering.get(draw)) is None:
            gathering = self._gathering[draw] = self._new_gathering(self._draw(draw))
        self._began.setdefault(draw, time.monotonic())
        gathering.add(logits, sample_ids)

    def _new_gathering(self, draw: int) -> Gathering:
        indicators = self._indicators[draw]
        most = min(most_held_out(len(self.class_names), self.draws), MOST_NUMBERS // len(self.class_names))
        held = indicators[:: -(-len(indicators) // most)] if len(indicators) > most else indicators
        is_indicator = np.zeros(len(self.labels), bool)
        is_indicator[indicators] = True
        return Gathering(self.training_labels(draw), is_indicator, held, len(self.class_names))

    def end_epoch(self, draw: int = 0, epoch: int | None = None) -> None:
        """Write what was recorded since the last epoch.

        Args:
            draw: which training.
            epoch: its number, from 0; by default the next one. A training that goes on from an older state gives it.

        Raises:
            TrainingError: when a logit was not finite.
            DataError: when nothing was recorded.
            ConfigError: when an epoch before this one is not recorded.
        """
        done = self.epochs_done(draw)
        number = done if epoch is None else epoch
        if not 0 <= number <= done:
            raise ConfigError(
                f"epoch: {number} is not the next one of draw {draw} or one before: {done} are recorded, from 0"
            )
        gathered = self._gathering[draw].take() if draw in self._gathering else None
        if gathered is None:
            raise DataError(
                f"end_epoch: nothing was recorded in epoch {number} of draw {draw}; call update() in each step"
            )
        self._require_sound(gathered, draw, number)
        self._write(gathered, draw, number)

    def _require_sound(self, gathered: Gathered, draw: int, epoch: int) -> None:
        if gathered.unknown:
            raise DataError(f"sample_ids: {gathered.unknown} of epoch {epoch} are no rows, 0 to {len(self.labels) - 1}")
        if not np.isfinite(gathered.margins.margin).all():
            raise TrainingError(f"logits are not finite in epoch {epoch} of draw {draw}; lower the learning rate")

    def _write(self, gathered: Gathered, draw: int, epoch: int) -> None:
        run, seconds = self._run, time.monotonic() - self._began.pop(draw)
        at = {"draw": draw, "epoch": epoch, "repeated": gathered.repeated}
        write_epoch(run.margins, draw, epoch, gathered.margins, at, rank=self.rank)
        if len(gathered.held):
            fold = np.full(len(gathered.held), draw, np.int32)
            write_held_out(run.held_out_part(draw, self.rank), HeldOut(gathered.held, fold, gathered.log_probs))
        self._done[draw] = epoch + 1
        if self.rank == 0:
            remove_other_parts(run.margins, draw, epoch, self.ranks)
            remove_later_epochs(run.margins, draw, epoch)
            before = run.read().training_seconds[draw]
            run.write_progress(draw, Progress(epochs_done=epoch + 1, training_seconds=before + seconds))

    def held_out(self, logits: Any, sample_ids: Any, fold: int = 0) -> None:
        """Record what a network says of samples whose labels it was not taught: of a validation set, or of a fold.

        Args:
            logits: [batch, classes or outputs], raw.
            sample_ids: whole numbers [batch], rows of the labels; said again, the last word counts.
            fold: which network it is, from 0; several may speak of the same samples.

        Raises:
            DataError: for logits that are not finite or of another shape, or ids that are no rows.
            ConfigError: for a fold below 0.
        """
        if fold < 0:  # its file would be that of a draw
            raise ConfigError(f"fold: {fold} is below 0")
        values = logits.detach().float().cpu().numpy() if hasattr(logits, "detach") else np.asarray(logits, np.float32)
        ids = np.asarray(sample_ids.cpu() if hasattr(sample_ids, "detach") else sample_ids, np.int64)
        classes = len(self.class_names)
        if values.ndim != 2 or len(values) != len(ids) or values.shape[1] not in {classes, self.outputs}:
            raise DataError(f"held_out: logits of shape {list(values.shape)} for {len(ids)} ids in {classes} classes")
        if len(ids) and (ids.min() < 0 or ids.max() >= len(self.labels)):
            raise DataError(
                f"held_out: ids {ids.min()} to {ids.max()}; there are the samples 0 to {len(self.labels) - 1}"
            )
        if not np.isfinite(values).all():
            raise DataError(f"held_out: logits of sample {ids[~np.isfinite(values).all(1)][0]} are not finite")
        self._held.setdefault(fold, []).append((ids, log_softmax(values[:, :classes]).astype(np.float16)))

    def _write_held(self) -> None:
        for fold, parts in self._held.items():
            ids, said = (np.concatenate(values) for values in zip(*parts, strict=True))
            _, last = np.unique(ids[::-1], return_index=True)
            chosen = len(ids) - 1 - last  # of each sample the last word, ascending by sample
            number = self.draws + fold
            held = HeldOut(ids[chosen], np.full(len(chosen), number, np.int32), said[chosen])
            write_held_out(self._run.held_out_part(number, self.rank), held)

    def finish(self, **judging: Any) -> Run | None:
        """Judge the labels and write the reports; `report`, `review`, `gate`, `clean` and `evaluate` take the run.

        Args:
            judging: `threshold`, `percentile`, `combine`, `first_epoch`, `target_precision` or `target_recall`, as of
                `aumclean report`. By default the estimated probability decides where there is held-out evidence and
                two draws, or something `held_out`; else the threshold of the indicator samples.

        Returns:
            The run; None in all processes but the first.

        Raises:
            RunError: when a draw has no epochs yet, or another process does not finish.
        """
        asked = checked(Asked, **known_options("finish", judging, Asked.model_fields))
        self._write_held()
        if self.rank:
            done = self._run.rank_done(self.rank)
            done.parent.mkdir(exist_ok=True)
            done.touch()
            return None
        self._wait_for_others()
        epochs = [recorded_epochs(self._run.margins, draw) for draw in range(self.draws)]
        if 0 in epochs:
            raise RunError(
                f"{self.path}: draw {epochs.index(0)} has no epochs yet; train it too, or ask for fewer draws"
            )
        with self._run.lock():
            self._run.write(self._complete(epochs))
            verdict = finish(self._run, asked)
        return Run(self.path, verdict)

    def _complete(self, epochs: list[int]) -> JudgedRecord:
        """The record with what there is now, and how it is to be judged."""
        record = self._run.read()
        assert isinstance(record, JudgedRecord)
        margins = Evidence(kind="margins", source="a training of your own", samples=len(self.labels))
        held = [
            Evidence(kind="logits", source=f"held out, fold {fold}", samples=len(np.unique(np.concatenate(ids))))
            for fold, ids in ((fold, [ids for ids, _ in parts]) for fold, parts in self._held.items())
        ]
        by_estimate = bool(self._held) or not self.indicators or self.draws > 1
        settings = Settings(
            percentile=99.0,
            combine="all",
            first_epoch=min(1, min(epochs) - 1),
            threshold="estimate" if by_estimate else "indicator",
        )
        again = sum(repeats(self._run.margins, draw, done) for draw, done in enumerate(epochs))
        found = {"evidence": [margins, *held], "judge": settings, "repeated": again, "epochs_done": epochs}
        return record.model_copy(update=found)

    def _wait_for_others(self) -> None:
        waiting = [self._run.rank_done(rank) for rank in range(1, self.ranks)]
        until = time.monotonic() + PATIENCE
        while missing := [file for file in waiting if not file.is_file()]:
            if time.monotonic() > until:
                raise RunError(
                    f"{self.path}: {len(missing)} of {self.ranks} processes have not finished; see what they say"
                )
            time.sleep(0.05)
        for file in waiting:
            file.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
