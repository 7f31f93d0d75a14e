"""One plain training: what it sees, the recipe, and where its result is."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from accelerate import Accelerator

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import Opened
from aumclean.diagnostics.retraining.record import SCHEMA_VERSION, Facts, Trained
from aumclean.diagnostics.rows import EpochRow
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.trainings import trained
from aumclean.errors import RunError
from aumclean.files import parquet
from aumclean.progress import Track
from aumclean.training.loop import Epoch, normalisation
from aumclean.training.predict import predict


@dataclass(frozen=True)
class Subject:
    """What a training sees: some samples of a data source."""

    name: str
    opened: Opened
    kept: np.ndarray  # ascending int64 positions
    order: str | None = None  # by what samples were removed
    removed: int = 0

    def dataset(self, class_names: tuple[str, ...]) -> Dataset:
        """Its samples as arrays, labels as indices into `class_names`."""
        whole = self.opened.dataset().with_classes(class_names)
        return whole if len(self.kept) == len(whole) else whole.take(self.kept)


@dataclass(frozen=True)
class Training:
    """One training, and where its result is: under a name that all that went into it decides."""

    subject: Subject
    test: Opened
    class_names: tuple[str, ...]
    seed: int
    recipe: Recipe
    accelerator: Accelerator
    store: Store

    def result(self, track: Track) -> tuple[Trained, np.ndarray]:
        """What it found, and the class (int64 [test images]) that the network takes each test image for."""
        key = self._key()
        file = self.store.predictions(key)
        if not file.is_file():
            self._train(key, track)
        self.accelerator.wait_for_everyone()
        try:
            table = parquet.opened(file).read()
            facts = Facts.model_validate_json(table.schema.metadata[b"aumclean"])
            position = {name: index for index, name in enumerate(self.class_names)}
            predicted = np.array([position[name] for name in table["predicted"].to_pylist()], np.int64)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{file}: is damaged ({error}); delete it to repeat this training") from None
        subject = self.subject
        found = Trained(
            name=subject.name, order=subject.order, removed=subject.removed, seed=self.seed, **facts.model_dump()
        )
        return found, predicted

    def _key(self) -> str:
        chosen = {field.name: getattr(self.recipe, field.name) for field in fields(self.recipe)}
        unusual = {field.name for field in fields(self.recipe) if chosen[field.name] != field.default}
        parts = {
            "schema_version": SCHEMA_VERSION,
            "recipe": {name: chosen[name] for name in unusual},  # so that a later version's new options change nothing
            "image_size": self.test.images.shape[1],
            "device": self.accelerator.device.type,
            "class_names": self.class_names,
            "seed": self.seed,
            "images": self.subject.opened.digest(self.subject.kept),
            "test": self.test.digest(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def _train(self, key: str, track: Track) -> None:
        """Train, and put what the network takes each test image for on disk when the last epoch is over."""
        store, recipe, accelerator = self.store, self.recipe, self.accelerator
        dataset, seconds, whole = self.subject.dataset(self.class_names), 0.0, not store.checkpoint(key).is_file()
        if whole and accelerator.is_main_process:
            store.training(key).unlink(missing_ok=True)  # of a training whose predictions somebody deleted
        accelerator.wait_for_everyone()

        def measure(epoch: Epoch) -> Mapping[str, Any]:
            nonlocal seconds
            seconds += epoch.seconds
            if epoch.number < recipe.epochs - 1 or not accelerator.is_main_process:
                return {}
            return self._tested(key, epoch, dataset, seconds if whole else None)

        trained(
            store, key, dataset, recipe, EpochRow, seed=self.seed, accelerator=accelerator, measure=measure, called="",
            track=track,
        )  # fmt: skip

    def _tested(self, key: str, epoch: Epoch, dataset: Dataset, seconds: float | None) -> Mapping[str, Any]:
        """Store what the network takes each test image for, and how often it is wrong."""
        mean, std = normalisation(dataset)
        images, device = self.test.images, self.accelerator.device
        predicted = predict(epoch.model, images, mean, std, mirror=False, device=device).argmax(1)
        labels = self.test.dataset().with_classes(self.class_names).labels
        error = float((predicted != labels).mean())
        facts = Facts(images=len(dataset), error=error, train_accuracy=epoch.accuracy, seconds=seconds)
        table = pa.table(
            {
                "path": self.test.samples.paths,
                "label": self.test.samples.label_names(),
                "predicted": pa.array(self.class_names).take(pa.array(predicted)),
            },
            metadata={"aumclean": facts.model_dump_json()},
        )
        parquet.save(self.store.predictions(key), table)
        return {"error": error}
