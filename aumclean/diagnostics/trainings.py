"""One training of a diagnostic: what is measured after each epoch is on disk, and a stopped training continues."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import torch
from accelerate import Accelerator
from pydantic import Field

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.store import Store
from aumclean.errors import RunError
from aumclean.files import atomic
from aumclean.files.records import Count, Record, Seconds, Share, read_record
from aumclean.progress import Track, part_of, untracked
from aumclean.recipe import MOST_EPOCHS, Recipe
from aumclean.training.loop import Epoch, load_checkpoint, train
from aumclean.training.network import write_network

SCHEMA_VERSION: Final = 1

Row = dict[str, Any]
Measure = Callable[[Epoch], Mapping[str, Any]]
Enough = Callable[[Row], bool]


@dataclass(frozen=True)
class Training:
    """A training that has ended.

    Attributes:
        rows: one per epoch: `epoch` (how many are behind it, from 1), `loss` and `accuracy` (of the training pass),
            `learning_rate`, `seconds`, and what was measured.
        enough: whether it ended before its last epoch because it was enough.
    """

    rows: list[Row]
    enough: bool

    @property
    def last(self) -> Row:
        """After its last epoch."""
        return self.rows[-1]

    def column(self, name: str) -> list[float]:
        """One measure over the epochs."""
        return [row[name] for row in self.rows]


def trained(
    store: Store,
    name: str,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    accelerator: Accelerator,
    measure: Measure = lambda epoch: {},
    enough: Enough = lambda row: False,
    keep_weights: bool = False,
    called: str | None = None,
    track: Track = untracked,
) -> Training:
    """Train, or read what an earlier call with the same arguments trained.

    Args:
        store: where what was measured lies, as `trainings/<name>.json`.
        name: of this training, unique in the store, fit for a file.
        dataset, recipe, seed, accelerator: as for `aumclean.training.loop.train`.
        measure: called after every epoch, with the live network; returns plain values, a column each; none by default.
        enough: given the epoch's row, whether to stop here; by default with the last epoch.
        keep_weights: also keep the last epoch's live network, as `trainings/<name>.safetensors`.
        called: what the progress calls it; by its name by default.
        track: shows the progress.

    Raises:
        RunError: when the stored training was of another recipe or seed.
        TrainingError: as the loop does.
    """
    about = {"schema_version": SCHEMA_VERSION, "name": name, "recipe": asdict(recipe), "seed": seed}
    rows, ended = _stored(store, name, about)
    if ended is not None:
        return Training(rows, ended)
    checkpoint, total = store.checkpoint(name), recipe.epochs * len(dataset)
    behind = load_checkpoint(checkpoint, torch.device("cpu"))["epochs"] if checkpoint.is_file() else 0
    rows = rows[:behind]
    stopped, shown = False, part_of(track, name.replace("-seed", ", seed ") if called is None else called, 0, total)
    epochs = train(dataset, recipe, seed=seed, accelerator=accelerator, checkpoint=checkpoint, track=shown)
    for epoch in epochs:
        rows.append(
            {
                "epoch": epoch.number + 1,
                **{name: getattr(epoch, name) for name in ("loss", "accuracy", "learning_rate", "seconds")},
                **measure(epoch),
            }
        )
        stopped = enough(rows[-1])
        is_last = stopped or epoch.number + 1 == recipe.epochs
        if accelerator.is_main_process:
            if is_last and keep_weights:
                write_network(store.weights(name), epoch.model.state_dict(), dataset, recipe)
            atomic.write_json(store.training(name), {**about, "ended": is_last, "enough": stopped, "rows": rows})
        if is_last:
            break
    epochs.close()  # type: ignore[attr-defined]
    if accelerator.is_main_process:
        checkpoint.unlink(missing_ok=True)
    return Training(rows, stopped)


class _EpochRow(Record):
    """What was measured after an epoch; a diagnostic's own measures are further keys."""

    epoch: Count
    loss: float
    accuracy: Share
    learning_rate: float
    seconds: Seconds


class _Stored(Record):
    """`trainings/<name>.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    recipe: dict[str, Any]
    seed: int
    ended: bool
    enough: bool
    rows: list[_EpochRow] = Field(max_length=MOST_EPOCHS)


def _stored(store: Store, name: str, about: Mapping[str, Any]) -> tuple[list[Row], bool | None]:
    """The rows that are on disk; and of a training that has ended, whether it was enough."""
    file = store.training(name)
    if not file.is_file():
        return [], None
    stored = read_record(file, _Stored, remedy="delete it to repeat this training")
    if any(getattr(stored, key) != value for key, value in json.loads(json.dumps(about)).items()):
        raise RunError(f"{file}: is of another recipe or seed; choose another --out")
    return [row.model_dump() for row in stored.rows], stored.enough if stored.ended else None
