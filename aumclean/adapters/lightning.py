"""Lightning: a callback that reads the logits which `training_step` gives back.

Lightning hands callbacks what `training_step` returns: returning `{"loss": loss, "logits": logits}` is all it takes.
"""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from aumclean.door.recorder import Recorder
from aumclean.errors import DataError


def last(batch: Any) -> Any:
    """The sample ids of a batch: its `sample_id`, or what comes last in it."""
    return batch["sample_id"] if hasattr(batch, "keys") else batch[-1]


class MarginCallback(Callback):
    """Records the margins of a `Trainer`.

    Args:
        recorder: the Recorder.
        draw: which training this is.
        sample_ids: the numbers of the rows in a batch.
    """

    def __init__(self, recorder: Recorder, draw: int = 0, sample_ids: Callable[[Any], Any] = last) -> None:
        self.recorder, self.draw, self.sample_ids = recorder, draw, sample_ids

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record a step."""
        if not hasattr(outputs, "keys") or "logits" not in outputs:
            raise DataError(
                'training_step: let it return {"loss": loss, "logits": logits}, so that margins can be read'
            )
        self.recorder.update(outputs["logits"], self.sample_ids(batch), self.draw)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch."""
        self.recorder.end_epoch(self.draw, epoch=trainer.current_epoch)
