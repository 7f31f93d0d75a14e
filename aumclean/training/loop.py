"""The training loop: a generator of epochs, each with the margin of every sample. Nothing else trains."""

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aumclean import chance
from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.errors import RunError, TrainingError
from aumclean.files import atomic
from aumclean.margins import margins
from aumclean.progress import Track, untracked
from aumclean.training import augment, order
from aumclean.training.models import SEEDING, model_of
from aumclean.training.objective import logits_and_loss
from aumclean.training.optimizer import make_optimizer

NORMALISATION_SAMPLES, AT_ONCE = 10_000, 64


@dataclass(frozen=True)
class Epoch:
    """One pass over the data set.

    With several processes each has its own share of the samples; together they have every sample once.

    Attributes:
        number: counted from 0.
        loss: mean cross-entropy of the share.
        accuracy: share of samples whose assigned label had the largest logit, as trained on.
        sample: int64, ascending: positions in the data set. `arange(n)` in a single process.
        margin: float32, one per sample; of the training forward pass, before that step's update.
        runner_up: int64, the class with the largest other logit.
        learning_rate: at the epoch's last step.
        seconds: that training took.
        step_loss: float32, mean cross-entropy of each step's batch, before its update.
        step_accuracy: float32, share of each step's batch whose assigned label had the largest logit.
        model: the live network; it changes when the next epoch is asked for.
        average: the network with the running average of its weights, which judges images it was not trained on
            better than the live one; it changes likewise.
    """

    number: int
    loss: float
    accuracy: float
    sample: np.ndarray
    margin: np.ndarray
    runner_up: np.ndarray
    learning_rate: float
    seconds: float
    step_loss: np.ndarray
    step_accuracy: np.ndarray
    model: nn.Module
    average: nn.Module


