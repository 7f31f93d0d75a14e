"""Trainings side by side: one with all threads, several in threads of one process, several processes.

    uv run python tests/benchmarks/side_by_side.py [--images 3200] [--jobs 2] [--repeats 3]

Prints images per second of all together. Images are random, 32 px; what is timed is an epoch of `fast`'s network, in
bf16 where the chip has it. The processes begin together, when each has loaded torch and trained a step to warm up.
"""

import argparse
import multiprocessing
import statistics
import time
from functools import partial
from typing import Any

import numpy as np
import torch

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.training import loop
from aumclean.training.device import describe, has_fast_bf16, make_accelerator
from aumclean.training.side_by_side import side_by_side

CPU = torch.device("cpu")
RECIPE = Recipe("resnet9", 1, 0.05, 64, 5e-4, bf16=has_fast_bf16(CPU))


def images(n: int) -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    return Dataset(pixels, np.arange(n) % 10, tuple("abcdefghij"))


def train(data: Dataset, seed: int, stop: object = None) -> None:
    for _ in loop.train(data, RECIPE, seed=seed, accelerator=make_accelerator("cpu")):
        pass


def process(n: int, seed: int, threads: int, begin: Any) -> None:
    torch.set_num_threads(threads)
    train(images(64), seed)
    data = images(n)
    begin.wait()
    train(data, seed)
    begin.wait()


def in_processes(n: int, jobs: int, threads: int) -> float:
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(jobs + 1)
    started = [context.Process(target=process, args=(n, seed, threads, begin)) for seed in range(jobs)]
    for one in started:
        one.start()
    begin.wait()
    clock = time.perf_counter()
    begin.wait()
    seconds = time.perf_counter() - clock
    for one in started:
        one.join()
    return n * jobs / seconds


def in_threads(n: int, jobs: int) -> float:
    data = images(n)
    clock = time.perf_counter()
    side_by_side([partial(train, data, seed) for seed in range(jobs)], jobs, CPU)
    return n * jobs / (time.perf_counter() - clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    n, jobs = options.images, options.jobs
    print(describe(CPU), torch.__version__, "bf16" if RECIPE.bf16 else "fp32")
    in_threads(64, 1)
    rates: dict[str, list[float]] = {}
    for _ in range(options.repeats):  # in turn, so that a busy machine is unfair to all alike
        rates.setdefault("one training, all threads", []).append(in_threads(n, 1))
        rates.setdefault(f"{jobs} in threads of one process", []).append(in_threads(n, jobs))
        rates.setdefault(f"{jobs} processes", []).append(in_processes(n, jobs, max(1, torch.get_num_threads() // jobs)))
    for name, values in rates.items():
        print(f"{name:<32}{statistics.median(values):>8,.0f} images/s  ({min(values):,.0f} to {max(values):,.0f})")


if __name__ == "__main__":
    main()
