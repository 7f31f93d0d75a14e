"""Judge and report a simulated margin log: peak memory, seconds, bytes on disk.

    uv run python tests/benchmarks/scale.py [--samples 10000000] [--epochs 10] [--draws 2] [--keep FOLDER]
        [--threshold estimate|indicator]

One label in ten is wrong; margins of right labels rise over the epochs, those of wrong ones and of indicator samples
do not. Nothing is trained, and no image exists: the page shows none. The log is written by what a scan writes it with;
judging and reporting run in a process of their own, so that the peak is theirs. Of the peak, what is mapped from files
is written out where memory is short; what is not is watched every 10 ms, on Linux.
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean import __version__
from aumclean.config.recipe import Recipe
from aumclean.dataset.indicators import draw_indicators
from aumclean.margins.final import RIVALS, Final, write_final
from aumclean.margins.held_out import HeldOut, log_softmax, most_held_out, write_held_out
from aumclean.margins.log import EpochMargins, write_epoch
from aumclean.reports.write import write_reports
from aumclean.run.directory import Run
from aumclean.run.record import Data, Options, ScanRecord, Settings
from aumclean.verdict.judge import judge, settings_of

CLASSES = 100
NOISE = 0.1
BLOCK = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where to make the run; it is used again when it is there")
    parser.add_argument("--threshold", choices=("estimate", "indicator"), default="estimate")
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.judge is not None:
        judged(Run(options.judge), options.threshold)
        return
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(options.keep or Path(temporary))
        if not run.run_json.is_file():
            simulate(run, options.samples, options.epochs, options.draws)
        passes = options.samples * options.epochs * options.draws
        columns = column_bytes(run)
        print(f"{options.samples:,} samples, {options.epochs} epochs, {options.draws} draws")
        print(f"bytes per sample and epoch: {sum(columns.values()) / passes:.2f}")
        for name, size in columns.items():
            print(f"  {name:<14}{size / passes:.3f}")
        again = [sys.executable, __file__, "--judge", run.path, "--threshold", options.threshold]
        subprocess.run(again, check=True)


def judged(run: Run, threshold: str) -> None:
    threading.Thread(target=watch, daemon=True).start()
    started = time.perf_counter()
    verdict = judge(run, settings_of(run, threshold=threshold))
    say_peak("judge", started)
    started = time.perf_counter()
    write_reports(run, verdict)
    say_peak("reports", started)
    print(f"flagged {verdict.summary.flagged:,}; report.csv {run.report('csv').stat().st_size / 1e9:.2f} GB")


def say_peak(what: str, started: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux
    taken = f"{time.perf_counter() - started:.1f} s, {time.process_time():.0f} processor seconds so far"
    print(f"{what:<8} {taken}, peak {peak:.2f} GB, {own[0] / 1e6:.2f} GB of it not from files", flush=True)


own = [0]
"""The most memory that was no file's, in kB."""


