"""Is the verdict true? What is stated of label noise beside what was planted, on many small and some larger data sets.

    uv run python tests/benchmarks/calibration.py OUT.jsonl [--rows shapes,digits,cifar,clothing,real] [--seeds 0,1,2]
        [--data FOLDER] [--limit N]
    uv run python tests/benchmarks/calibration.py --table OUT.jsonl

Rows are of generated shapes (easily told apart), of scikit-learn's digits, and of `cifar10-train.parquet` and
`clothing.parquet` in --data. *Annotator* noise is drawn from the softmax of a linear model of other images, on random
convolutions. Every scan is a line of OUT; the same command goes on where it was stopped.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from planted import CIFAR_PAIRS, DIGITS_PAIRS, annotated
from results import append_results, in_own_process, read_results
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from aumclean import chance
from aumclean.config.scan import ScanConfig
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.label_noise import flip_noise, instance_noise, pair_noise, uniform_noise
from aumclean.verdict.summary import Summary

BINS = 10
RANDOM, DIRECTED = {"none", "count", "uniform"}, {"flip", "pairs", "instance"}


@dataclass(frozen=True)
class Row:
    """A data set of the benchmark: what images, how many, and how labels are made wrong."""

    data: str
    images: int
    classes: int
    noise: str
    rate: float  # of a `count` the number itself
    seed: int


def rows(names: list[str], seeds: list[int]) -> Iterator[Row]:
    """All rows, cheap ones first."""
    for seed in seeds:
        if "shapes" in names:
            for noise, rate in (("count", 18), ("count", 5), ("none", 0)):
                yield Row("shapes", 240, 3, noise, rate, seed)
            yield Row("shapes", 240, 2, "uniform", 0.1, seed)
        if "digits" in names:
            for noise, rate in (
                ("uniform", 0.1), ("none", 0), ("uniform", 0.02), ("uniform", 0.4), ("flip", 0.2), ("pairs", 0.4),
            ):  # fmt: skip
                yield Row("digits", 1797, 10, noise, rate, seed)
        for data, images, classes in (("cifar", 2000, 10), ("clothing", 3000, 17), ("cifar", 6000, 10)):
            if data in names:
                for noise, rate in (
                    ("none", 0), ("uniform", 0.1), ("annotator", 0.4), ("flip", 0.2), ("uniform", 0.4),
                    ("annotator", 0.1), ("instance", 0.2), ("uniform", 0.2),
                ):  # fmt: skip
                    yield Row(data, images, classes, noise, rate, seed)


def shapes(n: int, classes: int, seed: int, size: int = 16) -> Dataset:
    """Discs and squares of a class's colour, somewhere on a noisy ground."""
    rng = chance.generator(seed, "shapes", n, classes)
    labels = np.arange(n) % classes
    turn = 2 * np.pi * np.arange(classes) / classes
    colours = np.stack([np.cos(turn), np.cos(turn + 2.1), np.cos(turn + 4.2)], 1) * 80 + 128
    images = rng.normal(110, 30, (n, size, size, 3))
    down, right = np.mgrid[:size, :size]
    for image, label, (x, y) in zip(images, labels, rng.uniform(size * 0.3, size * 0.7, (n, 2)), strict=True):
        across = (abs(right - x), abs(down - y))
        inside = np.hypot(*across) < size / 4 if label % 2 else np.maximum(*across) < size / 4.5
        image[inside] = colours[label] + rng.normal(0, 20, (int(inside.sum()), 3))
    names = tuple(f"colour-{label:02}" for label in range(classes))
    return Dataset(images.clip(0, 255).astype(np.uint8), labels.astype(np.int64), names)


def load(row: Row, folder: Path) -> Dataset:
    """Images with their right labels; another part of the data for every seed."""
    if row.data == "shapes":
        return shapes(row.images, row.classes, row.seed)
    if row.data == "digits":
        digits = load_digits()
        images = np.repeat((digits.images * (255 / 16)).astype(np.uint8)[..., None], 3, axis=3)
        return Dataset(images, digits.target.astype(np.int64), tuple(map(str, range(10))))
    return _of_file(folder / f"{'cifar10-train' if row.data == 'cifar' else 'clothing'}.parquet", row.images, row.seed)


