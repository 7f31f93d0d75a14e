"""One training of a diagnostic: what is measured after each epoch is on disk, and a stopped training continues."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, Generic, Literal, TypeVar

import torch
from accelerate import Accelerator
from pydantic import Field

from aumclean.config.recipe import MOST_EPOCHS, Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.rows import EpochRow
from aumclean.diagnostics.store import Store
from aumclean.errors import RunError
from aumclean.files import atomic
from aumclean.files.records import Record, read_record
from aumclean.progress import Track, part_of, untracked
from aumclean.training.loop import Epoch, load_checkpoint, train
from aumclean.training.network import write_network

SCHEMA_VERSION: Final = 1

Measure = Callable[[Epoch], Mapping[str, Any]]
Row = TypeVar("Row", bound=EpochRow)


def trained(
    store: Store,
    name: str,
    dataset: Dataset,
    recipe: Recipe,
    kind: type[Row],
    *,
    seed: int,
    accelerator: Accelerator,
    measure: Measure = lambda epoch: {},
    enough: Callable[[Row], bool] = lambda row: False,
    keep_weights: bool = False,
    called: str | None = None,
    track: Track = untracked,
) -> list[Row]:
    """Train, or read what an earlier call with the same arguments trained: what was measured after each epoch.

    Args:
        store: where what was measured lies, as `trainings/<name>.json`.
        name: of this training, unique in the store, fit for a file.
        dataset, recipe, seed, accelerator: as for `aumclean.training.loop.train`.
        kind: of the rows.
        measure: called after every epoch, with the live network; returns what the rows have beside the loop's values.
        enough: given the epoch's row, whether to stop here; by default with the last epoch.
        keep_weights: also keep the last epoch's live network, as `trainings/<name>.safetensors`.
        called: what the progress calls it; by its name by default.
        track: shows the progress.

    Raises:
        RunError: when the stored training was of another recipe or seed, or is damaged.
        TrainingError: as the loop does.
    """
    about = {"schema_version": SCHEMA_VERSION, "name": name, "recipe": asdict(recipe), "seed": seed}
    rows, ended = _stored(store, name, kind, about)
    if ended:
        return rows
    checkpoint, total = store.checkpoint(name), recipe.epochs * len(dataset)
    behind = load_checkpoint(checkpoint, torch.device("cpu"))["epochs"] if checkpoint.is_file() else 0
    if len(rows) < behind:
        raise RunError(f"{checkpoint}: goes on after epochs whose measures are gone; delete it to repeat this training")
    rows = rows[:behind]
    shown = part_of(track, re.sub("-seed=?", ", seed ", name) if called is None else called, 0, total)
    epochs = train(dataset, recipe, seed=seed, accelerator=accelerator, checkpoint=checkpoint, track=shown)
    for epoch in epochs:
        own = {name: getattr(epoch, name) for name in ("loss", "accuracy", "learning_rate", "seconds")}
        rows.append(kind(epoch=epoch.number + 1, **own, **measure(epoch)))
        is_last = epoch.number + 1 == recipe.epochs or enough(rows[-1])
        if accelerator.is_main_process:
            if is_last and keep_weights:
                write_network(store.weights(name), epoch.model.state_dict(), dataset, recipe)
            measured = [row.model_dump() for row in rows]
            atomic.write_json(store.training(name), {**about, "ended": is_last, "rows": measured})
        if is_last:
            break
    epochs.close()  # type: ignore[attr-defined]
    if accelerator.is_main_process:
        checkpoint.unlink(missing_ok=True)
    return rows


class _Stored(Record, Generic[Row]):
    """`trainings/<name>.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    recipe: dict[str, Any]
    seed: int
    ended: bool
    rows: list[Row] = Field(max_length=MOST_EPOCHS)


def _stored(store: Store, name: str, kind: type[Row], about: Mapping[str, Any]) -> tuple[list[Row], bool]:
    """The rows that are on disk, and whether the training has ended."""
    file = store.training(name)
    if not file.is_file():
        return [], False
    stored = read_record(file, _Stored[kind], remedy="delete it to repeat this training")  # type: ignore[valid-type]
    if any(getattr(stored, key) != value for key, value in json.loads(json.dumps(about)).items()):
        raise RunError(f"{file}: is of another recipe or seed; choose another --out")
    return stored.rows, stored.ended
