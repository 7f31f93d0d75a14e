"""One training on corrupted data, measured until the data are fitted: the experiment that all the others repeat."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.special import log_softmax

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.random_labels.corruptions import (
    Corruption,
    corrupted,
    corrupted_test,
    pixel_permutation,
    realised_rate,
)
from aumclean.diagnostics.random_labels.record import FitEpoch, FittedEpoch, Outcome
from aumclean.diagnostics.report import Table
from aumclean.diagnostics.rows import over_seeds
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Study
from aumclean.diagnostics.trainings import trained
from aumclean.errors import RunError
from aumclean.files import atomic
from aumclean.progress import Track, untracked
from aumclean.training.loop import Epoch, input_scale
from aumclean.training.predict import predict

LOSS = 0.1  # that counts as reached, by default
ROUNDED = 5  # decimals of what is kept of every step

Kind = TypeVar("Kind", bound=Outcome)


class SteppedEpoch(FitEpoch):
    """Besides, loss and accuracy of every step."""

    step_loss: list[float]
    step_accuracy: list[float]


@dataclass(frozen=True)
class Case:
    """What is done to the data."""

    corruption: Corruption
    probability: float = 1.0

    def __str__(self) -> str:
        return f"partial {self.probability:g}" if self.corruption == "partial" else self.corruption


@dataclass(frozen=True)
class Fitted:
    """A training on corrupted data.

    Attributes:
        case, name, seed, recipe: of what, as in `fit_case`.
        realised_rate: share of the training labels that are wrong.
        steps_per_epoch: batches.
        epochs: what was measured after each.
        level: the loss that counts as reached.
    """

    case: Case
    name: str
    seed: int
    recipe: Recipe
    realised_rate: float
    steps_per_epoch: int
    epochs: list[SteppedEpoch]
    level: float

    @property
    def steps(self) -> int:
        """That were trained."""
        return self.steps_per_epoch * len(self.epochs)

    @property
    def steps_to_loss(self) -> int | None:
        """Steps until the training loss was at the level; None when it never was."""
        return steps_to_loss(self.step_column("step_loss"), self.level, self.steps_per_epoch)

    @property
    def steps_to_fit(self) -> int | None:
        """Steps until every training label was right in evaluation mode, seen at the end of an epoch; None: never."""
        for row in self.epochs:
            if row.train_accuracy == 1:
                return row.epoch * self.steps_per_epoch
        return None

    @property
    def best(self) -> FitEpoch:
        """The epoch with the best test accuracy: what early stopping could have kept, if it had known."""
        return min(self.epochs, key=lambda row: row.test_error)

    def step_column(self, name: str) -> np.ndarray:
        """One measure over all steps, float64."""
        return np.concatenate([getattr(row, name) for row in self.epochs])

    def smoothed(self, name: str) -> np.ndarray:
        """One measure over all steps, each the mean over the last epoch's worth of steps up to it."""
        return trailing_mean(self.step_column(name), self.steps_per_epoch)

    def row(self, kind: type[Kind], **more: Any) -> Kind:
        """The outcome as a row of a table, with what tells it from the others there."""
        last, best = self.epochs[-1], self.best
        return kind(
            **more,
            steps_to_fit=self.steps_to_fit,
            test_error=last.test_error,
            train_error=1 - last.train_accuracy,
            steps_to_loss=self.steps_to_loss,
            best_test_error=best.test_error,
            best_epoch=best.epoch,
            train_loss=last.train_loss,
            realised_rate=self.realised_rate,
            steps=self.steps,
            epochs=last.epoch,
            seconds=sum(row.seconds for row in self.epochs),
        )


def tables_of(
    name: str,
    title: str,
    keys: Sequence[str],
    fitted: Sequence[Sequence[Fitted]],
    per_seed: Sequence[Sequence[Kind]],
) -> tuple[list[Kind], list[Table]]:
    """The rows over all seeds; and as tables these, of several seeds every training, and its epochs for programs.

    Args:
        name, title: of the first table.
        keys: the columns that tell a row from the others of its seed.
        fitted: per seed the same trainings in the same order.
        per_seed: likewise a row of each.
    """
    summary = over_seeds(per_seed, keys)
    pairs = [pair for of_seed in zip(fitted, per_seed, strict=True) for pair in zip(*of_seed, strict=True)]
    runs = [row.model_copy(update={"seed": each.seed}) for each, row in pairs]
    epochs = [
        FittedEpoch(
            **epoch.model_dump(include=set(FitEpoch.model_fields)),
            **row.model_dump(include=set(keys)),
            seed=each.seed,
            steps=epoch.epoch * each.steps_per_epoch,
        )
        for each, row in pairs
        for epoch in each.epochs
    ]
    several = [Table("runs", "Every training", runs)] if len(fitted) > 1 else []
    return summary, [
        Table(name, title, summary),
        *several,
        Table("epochs", "Every epoch", epochs, file_only=True),
    ]


