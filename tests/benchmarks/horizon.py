"""Do scans that stop before the memorisation horizon find more label errors than scans that run past it?

    python tests/benchmarks/horizon.py DATA OUT --images 1000 --longest 100 --epochs 8,16,32,64 [--no-flip]

Makes a fifth of the labels wrong (`corrupt`), measures the horizon on what came of it (`random-labels horizon`, three
draws), scans it with each number of epochs (`scan`), for every seed, and compares with the truth (`evaluate`): all of
them commands as a user gives them. What is in OUT already is not repeated.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from aumclean.config.presets import PRESETS
from aumclean.config.recipe import closing_epochs

RATE = 0.2  # of wrong labels


def aumclean(*arguments: object) -> str:
    """Standard output of a command."""
    command = [sys.executable, "-m", "aumclean", *map(str, arguments), "--quiet"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Print the horizon, a line per scan, and the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--longest", type=int, required=True, help="epochs of the horizon's training")
    parser.add_argument("--epochs", required=True, help="of the scans, such as 8,16,32")
    parser.add_argument("--seeds", default="0,1", help="of the wrong labels")
    parser.add_argument("--no-flip", action="store_true")
    given = parser.parse_args()
    seeds, lengths = ([int(part) for part in text.split(",")] for text in (given.seeds, given.epochs))
    flip = ("--no-flip",) if given.no_flip else ()
    given.out.mkdir(parents=True, exist_ok=True)

    noisy = {seed: made_noisy(given.data, given.out, given.images, seed) for seed in seeds}
    folder = given.out / "horizon"
    aumclean("random-labels", "horizon", noisy[seeds[0]], "--out", folder, "--epochs", given.longest,
             "--limit", given.images, *root(given.data), *flip)  # fmt: skip
    facts = json.loads((folder / "diagnostic.json").read_text())["facts"]
    print("horizon", *(facts[name] for name in ("horizon", "low", "high", "per_draw")), flush=True)

    found: dict[int, list[list[float]]] = {}
    for epochs in lengths:
        for seed in seeds:
            scanned = given.out / f"scan-{epochs}-seed{seed}"
            started = time.perf_counter()
            if not (scanned / "summary.json").is_file():
                aumclean("scan", noisy[seed], "--out", scanned, "--overwrite", "--epochs", epochs, *root(given.data),
                         *flip)  # fmt: skip
            measured = json.loads(aumclean("evaluate", scanned, "--truth", noisy[seed], "--json"))
            row = [measured[score][name] for score in ("aum", "label_score") for name in ("f1_at_true_count", "auroc")]
            found.setdefault(epochs, []).append(row)
            print(epochs, f"seed {seed}", *(f"{value:.4f}" for value in row), f"{time.perf_counter() - started:.0f} s",
                  flush=True)  # fmt: skip

    print("epochs, margins read over, then found and AUROC by AUM, found and AUROC by label_score")
    for epochs, rows in found.items():
        read = epochs - closing_epochs(epochs, PRESETS["fast"]["closing"])
        print(epochs, read, *(f"{value:.4f}" for value in np.mean(rows, 0)))


def made_noisy(data: Path, out: Path, images: int, seed: int) -> Path:
    """A manifest of so many images with wrong labels, and the true ones beside."""
    manifest = out / f"noisy-{seed}{'.parquet' if data.suffix == '.parquet' else '.csv'}"
    if not manifest.is_file():
        aumclean("corrupt", data, "--rate", RATE, "--limit", images, "--seed", seed, "--out", manifest)
    return manifest


def root(data: Path) -> tuple[object, ...]:
    """Where the paths of a manifest of a folder's images lead."""
    return ("--root", data) if data.is_dir() else ()


if __name__ == "__main__":
    main()
