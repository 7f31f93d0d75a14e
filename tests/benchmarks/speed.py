"""What recording costs, what bfloat16 gives, what decoding and its cache cost: ratios within one process.

    uv run python tests/benchmarks/speed.py DATA [--images 2000] [--repeats 5]

DATA is anything `aumclean scan` reads. Prints one line per figure: median, smallest and largest of the repeats.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from aumclean.dataset.cache import decoded
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.read import read_samples
from aumclean.margins.log import EpochMargins, epoch_file, write_epoch
from aumclean.training import loop
from aumclean.training.device import describe, make_accelerator
from aumclean.training.recipe import Recipe

RECIPE = Recipe("resnet9", epochs=1, learning_rate=0.05, batch_size=64, weight_decay=5e-4)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def show(name: str, values: list[float], unit: str) -> None:
    print(f"{name:<44}{statistics.median(values):>10.3f}  ({min(values):.3f} to {max(values):.3f}) {unit}", flush=True)


def one_pass(dataset: Dataset, recipe: Recipe) -> float:
    (epoch,) = loop.train(dataset, recipe, seed=0, accelerator=make_accelerator("auto"))
    return epoch.seconds


def without_recording(dataset: Dataset) -> float:
    update = loop._Recorder.update

    def counting(self: loop._Recorder, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        self.done += len(labels)

    loop._Recorder.update = counting  # type: ignore[method-assign]
    finite = loop._Recorder.finite
    loop._Recorder.finite = lambda self: True  # type: ignore[method-assign]
    try:
        return one_pass(dataset, RECIPE)
    finally:
        loop._Recorder.update, loop._Recorder.finite = update, finite  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    samples = read_samples(options.data, limit=options.images)
    print(describe(make_accelerator("auto").device), torch.__version__, f"{len(samples)} images")

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)

        def load() -> Dataset:
            found = decoded(samples, 32, workers=2, cache_dir=cache, limit_gib=10)
            return Dataset(found.images, samples.labels.astype(np.int64), samples.class_names)

        first = seconds(load)
        again = [seconds(load) for _ in range(options.repeats)]
        show("decode and cache, images/s", [len(samples) / first], "")
        show("from the cache, times faster", [first / value for value in again], "x")
        dataset = load()

        one_pass(dataset, RECIPE)
        plain, recorded, half = [], [], []
        for _ in range(options.repeats):
            plain.append(without_recording(dataset))
            recorded.append(one_pass(dataset, RECIPE))
        half.append(one_pass(dataset, replace(RECIPE, bf16=True)))
        show("training with recording, images/s", [len(samples) / value for value in recorded], "")
        show("recording / not recording, time", [r / p for r, p in zip(recorded, plain, strict=True)], "x")
        show("bf16 / fp32, time", [value / statistics.median(recorded) for value in half], "x")

        n = 1_000_000
        rng = np.random.default_rng(0)
        part = EpochMargins(
            np.arange(n, dtype=np.int32),
            rng.normal(size=n).astype(np.float32),
            rng.integers(0, 10, n),
            rng.random(n) < 0.1,
        )
        wrote = [seconds(lambda: write_epoch(cache, 0, 0, part, {})) for _ in range(options.repeats)]
        show("write a million margins", wrote, "s")
        show("bytes per sample and epoch", [epoch_file(cache, 0, 0).stat().st_size / n], "")


if __name__ == "__main__":
    main()
