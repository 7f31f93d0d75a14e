"""Keras 3: a callback that reads the logits where the loss is computed, since callbacks see neither logits nor samples.

The numbers of samples come as a second target: `fit(images, (labels, sample_ids))`. The model's own `compute_loss` and
`compute_metrics` get the labels alone. Steps may be compiled: the backend is asked for the values then.
"""

from collections.abc import Callable
from typing import Any

import keras

from aumclean.door.recorder import Recorder
from aumclean.errors import DataError


class MarginCallback(keras.callbacks.Callback):
    """Records the margins of a model's `fit`.

    Args:
        recorder: the Recorder.
        model: the model, whose output is raw logits; compiled or not.
        draw: which training this is.
    """

    def __init__(self, recorder: Recorder, model: keras.Model, draw: int = 0) -> None:
        super().__init__()
        self.recorder, self.draw = recorder, draw
        loss, metrics = model.compute_loss, model.compute_metrics

        def compute_loss(
            x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            if training and not isinstance(y, tuple | list):
                raise DataError("fit: the targets have no sample ids; give them as (labels, sample_ids)")
            if training:
                _with_values(self._update, y_pred, y[1])
            return loss(x=x, y=_labels(y), y_pred=y_pred, sample_weight=sample_weight, training=training)

        def compute_metrics(x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            return metrics(x=x, y=_labels(y), y_pred=y_pred, sample_weight=sample_weight)

        model.compute_loss, model.compute_metrics = compute_loss, compute_metrics

    def _update(self, logits: Any, sample_ids: Any) -> None:
        self.recorder.update(logits, sample_ids, self.draw)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch."""
        if keras.backend.backend() == "jax":
            import jax

            jax.effects_barrier()
        self.recorder.end_epoch(self.draw, epoch=epoch)

    def on_train_end(self, logs: Any = None) -> None:
        """Leave the model as it was."""
        del self.model.compute_loss, self.model.compute_metrics


def _labels(y: Any) -> Any:
    return y[0] if isinstance(y, tuple | list) else y


def _with_values(call: Callable[..., None], *tensors: Any) -> None:
    """Call with the values of tensors, also from within a compiled step."""
    if keras.backend.backend() == "jax":
        import jax

        jax.debug.callback(call, *tensors)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.numpy_function(call, tensors, [])
    else:
        call(*tensors)