def _of_file(file: Path, n: int, seed: int) -> Dataset:
    from aumclean.dataset.open import open_samples
    from aumclean.dataset.read import read_samples

    samples = read_samples(file)
    names = np.array(samples.class_names)
    real = np.flatnonzero(~np.isin(names[samples.labels], ["Not sure", "Other", "Skip"]))
    chosen = np.sort(chance.generator(seed, "part").choice(real, min(n, len(real)), replace=False))
    images = open_samples(samples.take(chosen), 32, cached=False).images
    present, labels = np.unique(names[samples.labels[chosen]], return_inverse=True)
    return Dataset(np.array(images), labels.astype(np.int64), tuple(map(str, present)))


def made_wrong(row: Row, dataset: Dataset, folder: Path) -> np.ndarray:
    """The labels with noise, int64 [n]."""
    labels, c, rng = dataset.labels, len(dataset.class_names), chance.generator(row.seed, "corruption")
    match row.noise:
        case "none":
            return labels
        case "count":
            chosen = rng.choice(len(labels), int(row.rate), replace=False)
            noisy = labels.copy()
            noisy[chosen] = (noisy[chosen] + rng.integers(1, c, len(chosen))) % c
            return noisy
        case "uniform":
            return uniform_noise(labels, c, row.rate, rng)
        case "flip":
            return flip_noise(labels, c, row.rate, rng)
        case "instance":
            return instance_noise(labels, dataset.images, c, row.rate, rng)
        case "pairs":
            return pair_noise(labels, _targets(row, dataset), row.rate, rng)
    return annotated(dataset, row.rate, load(Row(**{**asdict(row), "seed": row.seed + 1000}), folder), rng)


def _targets(row: Row, dataset: Dataset) -> np.ndarray:
    pairs = DIGITS_PAIRS if row.data == "digits" else CIFAR_PAIRS
    target, place = np.arange(len(dataset.class_names)), {name: at for at, name in enumerate(dataset.class_names)}
    for pair in pairs:
        given, other = pair.split("=")
        target[place[given]] = place[other]
    return target


def write(dataset: Dataset, labels: np.ndarray, file: Path) -> None:
    """A Parquet file with images as a scan reads it."""
    import io

    from PIL import Image

    stored = []
    for number, image in enumerate(dataset.images):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "png")
        stored.append({"bytes": stream.getvalue(), "path": f"{number:06d}.png"})
    pq.write_table(pa.table({"image": stored, "label": [dataset.class_names[label] for label in labels]}), file)


def measure(row: Row, data: Path) -> dict[str, Any]:
    """Scan a row, and hold what is stated against the truth; to be called in a process of its own."""
    from aumclean.dataset.read import read_samples
    from aumclean.scanning.scan import scan

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = load(row, data)
        labels = made_wrong(row, dataset, data)
        write(dataset, labels, folder / "noisy.parquet")
        began = time.process_time()
        config = ScanConfig(out=folder / "run", seed=row.seed, cache_dir=folder / "cache", flip=row.data != "digits")
        verdict = scan(read_samples(folder / "noisy.parquet"), config).verdict
        assert verdict is not None
        seconds = time.process_time() - began
    report = verdict.report.sort_by("sample_id")
    wrong = labels != dataset.labels
    known = np.array(report["wrong_probability"].to_pylist(), float)
    return {**compared(known, np.array(report["flagged"].to_pylist(), bool), wrong, verdict.summary), "cpu": seconds}