def watch() -> None:
    while True:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        own[0] = max(own[0], *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
        time.sleep(0.01)


def simulate(run: Run, n: int, epochs: int, draws: int) -> None:
    """Write samples, margins and `run.json` of a scan that never was."""
    rng = np.random.default_rng(0)
    run.path.mkdir(parents=True, exist_ok=True)
    names = [f"class {number:03d}" for number in range(CLASSES)]
    labels = rng.integers(0, CLASSES, n)
    is_wrong = rng.random(n) < NOISE
    write_samples(run, labels, names)
    for draw, indicators in enumerate(draw_indicators(n, CLASSES, draws, seed=0)):
        is_indicator = np.zeros(n, bool)
        is_indicator[indicators] = True
        like_wrong = is_wrong | is_indicator
        level = rng.normal(np.where(like_wrong, -2, 4), 1.5).astype(np.float32)
        write_network(run, draw, draws, level, labels, indicators, is_wrong, rng)
        for epoch in range(epochs):
            rise = np.where(like_wrong, 0, 0.1 * epoch).astype(np.float32)
            margin = level + rise + rng.normal(0, 0.7, n).astype(np.float32)
            other = (labels + 1 + rng.integers(0, CLASSES - 1, n) % (1 + 9 * ~is_wrong)) % CLASSES
            recorded = EpochMargins(np.arange(n, dtype=np.int32), margin, other, is_indicator)
            write_epoch(run.margins, draw, epoch, recorded, {"simulated": True})
    simulated = str(run.path / "simulated")
    run.write(
        ScanRecord(
            aumclean=__version__, versions={}, argv=["aumclean", "scan", "simulated"],
            started="2026-01-01T00:00:00+00:00", state="done", config=Options(), device="none", image_size=32,
            data=Data(
                source=simulated, source_bytes=0, source_changed_ns=0, root=simulated, name="simulated", samples=n,
                unreadable=0, class_names=names, fingerprint="0" * 64,
            ),
            recipe=Recipe("none", epochs, 0.1, 64, 0.0), judge=Settings(99.0, "all", 2, threshold="estimate"),
            draws=draws, epochs_done=[epochs] * draws, training_seconds=[0.0] * draws,
        )
    )  # fmt: skip


def write_network(
    run: Run,
    draw: int,
    draws: int,
    level: np.ndarray,
    labels: np.ndarray,
    indicators: np.ndarray,
    is_wrong: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """What a network says of indicator samples, whose labels it was not taught, and of all samples."""
    kept = indicators[: most_held_out(CLASSES, draws)]
    logits = rng.normal(0, 1, (len(kept), CLASSES)).astype(np.float32)
    true = np.where(is_wrong[kept], (labels[kept] + 1) % CLASSES, labels[kept])
    logits[np.arange(len(kept)), true] += 6
    write_held_out(run.held_out_part(draw), HeldOut(kept, np.full(len(kept), draw, np.int32), log_softmax(logits)))
    rivals = np.broadcast_to(np.arange(1, 1 + RIVALS, dtype=np.int16), (len(level), RIVALS))
    over = level[:, None] + np.arange(RIVALS, dtype=np.float32)
    write_final(run.final_margins(draw), Final(rivals, over))


def write_samples(run: Run, labels: np.ndarray, names: list[str]) -> None:
    schema = pa.schema(
        [("sample_id", pa.int32()), ("path", pa.string()), ("label", pa.string()), ("content_hash", pa.string()),
         ("width", pa.int32()), ("height", pa.int32()), ("row", pa.int64())]
    )  # fmt: skip
    with pq.ParquetWriter(run.samples, schema, compression="zstd") as writer:
        for start in range(0, len(labels), BLOCK):
            ids = np.arange(start, min(start + BLOCK, len(labels)))
            label = [names[index] for index in labels[ids]]
            side = np.full(len(ids), 32, np.int32)
            columns = [
                ids.astype(np.int32), [f"{name}/{sample:09d}.jpg" for name, sample in zip(label, ids, strict=True)],
                label, [hashlib.sha256(b"%d" % (sample - (sample % 1000 == 999))).hexdigest() for sample in ids],
                side, side, ids,
            ]  # fmt: skip
            writer.write_table(pa.table(columns, schema=schema))


def column_bytes(run: Run) -> dict[str, int]:
    """What each column of the margin log takes, and `the rest`, over all its files."""
    sizes: dict[str, int] = {}
    for file in sorted(run.margins.rglob("*.parquet")):
        about = pq.read_metadata(file)
        before = sum(sizes.values())
        for group in range(about.num_row_groups):
            for index in range(about.num_columns):
                column = about.row_group(group).column(index)
                sizes[column.path_in_schema] = sizes.get(column.path_in_schema, 0) + column.total_compressed_size
        rest = file.stat().st_size - (sum(sizes.values()) - before)
        sizes["the rest"] = sizes.get("the rest", 0) + rest
    return sizes


if __name__ == "__main__":
    main()
