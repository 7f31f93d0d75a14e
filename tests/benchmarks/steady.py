"""Does a gate stay green? The same images scanned with one seed after another, each a baseline for each other.

    uv run python tests/benchmarks/steady.py FOLDER [--scans 100] [--set features=none,epochs=12]

The images are scikit-learn's digits, 10% of them with a wrong label. Scans stay in FOLDER; the same command goes on
where it was stopped. A pair of scans is red when the gate of the second, held against a baseline of the first, finds
anything new.
"""

import argparse
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

from calibration import Row, load, made_wrong, write
from results import in_own_process

from aumclean.config.gate import GateConfig
from aumclean.config.reading import load as configuration
from aumclean.gate.baseline import baseline_of
from aumclean.gate.check import check, suspects
from aumclean.gate.subject import read_subject


def scan_once(file: Path, options: dict[str, Any]) -> None:
    """Scan, in a process of its own."""
    from aumclean.dataset.read import read_samples
    from aumclean.scanning.scan import scan

    scan(read_samples(file), configuration(options, environment={}))


def main() -> None:
    """Scan, and hold all scans against each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--set", default="", help="options of the scans, as NAME=VALUE,NAME=VALUE")
    arguments = parser.parse_args()
    folder, row = arguments.folder, Row("digits", 1797, 10, "uniform", 0.1, 0)
    folder.mkdir(parents=True, exist_ok=True)
    if not (file := folder / "noisy.parquet").is_file():
        dataset = load(row, folder)
        write(dataset, made_wrong(row, dataset, folder), file)
    options = dict(option.split("=") for option in arguments.set.split(",") if option)
    runs = [folder / f"{seed:03}" for seed in range(arguments.scans)]
    for seed, run in enumerate(runs):
        if not (run / "summary.json").is_file():
            own = {"out": run, "seed": seed, "cache_dir": folder / "cache", "flip": False, "overwrite": run.exists()}
            in_own_process(scan_once, file, {**own, **options})
            print(f"scan {seed + 1} of {len(runs)}", flush=True)
    subjects = [read_subject(run) for run in runs]
    baselines = [baseline_of(subject, suspects(subject)) for subject in subjects]
    red: Counter[str] = Counter()
    pairs = list(permutations(range(len(runs)), 2))
    for before, after in pairs:
        if not check(subjects[after], GateConfig(max_new=0), baselines[before]).passed:
            red[runs[after].name] += 1
    flagged = sorted(int(subject.mask("flagged").sum()) for subject in subjects)
    print(f"{red.total()} of {len(pairs)} pairs are red, of {len(red)} scans; flagged {flagged[0]} to {flagged[-1]}")


if __name__ == "__main__":
    main()
