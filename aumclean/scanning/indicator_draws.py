"""The draws of a scan: each a training on its own indicator samples, recorded epoch by epoch."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator

from aumclean import chance
from aumclean.config.recipe import LINEAR
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.indicators import with_indicators
from aumclean.margins.log import EpochMargins, read_block, remove_other_parts, write_epoch
from aumclean.progress import T, Track, part_of
from aumclean.run.directory import Run
from aumclean.run.record import Progress, RunRecord
from aumclean.scanning.kept_networks import keep_network
from aumclean.scanning.plan import Plan
from aumclean.training.loop import Epoch, load_checkpoint, train
from aumclean.training.side_by_side import Stopped, side_by_side

logger = logging.getLogger(__name__)

FEWEST = 9  # epochs before the closing ones, as many as `fast` has: of few indicator samples shares vary by chance
MEMORISED = 0.05  # by how much the share of memorised indicator samples rises when the network begins to memorise


def train_draws(run: Run, dataset: Dataset, indicators: np.ndarray, plan: Plan, track: Track) -> None:
    """Train this process's draws; when it returns, those of all processes are done."""
    record, whole = run.read(), len(dataset) * plan.recipe.epochs
    done_by = {draw: len(dataset) * record.epochs_done[draw] for draw in plan.own_draws}

    def of_all(draw: int, stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
        """Draws that are trained side by side add up to one progress."""
        done_by[draw] = done
        return track(stream, description, sum(done_by.values()), whole * len(done_by))

    def trained(draw: _Draw, stop: threading.Event) -> None:
        draw.train(track, partial(of_all, draw.number), stop)
        done_by[draw.number] = whole  # also one that closed early

    draws = [_Draw(run, record, dataset, indicators[number], number, plan) for number in plan.own_draws]
    side_by_side([partial(trained, draw) for draw in draws], plan.jobs, plan.accelerator.device)
    plan.accelerator.wait_for_everyone()


@dataclass(frozen=True)
class _Draw:
    """One draw of a run, and what its training needs."""

    run: Run
    record: RunRecord
    dataset: Dataset
    indicators: np.ndarray
    number: int
    plan: Plan

    @property
    def name(self) -> str:
        """As progress shows it."""
        return f"{'head' if self.plan.recipe.arch == LINEAR else 'draw'} {self.number + 1}/{self.plan.draws}"

    def train(self, track: Track, of_all: Track, stop: threading.Event) -> None:
        """Train on these indicator samples; margins, state and weights are on disk when this returns."""
        run, plan = self.run, self.plan
        with run.lock_draw(self.number) if plan.writes else nullcontext():
            checkpoint = run.checkpoint(self.number)
            if run.model(self.number).is_file():
                if plan.writes:
                    checkpoint.unlink(missing_ok=True)
                return
            self._record_epochs(of_all, stop)
            if plan.writes:
                weights = load_checkpoint(checkpoint, torch.device("cpu"))["average"]
                seed, device, n = self.record.seed, plan.accelerator.device, len(self.dataset)
                keep_network(
                    run,
                    self.number,
                    weights,
                    self.dataset,
                    self.indicators,
                    plan.recipe,
                    seed=seed,
                    device=device,
                    track=part_of(track, self.name, n * plan.own_draws.index(self.number), n * len(plan.own_draws)),
                )
                checkpoint.unlink()

    def _record_epochs(self, track: Track, stop: threading.Event) -> None:
        """Train, and record the margins of every epoch; close when the indicator samples begin to be memorised."""
        plan, seed, start = self.plan, self.record.seed, self.plan.settings.first_epoch
        is_indicator = np.zeros(len(self.dataset), bool)
        is_indicator[self.indicators] = True
        close = threading.Event()
        lowest: float | None = None  # share of memorised indicator samples so far
        seconds = self.record.training_seconds[self.number]

        def tracked(stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
            for batch in track(stream, f"{self.name}, {description}", done, total):
                if stop.is_set():
                    raise Stopped
                yield batch

        epochs = train(
            with_indicators(self.dataset, self.indicators),
            plan.recipe,
            seed=chance.number(seed, "training", self.number),
            accelerator=plan.accelerator,
            together=plan.together,
            checkpoint=self.run.checkpoint(self.number),
            track=tracked,
            close=close,
            readers=plan.readers,
        )
        for epoch in epochs:
            if plan.until_memorised and epoch.number >= start and not close.is_set():
                if lowest is None:
                    lowest = _lowest_share(self.run, self.number, range(start, epoch.number), len(self.dataset))
                share = _memorised(epoch, is_indicator, plan.accelerator if plan.together else None)
                if share > lowest + MEMORISED and epoch.number + 1 >= FEWEST:
                    close.set()
                lowest = min(lowest, share)
            seconds += epoch.seconds
            self._write(epoch, is_indicator, seconds)

    def _write(self, epoch: Epoch, is_indicator: np.ndarray, seconds: float) -> None:
        """Put this process's part of an epoch on disk and, when every part is there, count the epoch as done."""
        plan, recipe, accelerator = self.plan, self.plan.recipe, self.plan.accelerator
        rank, ranks = (accelerator.process_index, accelerator.num_processes) if plan.together else (0, 1)
        at = {"draw": self.number, "epoch": epoch.number}
        schedule = {**at, "rate_at_end": epoch.learning_rate, "recipe": asdict(recipe)}
        recorded = EpochMargins(
            epoch.sample.astype(np.int32), epoch.margin, epoch.runner_up, is_indicator[epoch.sample]
        )
        write_epoch(self.run.margins, self.number, epoch.number, recorded, schedule, rank=rank)
        if plan.together:
            accelerator.wait_for_everyone()
        if not plan.writes:
            return
        remove_other_parts(self.run.margins, self.number, epoch.number, ranks)
        self.run.write_progress(self.number, Progress(epochs_done=epoch.number + 1, training_seconds=seconds))
        logger.debug(
            "draw %d/%d, epoch %d/%d: loss %.3f, accuracy %.1f%%, %s images/s",
            self.number + 1, plan.draws, epoch.number + 1, recipe.epochs, epoch.loss, 100 * epoch.accuracy,
            f"{len(self.dataset) / epoch.seconds:,.0f}",
        )  # fmt: skip


def _memorised(epoch: Epoch, is_indicator: np.ndarray, accelerator: Accelerator | None) -> float:
    """Share of the draw's indicator samples that were taken for the indicator class, of all processes if they share."""
    margin = epoch.margin[is_indicator[epoch.sample]]
    counts = torch.tensor([(margin > 0).sum(), len(margin)])
    if accelerator is not None:
        counts = accelerator.reduce(counts.to(accelerator.device)).cpu()
    return float(counts[0] / counts[1])


def _lowest_share(run: Run, draw: int, epochs: range, n: int) -> float:
    """The lowest share of memorised indicator samples in epochs that were recorded before this process began."""
    lowest = 1.0
    for epoch in epochs:
        margin, _, is_indicator = read_block(run.margins, draw, range(epoch, epoch + 1), 0, n)
        lowest = min(lowest, float((margin[0, is_indicator] > 0).mean()))
    return lowest