def fit_case(
    store: Store,
    study: Study,
    case: Case,
    recipe: Recipe,
    *,
    seed: int,
    level: float = LOSS,
    name: str = "",
    until_fitted: bool = True,
    track: Track = untracked,
) -> Fitted:
    """Corrupt, train, and measure after every epoch; what had ended is read.

    The training ends when every training label is right in evaluation mode and the loss has reached the level.

    Args:
        store: where the training, and what was drawn for it, are kept.
        study: the data, not corrupted.
        case: how to corrupt them.
        recipe: how to train, the same for all cases that are compared.
        seed: of the corruption and of the training.
        level: of the training loss that counts as reached.
        name: of what else tells this training from others of the command.
        until_fitted: False: go on to the last epoch.
        track: for a progress display.

    Raises:
        RunError: when another corruption is stored under this name.
    """
    full_name = "-".join(part for part in (str(case), recipe.arch, name, f"seed{seed}") if part)
    full_name = re.sub(r"[^\w.-]+", "-", full_name)  # fit for a file
    dataset = corrupted(study.train, case.corruption, seed=seed, probability=case.probability)
    test = corrupted_test(study.test, study.train, case.corruption, seed=seed)
    rate = realised_rate(dataset, study.train)
    _keep_draw(store, full_name, case, dataset, seed, rate)
    epochs = trained(
        store, full_name, dataset, recipe, SteppedEpoch, seed=seed, accelerator=study.accelerator, track=track,
        measure=_measuring(study, dataset, test, recipe),
        enough=lambda row: until_fitted and row.train_accuracy == 1 and row.loss <= level,
        called=", ".join(filter(None, (str(case).replace("-", " "), recipe.arch, name, f"seed {seed}" * bool(seed)))),
    )  # fmt: skip
    return Fitted(case, name, seed, recipe, rate, len(epochs[0].step_loss), epochs, level)


def _measuring(study: Study, dataset: Dataset, test: Dataset, recipe: Recipe) -> Callable[[Epoch], dict[str, Any]]:
    """What is measured after every epoch: loss and accuracy on all training images, accuracy on the test part."""
    device = study.accelerator.device
    scale = input_scale(dataset, recipe)

    def logits(epoch: Epoch, images: np.ndarray) -> np.ndarray:
        own = recipe.pixels == "image"
        return predict(epoch.model, images, *scale, mirror=False, device=device, bf16=recipe.bf16, own_scale=own)

    def measure(epoch: Epoch) -> dict[str, Any]:
        on_train = logits(epoch, dataset.images)
        return {
            "train_loss": cross_entropy(on_train, dataset.labels),
            "train_accuracy": float((on_train.argmax(1) == dataset.labels).mean()),
            "test_accuracy": float((logits(epoch, test.images).argmax(1) == test.labels).mean()) if len(test) else None,
            "step_loss": epoch.step_loss.astype(float).round(ROUNDED).tolist(),
            "step_accuracy": epoch.step_accuracy.astype(float).round(ROUNDED).tolist(),
        }

    return measure


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over samples, of logits float32 [n, classes] and labels int64 [n]."""
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def trailing_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of each value and up to `window` - 1 before it."""
    total = np.cumsum(np.concatenate(([0.0], values)))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    mean: np.ndarray = (total[end] - total[start]) / (end - start)
    return mean


def steps_to_loss(step_loss: np.ndarray, level: float, window: int) -> int | None:
    """Steps until the loss, averaged over the last `window` steps, was at the level; None when it never was."""
    smoothed = trailing_mean(step_loss, window)[window - 1 :]
    reached = np.flatnonzero(smoothed <= level)
    return int(reached[0]) + window if len(reached) else None


def _keep_draw(store: Store, name: str, case: Case, dataset: Dataset, seed: int, rate: float) -> None:
    """Store what was drawn; on going on, make sure that it is drawn again as it was."""
    side = dataset.images.shape[1]
    shuffled = case.corruption == "shuffled-pixels"
    drawn = {
        "corruption": case.corruption,
        "probability": case.probability,
        "seed": seed,
        "realised_rate": rate,
        "images_blake2b": hashlib.blake2b(dataset.images.tobytes(), digest_size=16).hexdigest(),
        "permutation": pixel_permutation(side * side, seed=seed).tolist() if shuffled else None,
        "class_names": list(dataset.class_names),
        "labels": dataset.labels.tolist(),
    }
    file = store.training(f"{name}.drawn")
    if not file.is_file():
        atomic.write_json(file, drawn)
        return
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file}: is damaged ({error}); choose another --out") from None
    if stored != drawn:
        raise RunError(f"{file}: another corruption was drawn there; choose another --out")
