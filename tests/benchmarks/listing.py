"""List, plan and open a simulated data set of paths: peak memory and seconds of every stage before training.

    uv run python tests/benchmarks/listing.py [--samples 10000000]

A Parquet manifest names images in random order of their classes, of which one exists. Everything is done by what a
scan does it with, but that what decodes makes up digests, sizes and black images of 8 pixels.
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = 100
BLOCK = 1 << 20
SIDE = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open is not None:
        opened(options.open)
        return
    with tempfile.TemporaryDirectory() as temporary:
        simulate(Path(temporary), options.samples)
        subprocess.run([sys.executable, __file__, "--open", temporary], check=True)


def simulate(folder: Path, n: int) -> None:
    """Write the manifest, and its first image."""
    labels = np.random.default_rng(0).integers(0, CLASSES, n)
    schema = pa.schema([("path", pa.string()), ("label", pa.string())])
    with pq.ParquetWriter(folder / "manifest.parquet", schema) as writer:
        for start in range(0, n, BLOCK):
            names = [f"class {label:03d}" for label in labels[start : start + BLOCK]]
            paths = [f"{name}/{start + row:09d}.jpg" for row, name in enumerate(names)]
            writer.write_table(pa.table([paths, names], schema=schema))
            if not start:
                (folder / paths[0]).parent.mkdir()
                Image.new("RGB", (SIDE, SIDE)).save(folder / paths[0])


def opened(folder: Path) -> None:
    """What a scan does before it trains."""
    started = time.process_time()
    from aumclean.dataset.read import read_samples

    samples = read_samples(folder / "manifest.parquet")
    say_peak("listed", started)
    from aumclean.config.scan import ScanConfig
    from aumclean.dataset.open import open_configured
    from aumclean.run.directory import Run
    from aumclean.scanning.plan import settle
    from aumclean.scanning.scan import indicators_of

    say_peak("torch imported", started)
    config = ScanConfig(image_size=SIDE, cache_dir=folder / "cache", features="none", epochs=10)
    plan = settle(samples, config)
    say_peak("planned", started)
    with patch("aumclean.dataset.cache.decode", simulated):
        found = open_configured(samples, SIDE, config)
    say_peak("opened", started)
    indicators = indicators_of(found, None, config.seed, plan)
    say_peak("indicator samples chosen", started)
    found.digest()
    say_peak("fingerprint", started)
    (folder / "run").mkdir()
    found.write(Run(folder / "run"))
    say_peak("samples.parquet, manifest.parquet", started)
    print(f"{len(found):,} samples, {indicators.size:,} indicator samples")


def simulated(samples: object, size: int, *, workers: int) -> Iterator[object]:
    """Chunks as decoding gives them."""
    from aumclean.dataset.decode import CHUNK, DecodedChunk

    n = len(samples)  # type: ignore[arg-type]
    for start in range(0, n, CHUNK):
        ids = range(start, min(start + CHUNK, n))
        digests = [hashlib.sha256(b"%d" % number).digest() for number in ids]
        some = [size] * len(ids)
        yield DecodedChunk(np.zeros((len(ids), size, size, 3), np.uint8), digests, some, some, [None] * len(ids))


def say_peak(what: str, started: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux
    print(f"{what:<36}{time.process_time() - started:6.0f} processor seconds, peak {peak:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
