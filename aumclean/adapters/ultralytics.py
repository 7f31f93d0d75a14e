"""ultralytics: callbacks for the training of a classifier, which reads the logits where its loss is computed.

Its callbacks see neither logits nor samples, and its data set gives no numbers of samples. So the number of each takes
the place of its class index in the batch, and the loss puts the label there that is to be taught.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ultralytics import YOLO
from ultralytics.utils.torch_utils import unwrap_model

from aumclean.door.recorder import Recorder
from aumclean.errors import DataError


def add_callbacks(model: YOLO, recorder: Recorder, files: Sequence[Path | str], draw: int = 0) -> None:
    """Let the training of a classifier record its margins; `plots=False`, since its plots show class indices.

    Args:
        model: of the task `classify`; its network gets one output more with indicator samples.
        recorder: the Recorder.
        files: the image files of the training set, [n], in the order of the Recorder's labels.
        draw: which training this is.

    Raises:
        DataError: when training begins, for an image that is not among the files.
    """
    row = {Path(file).resolve(): number for number, file in enumerate(files)}
    taught = recorder.training_labels(draw)

    def on_pretrain_routine_start(trainer: Any) -> None:
        setup = trainer.setup_model

        def setup_model() -> Any:
            names = [*recorder.class_names, *["<indicator>"] * recorder.indicators]
            trainer.data = {**trainer.data, "nc": len(names), "names": dict(enumerate(names))}
            return setup()

        trainer.setup_model = setup_model

    def on_train_start(trainer: Any) -> None:
        for sample in trainer.train_loader.dataset.samples:
            if (number := row.get(Path(sample[0]).resolve())) is None:
                raise DataError(f"{sample[0]}: is not among the files whose margins are to be recorded")
            sample[1] = number
        trainer.train_loader.reset()  # workers have begun with the class indices
        network = unwrap_model(trainer.model)
        loss = network.init_criterion()

        def criterion(preds: Any, batch: dict[str, Any]) -> Any:
            ids = batch["cls"]
            logits = preds[1] if isinstance(preds, list | tuple) else preds
            recorder.update(logits, ids, draw)
            return loss(preds, {**batch, "cls": ids.new_tensor(taught)[ids]})

        network.criterion = criterion

    def on_train_epoch_end(trainer: Any) -> None:
        recorder.end_epoch(draw, epoch=trainer.epoch)

    for one in (on_pretrain_routine_start, on_train_start, on_train_epoch_end):
        model.add_callback(one.__name__, one)
