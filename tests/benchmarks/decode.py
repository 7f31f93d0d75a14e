"""Photographs to small images: our decoding and its cache beside torchvision's ImageFolder and a DataLoader.

    uv run python tests/benchmarks/decode.py [--count 400] [--workers 1] [--size 64] [--repeats 3]

Makes JPEG photographs of 500 x 375 to 4000 x 3000 pixels (smooth shapes with grain, quality 90, two class folders),
reads them in turns with both, with as many processes each, and prints images/s: median, smallest and largest.
ImageFolder resizes to the same square. The second reading of ours comes from the cache.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from aumclean.dataset.cache import decoded
from aumclean.dataset.read import read_samples

SIDES = {(500, 375): 0.5, (1280, 960): 0.3, (2000, 1500): 0.15, (4000, 3000): 0.05}  # and their share


def write_photographs(folder: Path, count: int) -> None:
    """Shapes as smooth as a lens makes them, and a sensor's grain."""
    rng = np.random.default_rng(0)
    sizes = [size for size, share in SIDES.items() for _ in range(round(share * count))]
    for number, (width, height) in enumerate(sizes):
        shapes = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((width, height))
        grain = rng.normal(0, 6, (height, width, 1)).astype(np.float32)
        file = folder / ("a" if number % 2 else "b") / f"{number:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((np.asarray(shapes) + grain).clip(0, 255).astype(np.uint8)).save(file, quality=90)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, by the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def show(name: str, values: list[float]) -> None:
    """One line: the median and the ends."""
    print(f"{name:<44}{statistics.median(values):>10.1f}  ({min(values):.1f} to {max(values):.1f})", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photographs"
        write_photographs(folder, options.count)
        samples = read_samples(folder)
        square = v2.Compose([v2.Resize((options.size, options.size)), v2.PILToTensor()])
        loader = DataLoader(
            ImageFolder(str(folder), square),
            batch_size=64,
            num_workers=0 if options.workers == 1 else options.workers,
        )

        first, again, theirs = [], [], []
        for repeat in range(options.repeats):
            cache = Path(temporary) / f"cache-{repeat}"
            read = partial(decoded, samples, options.size, workers=options.workers, cache_dir=cache, limit_gib=10)
            first.append(seconds(read))
            again.append(seconds(read))
            theirs.append(seconds(lambda: [batch for batch, _ in loader]))
    n = len(samples)
    sizes = ", ".join(f"{share:.0%} of {width} x {height}" for (width, height), share in SIDES.items())
    print(f"{n} photographs ({sizes}), to {options.size} x {options.size}, {options.workers} processes")
    show("decoded into the cache, images/s", [n / value for value in first])
    show("ImageFolder and DataLoader, images/s", [n / value for value in theirs])
    show("ours / theirs, images/s", [t / f for f, t in zip(first, theirs, strict=True)])
    show("from the cache, times faster", [f / a for f, a in zip(first, again, strict=True)])


if __name__ == "__main__":
    main()
