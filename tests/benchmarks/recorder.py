"""What recording costs: the Recorder against the package `aum`, and against a training step of ResNet-18 on the CPU.

uv run --group benchmark python tests/benchmarks/recorder.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from aum import AUMCalculator as Reference

import aumclean
from aumclean.compat import AUMCalculator

SAMPLES, CLASSES, BATCH = 50_000, 100, 64
STEPS = 300


def steps(count: int, classes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    order = torch.randperm(SAMPLES).split(BATCH)[:count]
    return [(torch.randn(len(index), classes), index) for index in order]


def seconds(each, batches) -> float:
    """Processor time per sample, the fastest of fifteen passes."""
    passes = []
    for _ in range(15):
        start = time.process_time()
        for logits, index in batches:
            each(logits, index)
        passes.append((time.process_time() - start) / sum(len(index) for _, index in batches))
    return min(passes)


def against_aum(folder: Path) -> None:
    labels = np.arange(SAMPLES) % CLASSES
    taught = torch.from_numpy(labels)
    recorder = aumclean.Recorder(labels, out=folder / "run", draws=1)
    own, reference = AUMCalculator(str(folder)), Reference(str(folder))
    wide, narrow = steps(STEPS, CLASSES + 1), steps(STEPS, CLASSES)
    found = {
        "aum 1.0.2": seconds(
            lambda logits, index: reference.update(logits, taught[index], index.tolist()), narrow[:50]
        ),
        "compat.AUMCalculator": seconds(
            lambda logits, index: own.update(logits, taught[index], index.tolist()), narrow
        ),
        "Recorder": seconds(recorder.update, wide),
    }
    for name, each in found.items():
        print(f"{name:24}{1 / each:12,.0f} samples/s  {found['aum 1.0.2'] / each:6.1f} times aum")


def of_a_step(folder: Path) -> None:
    """Paired: steps with and without recording take turns in one process."""
    labels = np.arange(SAMPLES) % 10
    recorder = aumclean.Recorder(labels, out=folder / "step", draws=1)
    targets = torch.from_numpy(recorder.training_labels())
    model = torchvision.models.resnet18(num_classes=recorder.outputs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    step, recording = [], []
    for index in torch.randperm(SAMPLES).split(BATCH)[:8]:
        images = torch.randn(BATCH, 3, 64, 64)
        start = time.process_time()
        logits = model(images)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, targets[index]).backward()
        optimizer.step()
        between = time.process_time()
        recorder.update(logits, index)
        step.append(between - start)
        recording.append(time.process_time() - between)
    share = np.median(recording) / np.median(step)
    print(f"a step {np.median(step) * 1e3:.0f} ms, recording {np.median(recording) * 1e3:.3f} ms: {share:.3%}")


if __name__ == "__main__":
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        against_aum(Path(folder))
        of_a_step(Path(folder))
