"""What recording, input and bfloat16 cost, how near to the rate of a matrix product training is, and decoding.

    uv run python tests/benchmarks/speed.py DATA [--images 2000] [--repeats 5]

DATA is anything `aumclean scan` reads. Prints one line per figure: median, smallest and largest of the repeats.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.margins.log import EpochMargins, epoch_file, write_epoch
from aumclean.training import augment, loop
from aumclean.training.device import describe, has_fast_bf16, make_accelerator
from aumclean.training.models import build_model

CPU = torch.device("cpu")
RECIPE = Recipe("resnet8-s2d", epochs=1, learning_rate=0.05, batch_size=64, weight_decay=5e-4, bf16=has_fast_bf16(CPU))
SIDE = 2048  # of the matrices whose product says what the processor can do


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def show(name: str, values: list[float], unit: str) -> None:
    print(f"{name:<44}{statistics.median(values):>10.3f}  ({min(values):.3f} to {max(values):.3f}) {unit}", flush=True)


def one_pass(dataset: Dataset, recipe: Recipe) -> float:
    (epoch,) = loop.train(dataset, recipe, seed=0, accelerator=make_accelerator("cpu"))
    return epoch.seconds


def input_of_one_pass(dataset: Dataset) -> None:
    """What a pass does before the network: take each batch from memory, crop and mirror it."""
    images, n, padding = torch.from_numpy(dataset.images), len(dataset), dataset.images.shape[1] // 8
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(n, generator=generator)
    shift, mirrored = augment.draw(n, padding, generator)
    for index in order.tensor_split(-(-n // RECIPE.batch_size)):
        augment.mirror(augment.crop(images[index], shift[index], padding), mirrored[index])


def operations(dataset: Dataset) -> int:
    """Multiplications and additions of a step forward and back, per image, as PyTorch counts them."""
    batch = torch.from_numpy(dataset.images[: RECIPE.batch_size]).permute(0, 3, 1, 2).float()
    model = build_model(RECIPE.arch, len(dataset.class_names), batch.shape[-1])
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(batch), torch.zeros(len(batch), dtype=torch.long)).backward()
    return counter.get_total_flops() // len(batch)


def operations_per_second(dtype: torch.dtype) -> float:
    """Of one matrix product."""
    left, right = torch.randn(2, SIDE, SIDE).to(dtype)
    left @ right
    return 2 * SIDE**3 / seconds(lambda: left @ right)


def without_recording(dataset: Dataset) -> float:
    update = loop._Recorder.update

    def counting(self: loop._Recorder, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        self.losses.append(loss)  # a list that any loop keeps
        self.done += len(labels)
        self.ends.append(self.done)

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
            return open_samples(samples, 32, workers=2, cache_dir=cache).dataset()

        first = seconds(load)
        again = [seconds(load) for _ in range(options.repeats)]
        show("decode and cache, images/s", [len(samples) / first], "")
        show("from the cache, times faster", [first / value for value in again], "x")
        dataset = load()

        one_pass(dataset, RECIPE)
        other = replace(RECIPE, bf16=not RECIPE.bf16)
        repeats = range(options.repeats)
        plain, recorded, others, before, products = zip(
            *(
                (
                    without_recording(dataset),
                    one_pass(dataset, RECIPE),
                    one_pass(dataset, other),
                    seconds(partial(input_of_one_pass, dataset)),
                    operations_per_second(torch.bfloat16 if RECIPE.bf16 else torch.float32),
                )
                for _ in repeats
            ),
            strict=True,
        )
        n, work = len(dataset), operations(dataset)
        show(f"training {RECIPE.arch}, images/s", [n / value for value in recorded], "")
        show("recording / not recording, time", [r / p for r, p in zip(recorded, plain, strict=True)], "x")
        show("input / pass, time", [i / r for i, r in zip(before, recorded, strict=True)], "x")
        names = ("fp32", "bf16") if RECIPE.bf16 else ("bf16", "fp32")
        show(f"{names[0]} / {names[1]}, time", [o / r for o, r in zip(others, recorded, strict=True)], "x")
        show("10^9 operations per image, forward and back", [work / 1e9], "")
        show(f"matrix product, {names[1]}, 10^12 operations/s", [value / 1e12 for value in products], "")
        show("training / matrix product", [work * n / r / m for r, m in zip(recorded, products, strict=True)], "x")

        n = 1_000_000
        rng = np.random.default_rng(0)
        part = EpochMargins(
            np.arange(n, dtype=np.int32),
            rng.normal(size=n).astype(np.float32),
            rng.integers(0, 10, n),
            rng.random(n) < 0.1,
        )
        wrote = [seconds(lambda: write_epoch(cache, 0, 0, part, {})) for _ in repeats]
        show("write a million margins", wrote, "s")
        show("bytes per sample and epoch", [epoch_file(cache, 0, 0).stat().st_size / n], "")


if __name__ == "__main__":
    main()
