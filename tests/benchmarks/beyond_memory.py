"""Train on images from tars whose decoded pixels are in memory, and kept out of it: images per second, peak memory.

    mkdir /sys/fs/cgroup/small && echo 1100M > /sys/fs/cgroup/small/memory.max
    uv run python tests/benchmarks/beyond_memory.py /sys/fs/cgroup/small [--samples 200000] [--size 32] [--keep FOLDER]

Kept out of memory: in a control group whose limit, page cache and all, is less than twice the decoded images.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SHARDS, CLASSES = 20, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", type=Path, help="folder of a control group whose memory is limited")
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--run", choices=["decode", "in", "out"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        return run(options.run, options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        if not (folder / "data").is_dir():
            simulate(folder / "data", options.samples)
        for what in ("decode", "in", "out", "in", "out"):
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--keep", folder, "--run", what], check=True)


def simulate(folder: Path, n: int) -> None:
    """Small JPEGs, each of its own content, in tars of class folders."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for shard in range(SHARDS):
        with tarfile.open(folder / f"part-{shard:02d}.tar", "w") as tar:
            for number in range(shard * n // SHARDS, (shard + 1) * n // SHARDS):
                sink = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((48, 48)).save(sink, "JPEG")
                about = tarfile.TarInfo(f"class {number % CLASSES}/{number:07d}.jpg")
                about.size = len(sink.getvalue())
                tar.addfile(about, io.BytesIO(sink.getvalue()))


def run(what: str, options: argparse.Namespace) -> None:
    """Open the data, and train some steps of an epoch."""
    from aumclean.config.scan import ScanConfig
    from aumclean.dataset.open import open_configured
    from aumclean.dataset.read import read_samples
    from aumclean.scanning.plan import settle
    from aumclean.training.loop import train

    if what == "out":
        (options.group / "cgroup.procs").write_text(str(os.getpid()))
    started = time.perf_counter()
    config = ScanConfig(image_size=options.size, features="none", cache_dir=options.keep / "cache")
    samples = read_samples(options.keep / "data")
    plan, opened = settle(samples, config), open_configured(samples, options.size, config)
    if what == "decode":
        say("listed and decoded", len(samples) / (time.perf_counter() - started))
        return
    (file,) = (options.keep / "cache").glob("*/images.u8")
    drop(file)  # pages belong to the group that read them first

    def steps(shares: Iterable[object], *_: object) -> Iterator[object]:
        for number, share in enumerate(shares):
            if number == options.steps:
                taken = time.perf_counter() - began[0]
                say(f"{what} of memory", options.steps * plan.recipe.batch_size / taken)
                os._exit(0)
            if not number:
                began.append(time.perf_counter())
            yield share

    began: list[float] = []
    np.asarray(opened.images).sum(dtype=np.int64) if what == "in" else None
    list(train(opened.dataset(), plan.recipe, seed=0, accelerator=plan.accelerator, track=steps))


def drop(file: Path) -> None:
    """Take the pages of a file out of the system's cache."""
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def say(what: str, rate: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux
    print(f"{what:<20} {rate:7.0f} images/s, peak {peak:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