def normalisation(dataset: Dataset) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel, in 0..255, or per feature; over up to 10,000 evenly spaced samples."""
    some = dataset.images[:: max(1, len(dataset) // NORMALISATION_SAMPLES)]
    total = squares = np.zeros(some.shape[-1])
    for start in range(0, len(some), AT_ONCE):  # as float64 all would take gigabytes
        values = some[start : start + AT_ONCE].reshape(-1, some.shape[-1]).astype(np.float64)
        total, squares = total + values.sum(0), squares + (values**2).sum(0)
    count = some.size // some.shape[-1]
    mean = total / count
    least = 1.0 if some.ndim == 4 else 1e-3  # a constant channel, or feature, stays finite
    std = np.sqrt(np.maximum(squares / count - mean**2, least**2))
    return mean.tolist(), std.tolist()


def input_scale(dataset: Dataset, recipe: Recipe) -> tuple[list[float], list[float]]:
    """What is taken from every pixel, and what it is then divided by, per channel, in 0..255.

    Images that are scaled each by its own moments (`recipe.pixels` is `image`) do not look at it.
    """
    return normalisation(dataset) if recipe.pixels == "standard" else ([0.0] * 3, [255.0] * 3)


def train(
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    accelerator: Accelerator,
    together: bool = True,
    checkpoint: Path | None = None,
    track: Track = untracked,
    close: threading.Event | None = None,
    readers: int = 1,
) -> Iterator[Epoch]:
    """Train a fresh network and yield after every epoch.

    The logged margins are of the training pass itself (train mode, augmented input, before the update), as in
    Pleiss et al. 2020. Batches differ in size by at most one sample, so that there is no small last one.
    Chance in an epoch depends on the seed and the epoch's number alone; torch's global generator is seeded too.

    Args:
        dataset: images and labels; the network is as wide as it has classes.
        recipe: how to train.
        seed: of initialisation, order and augmentation.
        accelerator: device and processes.
        together: whether all its processes share each epoch; if not, this one trains alone and sends nothing.
        checkpoint: where the state is kept after every epoch, once the caller has taken that epoch; training
            goes on from it when it exists, and then yields what an uninterrupted training would have yielded.
        track: shows the progress; it sees the batches of all processes.
        close: when the caller sets it, the closing epochs begin with the next one. All processes set it alike.
        readers: how many trainings of this machine read as many images at the same time, each in its own order.

    Raises:
        TrainingError: when logits are not finite.
    """
    ranks, rank = (accelerator.num_processes, accelerator.process_index) if together else (1, 0)
    device, n, size, weights = accelerator.device, len(dataset), dataset.size, chance.number(seed, "weights")
    bare = model_of(recipe, len(dataset.class_names), size, seed=weights).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(recipe, bare)
    model = accelerator.prepare_model(bare, evaluation_mode=not together)  # which leaves out what sends gradients
    optimizer = accelerator.prepare_optimizer(optimizer)
    bare = accelerator.unwrap_model(model)
    running_average = get_ema_multi_avg_fn(recipe.average_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(bare, multi_avg_fn=running_average, use_buffers=True)
    images = _resident(dataset.images, device)
    buffer = _agreed(n if images.is_cuda else order.buffer_of(dataset.images, readers), accelerator, ranks)
    number, recipe, buffer = _restore(checkpoint, recipe, buffer, bare, average, optimizer, device)

    labels = torch.from_numpy(dataset.labels).to(device)
    mean, std = (torch.tensor(values, device=device) for values in input_scale(dataset, recipe))
    steps = max(1, min(-(-n // recipe.batch_size), n // (2 * ranks)))  # batch norm needs two samples per process
    padding = size // 8 if recipe.crop else 0

    while number < recipe.epochs:
        started = time.perf_counter()
        with SEEDING:
            torch.manual_seed(chance.number(seed, "layers", number))  # for dropout and its like
        generator = torch.Generator().manual_seed(chance.number(seed, "order", number))
        shares = order.shuffled(n, buffer, order.block_of(dataset.images, buffer), generator).tensor_split(steps)
        batches = [share[rank::ranks] for share in shares]
        shift, mirrored = (numbers.to(device) for numbers in augment.draw(n, padding, generator))
        recorder = _Recorder(torch.cat(batches), device)

        model.train()
        seen = track(shares, f"epoch {number + 1}/{recipe.epochs}", number * n, recipe.epochs * n)
        ready = zip(seen, order.read_ahead(batches, dataset.images, buffer), strict=True)
        for step, (_, batch) in enumerate(ready, start=number * steps):
            index = batch.to(device, non_blocking=True)
            pixels = images[index] if images.device == device else images[batch].to(device)
            pixels = augment.crop(pixels, shift[index], padding) if recipe.crop else pixels
            pixels = augment.mirror(pixels, mirrored[index]) if recipe.flip else pixels
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step, steps)

            logits, loss = logits_and_loss(model, pixels, labels[index], mean, std, recipe)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            average.update_parameters(bare)

            logged = logits.detach().half().float() if recipe.round_logits else logits.detach()
            recorder.update(logged, labels[index], loss.detach())

        if not recorder.finite():
            raise TrainingError(
                f"epoch {number}: logits are not finite, so no margin can be read; lower --learning-rate "
                f"(now {recipe.learning_rate:g})" + (" or pass --precision fp32" if recipe.bf16 else "")
            )
        _require_each_once(recorder.order, n, accelerator if ranks > 1 else None)
        rate = recipe.rate_at((number + 1) * steps - 1, steps)
        yield recorder.epoch(number, rate, started, bare, average.module)
        number += 1
        recipe = _closed(recipe, number, close)
        if checkpoint is not None and rank == 0:
            _save(checkpoint, bare, average, optimizer, number, recipe.epochs, buffer)


class _Recorder:
    """Margins of an epoch, kept on the device in the order of training and copied to the host once."""

    def __init__(self, order: torch.Tensor, device: torch.device) -> None:
        self.order = order
        self.margin = torch.empty(len(order), device=device)
        self.runner_up = torch.empty(len(order), dtype=torch.int64, device=device)
        self.losses: list[torch.Tensor] = []
        self.ends: list[int] = []
        self.done = 0

    def update(self, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        here = slice(self.done, self.done + len(labels))
        self.margin[here], self.runner_up[here] = margins(logits, labels)
        self.losses.append(loss)
        self.done += len(labels)
        self.ends.append(self.done)

    def finite(self) -> bool:
        return bool(self.margin.isfinite().all())

    def epoch(self, number: int, learning_rate: float, started: float, model: nn.Module, average: nn.Module) -> Epoch:
        if self.done != len(self.order):
            raise TrainingError(f"epoch {number}: {self.done} of {len(self.order)} samples were recorded")
        ascending = self.order.argsort().numpy()
        as_trained = self.margin.cpu().numpy()
        margin = as_trained[ascending]
        sizes = np.diff(self.ends, prepend=0)
        step_loss = torch.stack(self.losses).float().cpu().numpy()
        starts = np.array(self.ends) - sizes
        return Epoch(
            number=number,
            loss=float(np.average(step_loss, weights=sizes)),
            accuracy=float((margin > 0).mean()),
            sample=self.order.numpy()[ascending],
            margin=margin,
            runner_up=self.runner_up.cpu().numpy()[ascending],
            learning_rate=learning_rate,
            seconds=time.perf_counter() - started,
            step_loss=step_loss,
            step_accuracy=(np.add.reduceat(as_trained > 0, starts, dtype=np.float32) / sizes).astype(np.float32),
            model=model,
            average=average,
        )


def _require_each_once(order: torch.Tensor, n: int, accelerator: Accelerator | None) -> None:
    """Count, over the processes of an accelerator if given, that an epoch had each of `n` samples exactly once."""
    count = torch.bincount(order, minlength=n).to(torch.uint8)
    if accelerator is not None:
        count = accelerator.reduce(count.to(accelerator.device), "sum")
    if not bool((count == 1).all()):
        wrong = int((count != 1).nonzero()[0])
        raise TrainingError(f"sample {wrong} was trained on {int(count[wrong])} times in an epoch, not once")


_ON_DEVICE: WeakValueDictionary[tuple[int, torch.device], torch.Tensor] = WeakValueDictionary()
_ONE_COPIES = threading.Lock()


def _resident(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """The images on the device when they take at most half of its free memory, else where they are.

    Trainings side by side share one copy; it goes with the last of them, each of which holds the array too, so that
    its identity is not another's meanwhile.
    """
    if device.type != "cuda":
        return torch.from_numpy(images)
    with _ONE_COPIES:
        found = _ON_DEVICE.get((id(images), device))
        if found is None:
            found = torch.from_numpy(images)
            if images.nbytes <= _free(device) // 2:
                found = _ON_DEVICE[id(images), device] = found.to(device)
    return found


def _free(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0])


def _save(
    checkpoint: Path,
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    of: int,
    buffer: int,
) -> None:
    state = {
        "epochs": epochs,
        "of": of,
        "buffer": buffer,
        "model": model.state_dict(),
        "average": average.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    stored = io.BytesIO()  # torch's own file writer hides why a write failed
    torch.save(state, stored)
    atomic.write_bytes(checkpoint, stored.getvalue())


def load_checkpoint(checkpoint: Path, device: torch.device) -> dict[str, Any]:
    """What `_save` stored, read without running code.

    Raises:
        RunError: when the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
    except Exception as error:  # as many kinds as ways to damage a file
        raise RunError(f"{checkpoint}: is damaged ({error}); delete it to repeat this draw") from None
    return state


def _closed(recipe: Recipe, epochs: int, close: threading.Event | None) -> Recipe:
    """The recipe whose closing epochs begin after so many, if that was asked and they have not begun."""
    begun = epochs >= recipe.epochs - recipe.closing_epochs
    return recipe.closed_after(epochs) if close is not None and close.is_set() and not begun else recipe


def _restore(
    checkpoint: Path | None,
    recipe: Recipe,
    buffer: int,
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> tuple[int, Recipe, int]:
    """Load the state if there is one; its epochs, the recipe with all it was to have, and how many it shuffles."""
    if checkpoint is None or not checkpoint.is_file():
        return 0, recipe, buffer
    state = load_checkpoint(checkpoint, device)
    model.load_state_dict(state["model"])
    average.module.load_state_dict(state["average"])
    average.n_averaged.fill_(1)  # so that the next step averages and does not begin anew
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epochs"]), replace(recipe, epochs=int(state["of"])), int(state.get("buffer", buffer))


def _agreed(buffer: int, accelerator: Accelerator, ranks: int) -> int:
    """The least of the processes that share the samples, whose machines may have unlike memories."""
    if ranks == 1:
        return buffer
    return int(accelerator.gather(torch.tensor([buffer], device=accelerator.device)).min())
