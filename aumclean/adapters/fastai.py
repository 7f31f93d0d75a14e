"""fastai: a callback that takes the sample ids out of the targets, before the loss sees them.

fastai's callbacks see predictions and targets but no sample ids. So these come as a second target (of
`(x, label, sample_id)` one is input: `loaders.n_inp = 1`), which `after_pred` takes away again.
"""

from fastai.callback.core import Callback

from aumclean.door.recorder import Recorder
from aumclean.errors import DataError


class MarginCallback(Callback):
    """Records the margins of a `Learner`.

    Args:
        recorder: the Recorder.
        draw: which training this is.
    """

    order = -50  # before whatever changes predictions or targets

    def __init__(self, recorder: Recorder, draw: int = 0) -> None:
        self.recorder, self.draw = recorder, draw

    def after_pred(self) -> None:
        """Record a step of the training."""
        *targets, ids = self.learn.yb
        if not targets:
            raise DataError("the batches have no sample ids; let the data set give (x, label, sample_id)")
        self.learn.yb = tuple(targets)
        if self.training:
            self.recorder.update(self.learn.pred, ids, self.draw)

    def after_train(self) -> None:
        """Write the epoch."""
        self.recorder.end_epoch(self.draw, epoch=self.epoch)
