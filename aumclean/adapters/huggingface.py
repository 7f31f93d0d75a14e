"""Hugging Face's Trainer: a callback that sees logits and sample ids.

Trainer tells callbacks neither, so this one listens at the model itself: before a forward pass it takes the column with
the sample ids out of the arguments, which the model would not know, and after one in training it records the logits.
"""

import math
from typing import Any

from transformers import TrainerCallback

from aumclean.door.recorder import Recorder
from aumclean.errors import ConfigError, DataError


class MarginCallback(TrainerCallback):
    """Records the margins of a `Trainer`; `remove_unused_columns=False` lets it see the sample ids.

    Args:
        recorder: the Recorder.
        draw: which training this is.
        sample_column: the column of the data set with the numbers of its rows.
    """

    def __init__(self, recorder: Recorder, draw: int = 0, sample_column: str = "sample_id") -> None:
        self.recorder, self.draw, self.sample_column = recorder, draw, sample_column
        self._ids: Any = None
        self._listening: list[Any] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Listen at the model."""
        if args.remove_unused_columns:
            raise ConfigError("TrainingArguments: give remove_unused_columns=False, else the sample ids are removed")
        self._listening = [
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after),
        ]

    def _before(
        self, model: Any, args: tuple[Any, ...], inputs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._ids = inputs.pop(self.sample_column, None)
        return args, inputs

    def _after(self, model: Any, args: tuple[Any, ...], outputs: Any) -> None:
        if not model.training:
            return
        if self._ids is None:
            raise DataError(f"the training data have no column '{self.sample_column}' with the numbers of their rows")
        logits = outputs["logits"] if hasattr(outputs, "keys") else outputs[1]
        self.recorder.update(logits, self._ids, self.draw)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the epoch."""
        self.recorder.end_epoch(self.draw, epoch=math.ceil(state.epoch) - 1)  # the last one may end halfway

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Listen no more."""
        for one in self._listening:
            one.remove()
