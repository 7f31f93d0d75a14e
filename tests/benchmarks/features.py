"""Planted label errors found with a backbone: by a frozen scan, by both witnesses, and by others on the same features.

    uv run --group benchmark python tests/benchmarks/features.py DATA --out results.jsonl
        [--noise none,uniform10,uniform30,flip20,pairs20,instance20,annotator20] [--seeds 0,1,2]
        [--rows frozen,cleanlab,knn,fast,both] [--leave-out LABEL,...] [--images N]
    uv run python tests/benchmarks/features.py --table results.jsonl

DATA is a Parquet file with images. A noise is a kind and its rate in per cent; `flip` is the next class, `pairs`
mistakes two classes for each other, `directed` one class of CIFAR-10 for another that is like it, `imbalanced` is
uniform noise of classes whose sizes fall to a tenth, `annotator` is drawn from the softmax of a linear model of other
images. Features are computed once, into the cache, before anything is timed. Finished rows are not repeated.
`cleanlab` is its self-confidence and its own filter on cross-validated logistic regression of the scaled features,
with the best of three regularisations (by the true labels, which favours it); `knn` is the rule of SimiFeat, the
share of the 20 nearest with the label.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from calibration import annotated
from detection import CIFAR_PAIRS, IMBALANCE

from aumclean.config.reading import load
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.label_noise import flip_noise, imbalanced, instance_noise, pair_noise, uniform_noise
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.features.neighbours import rows_of
from aumclean.progress import untracked
from aumclean.scanning.features import look
from aumclean.scanning.scan import scan
from aumclean.training.device import make_accelerator
from aumclean.verdict.evaluate import ranking
from aumclean.verdict.neighbours import vote

NOISES = "none,uniform10,uniform30,flip20,pairs20,instance20,annotator20"
SCANS = {"frozen": {"preset": "frozen"}, "fast": {"features": "none"}, "both": {"features": "auto"}}
REGULARISATIONS = (1.0, 0.01, 0.001)


def plant(data: Path, leave_out: set[str], images: int | None, noise: str, seed: int, out: Path) -> np.ndarray:
    """Write the data with some labels wrong, and say which: bool [n]."""
    kind, rate = noise.rstrip("0123456789"), int(noise.lstrip("abcdefghijklmnopqrstuvwxyz") or 0) / 100
    table, rng = pq.read_table(data), np.random.default_rng(seed)
    labels = np.array(table["label"].cast(pa.string()).to_pylist())
    keep = np.flatnonzero(~np.isin(labels, list(leave_out)))
    names, of_kept = np.unique(labels[keep], return_inverse=True)
    if kind == "imbalanced":
        keep = keep[imbalanced(of_kept, IMBALANCE, np.random.default_rng(seed))]
    if images is not None and images < len(keep):
        keep = keep[np.arange(images) * len(keep) // images]
    elif kind == "annotator":  # of these the other half is what the annotator learned from
        keep = keep[seed % 2 :: 2]
    rest = np.setdiff1d(np.flatnonzero(np.isin(labels, names)), keep)
    rest = rest[:: max(1, len(rest) // len(keep))]
    true = np.searchsorted(names, labels[keep])

    def pixels(chosen: np.ndarray) -> Dataset:
        pq.write_table(table.take(pa.array(chosen)), out)
        images_of = np.array(open_samples(read_samples(out), 32, cached=False).images)
        return Dataset(images_of, np.searchsorted(names, labels[chosen]), tuple(names.tolist()))

    match kind:
        case "none" | "uniform" | "imbalanced":
            given = uniform_noise(true, len(names), rate, rng)
        case "flip":
            given = flip_noise(true, len(names), rate, rng)
        case "pairs":
            given = pair_noise(true, np.minimum(np.arange(len(names)) ^ 1, len(names) - 1), rate, rng)
        case "directed":
            place = {name: at for at, name in enumerate(names)} | {at: at for at in range(len(names))}
            target = np.arange(len(names))
            for one, other in (pair.split("=") for pair in CIFAR_PAIRS):
                target[place[one]] = place[other]
            given = pair_noise(true, target, rate, rng)
        case "instance":
            given = instance_noise(true, pixels(keep).images, len(names), rate, rng)
        case "annotator":
            given = annotated(pixels(keep), rate, pixels(rest), rng)
        case _:
            raise SystemExit(f"--noise: {noise} is not known")
    column = table.column_names.index("label")
    noisy = table.take(pa.array(keep)).set_column(column, "label", pa.array(names[given].tolist()))
    pq.write_table(noisy, out)
    return np.asarray(given != true)


def measured(suspicion: np.ndarray, flagged: np.ndarray | None, wrong: np.ndarray) -> dict[str, float | None]:
    """AUROC, average precision, F1 at the true count and of the flags, and the share that is flagged."""
    found = ranking(suspicion, wrong)
    if flagged is not None:
        hits, count = int((flagged & wrong).sum()), int(flagged.sum() + wrong.sum())
        found |= {"f1": 2 * hits / count if count else None, "flagged": float(flagged.mean())}
    return found


def by_scan(noisy: Path, options: dict, wrong: np.ndarray, out: Path) -> dict[str, float | None]:
    settled = load({"out": out, **options}, environment={})
    started = time.process_time()
    verdict = scan(read_samples(noisy), settled).verdict
    report = verdict.report.sort_by("sample_id")
    flagged = pc.fill_null(report["flagged"], False).to_numpy()
    rate = verdict.summary.noise_rate
    found = measured(-report["label_score"].to_numpy(), flagged, wrong)
    return found | {"seconds": time.process_time() - started, "rate": rate.estimate, "low": rate.low, "high": rate.high}


def by_peer(row: str, looked, wrong: np.ndarray) -> dict[str, float | None]:
    started, labels, n_classes = time.process_time(), looked.dataset.labels, len(looked.dataset.class_names)
    if row == "knn":
        suspicion = -vote(looked.near, labels, n_classes)[np.arange(len(labels)), labels]
        return measured(suspicion, None, wrong) | {"seconds": time.process_time() - started}
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds, tried = StratifiedKFold(5, shuffle=True, random_state=0), []
    for strength in REGULARISATIONS:
        model = LogisticRegression(C=strength, max_iter=300)
        said = cross_val_predict(model, rows_of(looked.dataset), labels, cv=folds, method="predict_proba")
        tried.append(measured(-get_label_quality_scores(labels, said), find_label_issues(labels, said), wrong))
    best = max(tried, key=lambda one: (one["auroc"] or 0.0) - (one["flagged"] if not wrong.any() else 0))
    return best | {"seconds": (time.process_time() - started) / len(REGULARISATIONS)}


def table(results: list[dict]) -> str:
    measures = ("auroc", "average_precision", "f1_at_true_count", "f1", "flagged", "rate", "seconds")
    rows = defaultdict(list)
    for one in results:
        rows[one["noise"], one["row"]].append(one)
    lines = [f"| noise | row | n | {' | '.join(measures)} |", "| --- " * (len(measures) + 3) + "|"]
    for (noise, row), found in sorted(rows.items()):
        values = [[one[name] for one in found if one.get(name) is not None] for name in measures]
        cells = [f"{np.mean(value):.4g}" if value else "" for value in values]
        lines.append(f"| {noise} | {row} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--noise", default=NOISES)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", default="frozen,cleanlab,knn")
    parser.add_argument("--leave-out", default="")
    parser.add_argument("--images", type=int)
    given = parser.parse_args()
    if given.table:
        print(table([json.loads(line) for line in given.table.read_text().splitlines()]))
        return
    done = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    finished = {(one["noise"], one["seed"], one["row"]) for one in done}
    folder = given.out.with_suffix("")
    folder.mkdir(exist_ok=True)
    accelerator = make_accelerator("auto")
    for noise in given.noise.split(","):
        for seed in map(int, given.seeds.split(",")):
            todo = [row for row in given.rows.split(",") if (noise, seed, row) not in finished]
            if not todo:
                continue
            noisy = folder / f"{noise}-{seed}.parquet"
            wrong = plant(given.data, set(given.leave_out.split(",")), given.images, noise, seed, noisy)
            settled = load({"image_size": 32}, environment={})
            looked = look(open_samples(read_samples(noisy), 32), "auto", settled, accelerator, untracked)
            for row in todo:
                run = folder / f"{noise}-{seed}-{row}"
                found = by_scan(noisy, SCANS[row], wrong, run) if row in SCANS else by_peer(row, looked, wrong)
                with given.out.open("a") as out:
                    out.write(json.dumps({"noise": noise, "seed": seed, "row": row, **found}) + "\n")
                print(noise, seed, row, {name: value and round(value, 4) for name, value in found.items()}, flush=True)


if __name__ == "__main__":
    main()
