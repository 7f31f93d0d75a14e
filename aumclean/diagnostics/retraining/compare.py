"""Manifests side by side, or the removal curve: trained alike, measured on the same test set."""

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch

from aumclean import __version__
from aumclean.dataset.open import read_scanned
from aumclean.dataset.samples import Samples
from aumclean.diagnostics.retraining.manifests import ORACLE, RAW
from aumclean.diagnostics.retraining.options import Options, Setting
from aumclean.diagnostics.retraining.record import Comparison, Tested, Trained
from aumclean.diagnostics.retraining.results import results
from aumclean.diagnostics.retraining.training import Subject, Training
from aumclean.diagnostics.store import Store, holding
from aumclean.errors import ConfigError, DataError
from aumclean.files import atomic, csv
from aumclean.progress import Track, by_default, part_of, untracked
from aumclean.run.directory import Run
from aumclean.training.device import describe
from aumclean.verdict.judge import judge

logger = logging.getLogger(__name__)

RANDOM = "random"
COLUMNS = ["name", "order", "removed", "seed", "images", "error", "train_accuracy", "seconds"]
LEARNED_NOTHING = 1.1  # times the share of the largest class

Score = Literal["aum", "label_score"]


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
    manifests: Mapping[str, Samples], test: Samples, options: Options, out: Path, *, track: Track = by_default
) -> Comparison:
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
        out: folder of the results; made when missing: `results.json` and, with a row per training, `results.csv`.
        track: wraps streams of samples for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    setting = Setting.of(next(iter(manifests.values())), options)
    subjects = []
    for name, samples in manifests.items():
        opened = options.open(samples, setting.image_size, track)
        subjects.append(Subject(name, opened, np.arange(len(opened))))
    return _measure(subjects, test, options, setting, out, track)


def removal_curve(
    run: Run,
    test: Samples,
    options: Options,
    out: Path,
    *,
    percentages: Sequence[float] = (10, 20, 30, 40, 50, 60),
    by: Score = "aum",
    track: Track = untracked,
) -> Comparison:
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
    samples = read_scanned(run)
    setting = Setting.of(samples, options)
    opened = options.open(samples, setting.image_size, track)
    opened.require_unchanged(run)

    report, n = judge(run).report, len(opened)
    ranked = report.sort_by([(by, "ascending"), ("sample_id", "ascending")])["sample_id"].to_numpy()  # nulls come last
    chance = np.random.default_rng(options.seed).permutation(n)
    flagged = sum(value is True for value in report["flagged"].to_pylist())
    wished = {round(n * percentage / 100) for percentage in percentages} | {flagged}
    counts = [count for count in sorted(wished) if 0 < count <= n - 2]  # batch normalisation needs two images
    subjects = [Subject(RAW, opened, np.arange(n))]
    for count in counts:
        for name, order in ((by, ranked), (RANDOM, chance)):
            subjects.append(Subject(f"{name}-{count}", opened, np.sort(order[count:]), name, count))
    return _measure(subjects, test, options, setting, out, track)


def _measure(
    subjects: list[Subject], test: Samples, options: Options, setting: Setting, out: Path, track: Track
) -> Comparison:
    class_names = tuple(sorted({name for subject in subjects for name in subject.opened.samples.class_names}))
    unknown = sorted(set(test.class_names) - set(class_names))
    if unknown:
        raise DataError(f"{test.source}: has the class '{unknown[0]}', which nothing that is trained on has")
    recipe, accelerator = setting.recipe, setting.accelerator
    measured = options.open(test, setting.image_size, track, one_class=True)
    true = measured.dataset().with_classes(class_names).labels
    total, done = sum(len(subject.kept) for subject in subjects) * options.seeds * recipe.epochs, 0
    trainings: list[Trained] = []
    wrong: dict[str, list[np.ndarray]] = {subject.name: [] for subject in subjects}
    with holding(out) if accelerator.is_main_process else nullcontext(Store(out)) as store:
        for seed in range(options.seed, options.seed + options.seeds):
            for subject in subjects:
                what = f"{subject.name}, seed {seed}" if options.seeds > 1 else subject.name
                training = Training(subject, measured, class_names, seed, recipe, accelerator, store)
                row, predicted = training.result(part_of(track, what, done, total))
                done += len(subject.kept) * recipe.epochs
                trainings.append(row)
                _warn_if_nothing_was_learned(row, subject)
                wrong[subject.name].append(predicted != true)
                if accelerator.is_main_process:
                    table = pa.Table.from_pylist([one.model_dump() for one in trainings]).select(COLUMNS)
                    csv.save(out / "results.csv", table)
        summary = Comparison(
            aumclean=__version__,
            torch=torch.__version__,
            argv=sys.argv,
            device=describe(accelerator.device),
            recipe=recipe,
            image_size=setting.image_size,
            classes=len(class_names),
            seeds=list(range(options.seed, options.seed + options.seeds)),
            test=Tested(source=str(test.source), images=len(measured)),
            results=results(subjects, trainings, {name: np.stack(arrays) for name, arrays in wrong.items()}),
        )
        if accelerator.is_main_process:
            atomic.write_json(out / "results.json", summary.model_dump(mode="json"))
    return summary


def _warn_if_nothing_was_learned(row: Trained, subject: Subject) -> None:
    largest = np.bincount(subject.opened.samples.labels[subject.kept]).max() / len(subject.kept)
    if row.train_accuracy <= largest * LEARNED_NOTHING:
        logger.warning(
            "%s: the network is right on %.1f%% of the labels it was trained on, no more than by naming the largest "
            "class; lower --learning-rate or give --warmup 1",
            row.name,
            100 * row.train_accuracy,
        )
