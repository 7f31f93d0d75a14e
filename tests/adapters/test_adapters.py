"""Every adapter with the real library: the scripts of docs/how-to/own-training.md, as they stand there."""

import re
from pathlib import Path

import pytest

import aumclean

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-training.md"
LIBRARIES = {
    "Hugging Face Trainer": "transformers",
    "Lightning": "lightning",
    "fastai": "fastai",
    "Keras": "keras",
    "ultralytics": "ultralytics",
}


def script(heading):
    """The Python of a section."""
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index(f"\n## {heading}\n") :].split("\n## ")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("heading", LIBRARIES)
def test_the_script_of_a_framework_finds_the_planted_errors(heading, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "True")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip(LIBRARIES[heading], reason="is in the dependency group frameworks")
    code = script(heading)
    exec(compile(code, f"{heading}.py", "exec"), {"__name__": "__main__"})
    run = aumclean.open_run("runs/own")
    found = run.suspects["sample_id"]
    assert (found < 90).sum() > 30 and (found < 90).mean() > 0.7 and set(run.report["n_draws"]) == {1, 2}
    assert (run.report["sample_id"][:60] < 90).mean() > 0.7
    assert sum("# +" in line for line in code.splitlines()) <= 5


@pytest.mark.filterwarnings("ignore")  # of the library
def test_a_training_of_hugging_face_that_ends_within_an_epoch_keeps_the_one_before(tmp_path):
    transformers = pytest.importorskip("transformers", reason="is in the dependency group frameworks")
    import torch

    from aumclean.adapters.huggingface import MarginCallback

    recorder = aumclean.Recorder([0, 1, 2] * 20, out=tmp_path / "run", draws=1)
    rows = [
        {"x": torch.ones(4), "labels": int(label), "sample_id": row}
        for row, label in enumerate(recorder.training_labels())
    ]

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, recorder.outputs)

        def forward(self, x, labels):
            logits = self.linear(x)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    arguments = transformers.TrainingArguments(
        tmp_path, per_device_train_batch_size=10, max_steps=14, remove_unused_columns=False, report_to=[]
    )
    transformers.Trainer(Network(), arguments, train_dataset=rows, callbacks=[MarginCallback(recorder)]).train()
    assert recorder.epochs_done() == 3  # six steps each, and two of the third
