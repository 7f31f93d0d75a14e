"""Manifests side by side, or the removal curve: trained alike, measured on the same test set."""

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from aumclean import __version__, atomic, csv
from aumclean.config import ScanConfig
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Samples
from aumclean.diagnostics.retraining.manifests import ORACLE, RAW
from aumclean.diagnostics.retraining.results import results
from aumclean.diagnostics.retraining.training import SCHEMA_VERSION, Training, holding
from aumclean.diagnostics.retraining.training_sets import Subject, read_images
from aumclean.errors import ConfigError, DataError, RunError
from aumclean.progress import Track, part_of, untracked
from aumclean.run import Run
from aumclean.scanning.plan import Plan, settle
from aumclean.training.device import describe
from aumclean.verdict.judge import judge

logger = logging.getLogger(__name__)

RANDOM = "random"
LEARNED_NOTHING = 1.1  # times the share of the largest class

Score = Literal["aum", "label_score"]


@dataclass(frozen=True)
class Options:
    """How to train: by default as the paper trains after removal (Pleiss et al. 2020, section 4 and appendix)."""

    epochs: int = 300
    batch_size: int = 256
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    drops: tuple[float, ...] = (0.5, 0.75)  # epochs 150 and 225 of 300
    warmup: int = 0  # epochs over which the rate rises; other networks than ResNet-32 may need one
    arch: str = "auto"
    image_size: int | None = None
    flip: bool = True
    seed: int = 0
    seeds: int = 1  # trainings per manifest, from `seed` on
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int | None = None
    cache_dir: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What was measured.

    Attributes:
        trainings: one row per training: name, order, removed, seed, images, error, train_accuracy, seconds.
        summary: the content of `results.json`: per manifest, or per point of the curve, over all seeds.
        path: the folder with both.
    """

    trainings: pa.Table
    summary: dict[str, Any]
    path: Path


def oracle(samples: Samples, column: str) -> Samples:
    """The samples whose label is right: what cleaning without a mistake would leave.

    Raises:
        ConfigError: when there is no such column.
    """
    if samples.manifest is None or column not in samples.manifest.column_names:
        raise ConfigError(f"--oracle: {samples.source} has no column '{column}' with the true labels (--true-column)")
    true = samples.manifest[column].take(pa.array(samples.rows)).to_pylist()
    right = [given == known for given, known in zip(samples.label_names().to_pylist(), true, strict=True)]
    return samples.take(np.flatnonzero(right))


def with_oracle(manifests: Mapping[str, Samples], column: str) -> dict[str, Samples]:
    """The manifests, and the oracle of the one called `raw` with them.

    Raises:
        ConfigError: as `oracle` does, or when one of them is called so.
    """
    if ORACLE in manifests:
        raise ConfigError("--oracle: there is a --compare oracle=... already; give one of them")
    return {**manifests, ORACLE: oracle(manifests[RAW], column)}


def compare(
    manifests: Mapping[str, Samples], test: Samples, options: Options, out: Path, *, track: Track = untracked
) -> Outcome:
    """Train on each manifest alike and measure the error on the same test set.

    Every training has the same number of epochs, as in the paper, so a manifest with fewer images has fewer steps.
    The error is that of the network as the last epoch leaves it: no epoch is chosen by looking at the test set.
    Trainings are stored in `out` by what went into them; those that are there already are not repeated, and one that
    was stopped goes on from its last epoch.

    Args:
        manifests: what to train on, by name; the first is what the others are compared with. If one is called `oracle`,
            the share of the gap between the first and it that the others close is given too.
        test: what to measure on; its labels should be right.
        options: how to train.
        out: folder of the results; made when missing.
        track: wraps streams of samples for a progress display.

    Raises:
        AumcleanError: when anything stands in the way.
    """
    first = next(iter(manifests.values()))
    plan = _settle(first, options)
    subjects = []
    for name, samples in manifests.items():
        images = read_images(samples, plan, track)
        subjects.append(Subject(name, images, np.arange(len(images.samples))))
    return _measure(subjects, test, options, plan, out, track)


def removal_curve(
    run: Run,
    test: Samples,
    options: Options,
    out: Path,
    *,
    percentages: Sequence[float] = (10, 20, 30, 40, 50, 60),
    by: Score = "aum",
    track: Track = untracked,
) -> Outcome:
    """Test error against the number of removed samples, the most suspect first and, for comparison, at random.

    The paper's figure 5. As there (asappresearch/aum, runner.py: `subset`, then `train`), what is left is trained on
    for the same number of epochs, not of steps. Beside the given points there is one at as many as the run flagged.

    Args:
        run: a finished scan; its data are trained on, with the labels they had.
        test: what to measure on.
        options: how to train.
        out: folder of the results.
        percentages: of the samples to remove, each above 0 and below 100.
        by: column of the report that says what is suspect.
        track: wraps streams of samples for a progress display.

    Raises:
        RunError: when the run is not finished, or its data have changed since.
        AumcleanError: as `compare` does.
    """
    run.require_finished()
    record = run.read()
    samples = read_samples(Path(record.data.source), **record.config.reading())
    plan = _settle(samples, options)
    images = read_images(samples, plan, track)
    scanned = pq.read_table(run.samples, columns=["content_hash", "label"])
    found = pa.table({"content_hash": images.content_hash, "label": images.samples.label_names()})
    if not scanned.equals(found):
        raise RunError(f"{run.path}: the data in {record.data.source} have changed since; scan them anew")

    report, n = judge(run).report, len(images.samples)
    ranked = report.sort_by([(by, "ascending"), ("sample_id", "ascending")])["sample_id"].to_numpy()  # nulls come last
    chance = np.random.default_rng(options.seed).permutation(n)
    flagged = sum(value is True for value in report["flagged"].to_pylist())
    wished = {round(n * percentage / 100) for percentage in percentages} | {flagged}
    counts = [count for count in sorted(wished) if 0 < count <= n - 2]  # batch normalisation needs two images
    subjects = [Subject(RAW, images, np.arange(n))]
    for count in counts:
        for name, order in ((by, ranked), (RANDOM, chance)):
            subjects.append(Subject(f"{name}-{count}", images, np.sort(order[count:]), name, count))
    return _measure(subjects, test, options, plan, out, track)


def _settle(samples: Samples, options: Options) -> Plan:
    chosen = asdict(options)
    drops, warmup, _ = (chosen.pop(name) for name in ("drops", "warmup", "seeds"))
    plan = settle(samples, ScanConfig(preset="paper", **chosen))
    return replace(plan, recipe=replace(plan.recipe, drops=drops, warmup_epochs=warmup))


def _measure(subjects: list[Subject], test: Samples, options: Options, plan: Plan, out: Path, track: Track) -> Outcome:
    class_names = tuple(sorted({name for subject in subjects for name in subject.images.samples.class_names}))
    unknown = sorted(set(test.class_names) - set(class_names))
    if unknown:
        raise DataError(f"{test.source}: has the class '{unknown[0]}', which nothing that is trained on has")
    measured = read_images(test, plan, track)
    true, epochs = measured.labels(class_names), plan.recipe.epochs
    total, done = sum(len(subject.kept) for subject in subjects) * options.seeds * epochs, 0
    trainings: list[dict[str, Any]] = []
    wrong: dict[str, list[np.ndarray]] = {subject.name: [] for subject in subjects}
    with holding(out) if plan.accelerator.is_main_process else nullcontext():
        for seed in range(options.seed, options.seed + options.seeds):
            for subject in subjects:
                what = f"{subject.name}, seed {seed}" if options.seeds > 1 else subject.name
                training = Training(subject, measured, class_names, seed, plan, out)
                row, predicted = training.result(part_of(track, what, done, total))
                done += len(subject.kept) * epochs
                trainings.append(row)
                _warn_if_nothing_was_learned(row, subject)
                wrong[subject.name].append(predicted != true)
                if plan.accelerator.is_main_process:
                    atomic.write_text(out / "results.csv", csv.to_csv(csv.guarded(pa.Table.from_pylist(trainings))))
        summary = {
            "schema_version": SCHEMA_VERSION,
            "aumclean": __version__,
            "torch": torch.__version__,
            "argv": sys.argv,
            "device": describe(plan.accelerator.device),
            "recipe": asdict(plan.recipe),
            "image_size": plan.image_size,
            "classes": len(class_names),
            "seeds": list(range(options.seed, options.seed + options.seeds)),
            "test": {"source": str(test.source), "images": len(measured.samples)},
            "results": results(subjects, trainings, {name: np.stack(arrays) for name, arrays in wrong.items()}),
        }
        if plan.accelerator.is_main_process:
            atomic.write_json(out / "results.json", summary)
    return Outcome(pa.Table.from_pylist(trainings), summary, out)


def _warn_if_nothing_was_learned(row: dict[str, Any], subject: Subject) -> None:
    largest = np.bincount(subject.images.samples.labels[subject.kept]).max() / len(subject.kept)
    if row["train_accuracy"] <= largest * LEARNED_NOTHING:
        logger.warning(
            "%s: the network is right on %.1f %% of the labels it was trained on, no more than by naming the largest "
            "class; lower --learning-rate or give --warmup 1",
            row["name"],
            100 * row["train_accuracy"],
        )