def compared(p: np.ndarray, flagged: np.ndarray, wrong: np.ndarray, summary: Summary) -> dict[str, Any]:
    """Everything that is stated, and what is true; p is NaN where nothing is known."""
    p, count = np.nan_to_num(p), int(wrong.sum())
    rate, bins = summary.noise_rate, np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = [abs(p[bins == k].sum() - wrong[bins == k].sum()) for k in range(BINS)]
    first = np.argsort(-p, kind="stable")[:count]
    stated = {name: one.estimate for name, one in summary.flags.items()}
    hits = int((flagged & wrong).sum())
    return {
        "truth": float(wrong.mean()),
        "rate": rate.estimate,
        "low": rate.low,
        "high": rate.high,
        "inside": bool(rate.low is not None and rate.low <= wrong.mean() <= rate.high),
        "ece": float(sum(gaps) / len(p)),
        "brier": float(((p - wrong) ** 2).mean()),
        "auroc": float(roc_auc_score(wrong, p)) if count else None,
        "f1": 2 * hits / (int(flagged.sum()) + count) if count else None,
        "f1_at_true_count": float(wrong[first].mean()) if count else None,
        "flagged_share": float(flagged.mean()),
        "precision": hits / int(flagged.sum()) if flagged.any() else None,
        "precision_stated": stated.get("precision"),
        "recall": hits / count if count else None,
        "recall_stated": stated.get("recall"),
    }


def table(results: list[dict[str, Any]]) -> str:
    """A line of Markdown for every kind of row, means over its seeds."""
    head = (
        "data", "images", "noise", "scans", "true rate", "stated", "interval", "holds it", "calibration error", "F1",
        "possible", "flagged", "precision: true, stated", "recall: true, stated",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    kinds = dict.fromkeys(
        (one["data"], one["images"], one["classes"], one["noise"], one["rate_asked"]) for one in results
    )
    for data, images, classes, noise, asked in kinds:
        mine = [
            one
            for one in results
            if (one["data"], one["images"], one["classes"], one["noise"], one["rate_asked"])
            == (data, images, classes, noise, asked)
        ]

        def mean(name: str, digits: int = 3, mine: list[dict[str, Any]] = mine) -> str:
            known = [one[name] for one in mine if one[name] is not None]
            return f"{np.mean(known):.{digits}f}" if known else "-"

        cells = (
            f"{data}, {classes} classes", f"{images:,}", f"{noise} {asked:g}" if asked else noise, len(mine),
            mean("truth"), mean("rate"), f"{mean('low')} to {mean('high')}",
            f"{sum(one['inside'] for one in mine)} of {len(mine)}", mean("ece"), mean("f1"), mean("f1_at_true_count"),
            mean("flagged_share"), f"{mean('precision', 2)}, {mean('precision_stated', 2)}",
            f"{mean('recall', 2)}, {mean('recall_stated', 2)}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for name, of in (("random", RANDOM), ("directed", DIRECTED), ("annotator", {"annotator"})):
        mine = [one for one in results if one["noise"] in of]
        if mine:
            bias = [one["rate"] - one["truth"] for one in mine if one["rate"] is not None]
            held = np.mean([one["inside"] for one in mine])
            lines.append(
                f"\n{name}: {len(mine)} scans, interval holds the truth in {held:.0%}, bias {np.mean(bias):+.3f} "
                f"(largest {max(bias, key=abs):+.3f}), calibration error {np.mean([one['ece'] for one in mine]):.3f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="results, JSON lines; what is in it is not measured again")
    parser.add_argument("--table", type=Path, metavar="RESULTS", help="print the table of these results")
    parser.add_argument("--rows", default="shapes,digits")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--limit", type=int, help="scan at most so many now")
    options = parser.parse_args()
    if options.table is not None:
        print(table(read_results(options.table)))
        return
    if options.out is None:
        parser.error("OUT, or --table RESULTS")
    keys = ("data", "images", "classes", "noise", "rate_asked", "seed")
    done = {tuple(one[key] for key in keys) for one in read_results(options.out)}
    wanted = list(rows(options.rows.split(","), [int(seed) for seed in options.seeds.split(",")]))
    todo = [row for row in wanted if (row.data, row.images, row.classes, row.noise, row.rate, row.seed) not in done]
    for row in todo[: options.limit]:
        found = in_own_process(measure, row, options.data)
        about = {key: value for key, value in asdict(row).items() if key != "rate"} | {"rate_asked": row.rate}
        append_results(options.out, [{**about, **found}])
        print(
            json.dumps({**about, **{key: found[key] for key in ("truth", "rate", "low", "high", "f1", "ece")}}),
            flush=True,
        )


if __name__ == "__main__":
    main()
