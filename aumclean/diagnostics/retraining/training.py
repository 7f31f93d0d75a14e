"""One plain training, and where its result lies."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean import atomic, parquet
from aumclean.diagnostics.retraining.training_sets import Images, Subject
from aumclean.errors import ConfigError, OutputError, RunError
from aumclean.progress import Track
from aumclean.run import held
from aumclean.scanning.plan import Plan
from aumclean.training.loop import normalisation, train
from aumclean.training.predict import predict

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1


@contextmanager
def holding(out: Path) -> Iterator[None]:
    """Make a folder of results, or take one that is there, and hold it for writing."""
    with ExitStack() as stack:
        try:
            if out.exists() and not (out / "trainings").is_dir() and any(out.iterdir()):
                raise ConfigError(f"--out {out}: exists and holds no trainings; choose another")
            (out / "trainings").mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(out / ".lock", f"{out}: another aumclean is writing to it; wait for it to end"))
        except OSError as error:
            raise OutputError(f"{out}: cannot be made ({atomic.reason(error)}); choose another --out") from None
        atomic.remove_leftovers(out)
        yield


@dataclass(frozen=True)
class Training:
    """One training, and where its result lies: under a name that all that went into it decides."""

    subject: Subject
    test: Images
    class_names: tuple[str, ...]
    seed: int
    plan: Plan
    out: Path

    def result(self, track: Track) -> tuple[dict[str, Any], np.ndarray]:
        """The row of the table, and the class (int64 [test images]) that the network takes each test image for."""
        file = self.out / "trainings" / f"{self._key()}.parquet"
        checkpoint = file.with_suffix(".pt")
        if not file.is_file():
            self._train(file, checkpoint, track)
        main = self.plan.accelerator.is_main_process
        self.plan.accelerator.wait_for_everyone()
        if main:
            checkpoint.unlink(missing_ok=True)
        try:
            table = pq.read_table(file)
            facts = json.loads(table.schema.metadata[b"aumclean"])
            position = {name: index for index, name in enumerate(self.class_names)}
            predicted = np.array([position[name] for name in table["predicted"].to_pylist()], np.int64)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{file}: is damaged ({error}); delete it to repeat this training") from None
        subject = self.subject
        names = {"name": subject.name, "order": subject.order, "removed": subject.removed, "seed": self.seed}
        return {**names, **facts}, predicted

    def _key(self) -> str:
        everything, recipe = np.arange(len(self.test.samples)), self.plan.recipe
        chosen = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
        unusual = {field.name for field in fields(recipe) if chosen[field.name] != field.default}
        parts = {
            "schema_version": SCHEMA_VERSION,
            "recipe": {name: chosen[name] for name in unusual},  # so that a later version's new options change nothing
            "image_size": self.plan.image_size,
            "device": self.plan.accelerator.device.type,
            "class_names": self.class_names,
            "seed": self.seed,
            "images": self.subject.images.digest(self.subject.kept),
            "test": self.test.digest(everything),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def _train(self, file: Path, checkpoint: Path, track: Track) -> None:
        dataset, recipe, accelerator = self.subject.dataset(self.class_names), self.plan.recipe, self.plan.accelerator
        begun, seconds = not checkpoint.is_file(), 0.0
        for epoch in train(
            dataset, recipe, seed=self.seed, accelerator=accelerator, checkpoint=checkpoint, track=track
        ):
            seconds += epoch.seconds
            logger.debug(
                "%s, epoch %d/%d: loss %.3f, accuracy on its own labels %.1f %%",
                self.subject.name, epoch.number + 1, recipe.epochs, epoch.loss, 100 * epoch.accuracy,
            )  # fmt: skip
            if epoch.number < recipe.epochs - 1 or not accelerator.is_main_process:
                continue
            mean, std = normalisation(dataset)
            device = accelerator.device
            predicted = predict(epoch.model, self.test.pixels, mean, std, mirror=False, device=device).argmax(1)
            facts = {
                "images": len(dataset),
                "error": float((predicted != self.test.labels(self.class_names)).mean()),
                "train_accuracy": epoch.accuracy,
                "seconds": seconds if begun else None,  # what went before a stop is not known
            }
            table = pa.table(
                {
                    "path": self.test.samples.paths,
                    "label": self.test.samples.label_names(),
                    "predicted": pa.array(self.class_names).take(pa.array(predicted)),
                },
                metadata={"aumclean": json.dumps(facts)},
            )
            atomic.write_bytes(file, parquet.to_parquet(table))  # before the last checkpoint: else it would be lost
