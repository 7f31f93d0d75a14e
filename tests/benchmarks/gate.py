"""How long a gate takes, as a whole process, and how large its formats get.

    python tests/benchmarks/gate.py [--samples 100000] [--flagged 25000] [--repeats 7]

Makes a run directory of that size with random scores (no images, no training), a baseline of it, and prints the median,
smallest and largest seconds of `aumclean gate`, and the bytes of each format.
"""

import argparse
import gzip
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.config.recipe import Recipe
from aumclean.run.directory import Run
from aumclean.run.record import Data, Options, ScanRecord, Settings

FORMATS = ("text", "json", "jsonl", "github", "gitlab", "sarif", "junit", "markdown")


def make_run(folder: Path, n: int, flagged: int) -> None:
    """A finished run as far as a gate looks at it."""
    rng = np.random.default_rng(0)
    score = np.sort(rng.random(n))
    labels = np.array([f"class {number:02d}" for number in rng.integers(0, 100, n)])
    report = pa.table(
        {
            "sample_id": pa.array(rng.permutation(n), pa.int32()),
            "path": [f"train/{label}/image-{number:08d}.jpg" for number, label in enumerate(labels)],
            "label": labels,
            "suggested_label": labels[::-1],
            "suggested_confidence": rng.random(n),
            "flagged": np.arange(n) < flagged,
            "label_score": score,
            "content_hash": [hashlib.sha256(str(number).encode()).hexdigest() for number in range(n)],
            "duplicate_of": pa.nulls(n, pa.string()),
            "conflict": np.zeros(n, bool),
        }
    )
    pq.write_table(report, folder / "report.parquet", compression="zstd")
    pq.write_table(pa.table({"row": np.arange(n)}), folder / "samples.parquet")
    (folder / "unreadable.csv").write_text("path,reason\n")
    (folder / "summary.json").write_text(json.dumps({"repeat_deviation": 0.2}))
    photos = str(folder / "photos")
    Run(folder).write(
        ScanRecord(
            aumclean="0", versions={}, argv=["aumclean"], started="2026-01-01T00:00:00+00:00", state="done",
            config=Options(), device="none", image_size=32, recipe=Recipe("none", 1, 0.1, 64, 0.0),
            data=Data(
                source=photos, source_bytes=0, source_changed_ns=0, root=photos, name="photos", samples=n, unreadable=0,
                class_names=sorted(set(labels.tolist())), fingerprint="0" * 64,
            ),
            judge=Settings(99.0, "all", 0), draws=2, epochs_done=[1, 1], training_seconds=[0.0, 0.0],
        )
    )  # fmt: skip


def seconds(*arguments: object) -> float:
    """Of one call, start of the interpreter included."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "aumclean", "gate", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--flagged", type=int, default=25_000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_run(folder, arguments.samples, arguments.flagged)
        baseline = folder / "baseline.json"
        calls = {
            "--write-baseline": (folder, "--write-baseline", baseline),
            "--max-flagged 50%": (folder, "--max-flagged", "50%"),
            "--baseline": (folder, "--baseline", baseline),
            "--max-flagged 1% -f sarif": (folder, "--max-flagged", "1%", "-f", "sarif"),
        }
        print(f"{arguments.samples:,} samples, {arguments.flagged:,} flagged, {arguments.repeats} calls each")
        for name, call in calls.items():
            times = [seconds(*call) for _ in range(arguments.repeats)]
            print(f"{name:<28}{statistics.median(times):6.2f} s ({min(times):.2f} to {max(times):.2f})")
        print(f"{'baseline file':<28}{baseline.stat().st_size:12,} bytes")
        reports = [part for name in FORMATS for part in ("--report", f"{name}={folder / name}.out")]
        seconds(folder, "--max-flagged", "1%", *reports)
        for name in FORMATS:
            content = (folder / f"{name}.out").read_bytes()
            print(f"{name:<28}{len(content):12,} bytes, {len(gzip.compress(content)):11,} compressed")


if __name__ == "__main__":
    main()
