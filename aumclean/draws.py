"""The draws of a scan: each a training on its own indicator samples, recorded epoch by epoch."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from aumclean.dataset.dataset import Dataset
from aumclean.dataset.indicators import with_indicators
from aumclean.margins.log import EpochMargins, read_block, remove_other_parts, write_epoch
from aumclean.networks import keep_network
from aumclean.plan import Plan
from aumclean.run import Run
from aumclean.training.loop import Epoch, load_checkpoint, train
from aumclean.training.side_by_side import Stopped, side_by_side

logger = logging.getLogger(__name__)

MEMORISED = 0.05  # by how much the share of memorised indicator samples rises when the network begins to memorise

TrackBatches = Callable[[Iterable[torch.Tensor], str, int, int], Iterator[torch.Tensor]]


def train_draws(run: Run, dataset: Dataset, indicators: np.ndarray, plan: Plan, track: TrackBatches) -> None:
    """Train this process's draws; when it returns, those of all processes are done."""
    record, n, epochs = run.read(), len(dataset), plan.recipe.epochs
    done = n * sum(record["epochs_done"][draw] for draw in plan.own_draws)
    total = n * epochs * len(plan.own_draws)

    def tracked(batches: Iterable[torch.Tensor], description: str) -> Iterator[torch.Tensor]:
        return track(batches, description, done, total)

    trainings = [
        partial(_train_draw, run, record, dataset, indicators[draw], draw, plan, tracked) for draw in plan.own_draws
    ]
    side_by_side(trainings, plan.jobs, plan.accelerator.device)
    plan.accelerator.wait_for_everyone()


def _train_draw(
    run: Run,
    record: dict[str, Any],
    dataset: Dataset,
    indicators: np.ndarray,
    draw: int,
    plan: Plan,
    track: Callable[[Iterable[torch.Tensor], str], Iterator[torch.Tensor]],
    stop: threading.Event,
) -> None:
    """Train on one draw of indicator samples; its margins, state and weights are on disk when this returns."""
    with run.lock_draw(draw) if plan.writes else nullcontext():
        checkpoint = run.checkpoint(draw)
        if run.model(draw).is_file():
            if plan.writes:
                checkpoint.unlink(missing_ok=True)
            return
        _record_draw(run, record, dataset, indicators, draw, plan, track, stop)
        if plan.writes:
            weights, seed = load_checkpoint(checkpoint, torch.device("cpu"))["average"], record["config"]["seed"]
            device = plan.accelerator.device
            keep_network(run, draw, weights, dataset, indicators, plan.recipe, seed=seed, device=device)
            checkpoint.unlink()


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


def _record_draw(
    run: Run,
    record: dict[str, Any],
    dataset: Dataset,
    indicators: np.ndarray,
    draw: int,
    plan: Plan,
    track: Callable[[Iterable[torch.Tensor], str], Iterator[torch.Tensor]],
    stop: threading.Event,
) -> None:
    """Train a draw and record the margins of every epoch."""
    recipe, accelerator, seconds = plan.recipe, plan.accelerator, record["training_seconds"][draw]
    rank, ranks = (accelerator.process_index, accelerator.num_processes) if plan.together else (0, 1)
    is_indicator = np.zeros(len(dataset), bool)
    is_indicator[indicators] = True
    close, start = threading.Event(), plan.settings.first_epoch
    lowest: float | None = None  # share of memorised indicator samples so far

    def tracked(batches: Iterable[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        for batch in track(batches, f"draw {draw + 1}/{plan.draws}, epoch {epoch + 1}/{recipe.epochs}"):
            if stop.is_set():
                raise Stopped
            yield batch

    epochs = train(
        with_indicators(dataset, indicators),
        recipe,
        seed=int(np.random.SeedSequence([record["config"]["seed"], 1 + draw]).generate_state(1)[0]),
        accelerator=accelerator,
        together=plan.together,
        checkpoint=run.checkpoint(draw),
        track=tracked,
        close=close,
    )
    for epoch in epochs:
        if plan.until_memorised and epoch.number >= start and not close.is_set():
            if lowest is None:
                lowest = _lowest_share(run, draw, range(start, epoch.number), len(dataset))
            share = _memorised(epoch, is_indicator, accelerator if plan.together else None)
            if share > lowest + MEMORISED:
                close.set()
            lowest = min(lowest, share)
        schedule = {"draw": draw, "epoch": epoch.number, "rate_at_end": epoch.learning_rate, "recipe": asdict(recipe)}
        recorded = EpochMargins(
            epoch.sample.astype(np.int32), epoch.margin, epoch.runner_up, is_indicator[epoch.sample]
        )
        write_epoch(run.margins, draw, epoch.number, recorded, schedule, rank=rank)
        if plan.together:
            accelerator.wait_for_everyone()  # the epoch counts as done when every part of it is on disk
        if not plan.writes:
            continue
        remove_other_parts(run.margins, draw, epoch.number, ranks)
        seconds += epoch.seconds
        run.write_progress(draw, epoch.number + 1, seconds)
        logger.debug(
            "draw %d/%d, epoch %d/%d: loss %.3f, accuracy %.1f %%, %.0f images/s",
            draw + 1, plan.draws, epoch.number + 1, recipe.epochs, epoch.loss, 100 * epoch.accuracy,
            len(dataset) / epoch.seconds,
        )  # fmt: skip
