"""Plain training against a test set, to see whether cleaning helped: manifests side by side, or the removal curve."""

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout

from aumclean import __version__, atomic
from aumclean.config import READING, ScanConfig
from aumclean.dataset.cache import decoded
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Samples
from aumclean.errors import ConfigError, DataError, OutputError, RunError
from aumclean.plan import Plan, settle
from aumclean.reports import csv, parquet
from aumclean.run import Run
from aumclean.training.device import describe
from aumclean.training.loop import BatchTrack, normalisation, train
from aumclean.training.predict import predict
from aumclean.verdict.judge import judge

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
RAW, ORACLE, RANDOM = "raw", "oracle", "random"
CONFIDENT = 1.96  # standard errors on either side: 95 %
LEARNED_NOTHING = 1.1  # times the share of the largest class

Score = Literal["aum", "label_score"]
Track = Callable[[Iterable[Any], str, int, int], Iterator[Any]]


def _untracked(stream: Iterable[Any], description: str, done: int, total: int) -> Iterator[Any]:
    return iter(stream)


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


@dataclass(frozen=True)
class _Images:
    """The readable samples of a data source, decoded; n of each."""

    samples: Samples
    pixels: np.ndarray  # uint8 [n, size, size, 3]
    content_hash: pa.Array

    def digest(self, kept: np.ndarray) -> str:
        """Of content and label of some samples (ascending int64 positions), wherever they lie."""
        digest = hashlib.sha256()
        labels = self.samples.label_names().take(pa.array(kept)).to_pylist()
        for content, label in zip(self.content_hash.take(pa.array(kept)).to_pylist(), labels, strict=True):
            digest.update(f"{content} {label}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def labels(self, class_names: Sequence[str]) -> np.ndarray:
        """int64 [n], index into `class_names`, which holds all of these samples' classes."""
        position = {name: index for index, name in enumerate(class_names)}
        own = np.array([position[name] for name in self.samples.class_names], np.int64)
        return own.take(self.samples.labels)


@dataclass(frozen=True)
class _Subject:
    """What a training sees: some samples of a data source."""

    name: str
    images: _Images
    kept: np.ndarray  # ascending int64 positions
    order: str | None = None  # by what samples were removed
    removed: int = 0

    def dataset(self, class_names: tuple[str, ...]) -> Dataset:
        labels, pixels = self.images.labels(class_names), self.images.pixels
        everything = len(self.kept) == len(labels)
        return Dataset(pixels if everything else pixels[self.kept], labels[self.kept], class_names)


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


def compare(
    manifests: Mapping[str, Samples], test: Samples, options: Options, out: Path, *, track: Track = _untracked
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
        images = _read(samples, plan, track)
        subjects.append(_Subject(name, images, np.arange(len(images.samples))))
    return _measure(subjects, test, options, plan, out, track)


def removal_curve(
    run: Run,
    test: Samples,
    options: Options,
    out: Path,
    *,
    percentages: Sequence[float] = (10, 20, 30, 40, 50, 60),
    by: Score = "aum",
    track: Track = _untracked,
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
    reading = {name: record["config"][name] for name in READING}
    reading["root"] = reading["root"] and Path(reading["root"])
    samples = read_samples(Path(record["data"]["source"]), **reading)
    plan = _settle(samples, options)
    images = _read(samples, plan, track)
    scanned = pq.read_table(run.samples, columns=["content_hash", "label"])
    found = pa.table({"content_hash": images.content_hash, "label": images.samples.label_names()})
    if not scanned.equals(found):
        raise RunError(f"{run.path}: the data in {record['data']['source']} have changed since; scan them anew")

    report, n = judge(run).report, len(images.samples)
    ranked = report.sort_by([(by, "ascending"), ("sample_id", "ascending")])["sample_id"].to_numpy()  # nulls come last
    chance = np.random.default_rng(options.seed).permutation(n)
    flagged = sum(value is True for value in report["flagged"].to_pylist())
    wished = {round(n * percentage / 100) for percentage in percentages} | {flagged}
    counts = [count for count in sorted(wished) if 0 < count <= n - 2]  # batch normalisation needs two images
    subjects = [_Subject(RAW, images, np.arange(n))]
    for count in counts:
        for name, order in ((by, ranked), (RANDOM, chance)):
            subjects.append(_Subject(f"{name}-{count}", images, np.sort(order[count:]), name, count))
    return _measure(subjects, test, options, plan, out, track)


def _settle(samples: Samples, options: Options) -> Plan:
    chosen = asdict(options)
    drops, warmup, _ = (chosen.pop(name) for name in ("drops", "warmup", "seeds"))
    plan = settle(samples, ScanConfig(preset="paper", **chosen))
    return replace(plan, recipe=replace(plan.recipe, drops=drops, warmup_epochs=warmup))


def _read(samples: Samples, plan: Plan, track: Track) -> _Images:
    found = decoded(
        samples,
        plan.image_size,
        workers=plan.workers,
        cache_dir=plan.cache_dir,
        limit_gib=ScanConfig().cache_limit,
        track=lambda chunks: track(chunks, f"decoding {samples.name}", 0, len(samples)),
    )
    bad = len(samples) - len(found.readable)
    if bad == len(samples):
        raise DataError(f"{samples.source}: none of its {bad} images can be read, {found.files['reason'][0]}")
    if bad:
        logger.warning("%s: %d of %d images cannot be read and are left out", samples.source, bad, len(samples))
    hashes = found.files["content_hash"].combine_chunks().take(pa.array(found.readable))
    return _Images(samples.take(found.readable), found.images, hashes)


def _measure(subjects: list[_Subject], test: Samples, options: Options, plan: Plan, out: Path, track: Track) -> Outcome:
    class_names = tuple(sorted({name for subject in subjects for name in subject.images.samples.class_names}))
    unknown = sorted(set(test.class_names) - set(class_names))
    if unknown:
        raise DataError(f"{test.source}: has the class '{unknown[0]}', which nothing that is trained on has")
    measured = _read(test, plan, track)
    true, epochs = measured.labels(class_names), plan.recipe.epochs
    total, done = sum(len(subject.kept) for subject in subjects) * options.seeds * epochs, 0
    trainings: list[dict[str, Any]] = []
    wrong: dict[str, list[np.ndarray]] = {subject.name: [] for subject in subjects}
    with _holding(out) if plan.accelerator.is_main_process else nullcontext():
        for seed in range(options.seed, options.seed + options.seeds):
            for subject in subjects:
                what = f"{subject.name}, seed {seed}" if options.seeds > 1 else subject.name
                training = _Training(subject, measured, class_names, seed, plan, out)
                row, predicted = training.result(_tracked(track, what, done, len(subject.kept), epochs, total))
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
            "results": _results(subjects, trainings, {name: np.stack(arrays) for name, arrays in wrong.items()}),
        }
        if plan.accelerator.is_main_process:
            atomic.write_json(out / "results.json", summary)
    return Outcome(pa.Table.from_pylist(trainings), summary, out)


def _warn_if_nothing_was_learned(row: dict[str, Any], subject: _Subject) -> None:
    largest = np.bincount(subject.images.samples.labels[subject.kept]).max() / len(subject.kept)
    if row["train_accuracy"] <= largest * LEARNED_NOTHING:
        logger.warning(
            "%s: the network is right on %.1f %% of the labels it was trained on, no more than by naming the largest "
            "class; lower --learning-rate or give --warmup 1",
            row["name"],
            100 * row["train_accuracy"],
        )


def _tracked(track: Track, what: str, done: int, size: int, epochs: int, total: int) -> BatchTrack:
    def tracked(batches: Iterable[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        return track(batches, f"{what}, epoch {epoch + 1}/{epochs}", done + epoch * size, total)

    return tracked


@contextmanager
def _holding(out: Path) -> Iterator[None]:
    """Make a folder of results, or take one that is there, and hold it for writing."""
    lock = FileLock(out / ".lock")
    try:
        if out.exists() and not (out / "trainings").is_dir() and any(out.iterdir()):
            raise ConfigError(f"--out {out}: exists and holds no trainings; choose another")
        (out / "trainings").mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{out}: another aumclean is writing to it; wait for it to end") from None
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({atomic.reason(error)}); choose another --out") from None
    try:
        atomic.remove_leftovers(out)
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class _Training:
    """One training, and where its result lies: under a name that all that went into it decides."""

    subject: _Subject
    test: _Images
    class_names: tuple[str, ...]
    seed: int
    plan: Plan
    out: Path

    def result(self, track: BatchTrack) -> tuple[dict[str, Any], np.ndarray]:
        """The row of the table, and the class (int64 [test images]) that the network takes each test image for."""
        file = self.out / "trainings" / f"{self._key()}.parquet"
        checkpoint = file.with_suffix(".pt")
        if not file.is_file():
            self._train(file, checkpoint, track)
        main = self.plan.accelerator.is_main_process
        self.plan.accelerator.wait_for_everyone()
        if main:
            checkpoint.unlink(missing_ok=True)
        try:
            table = pq.read_table(file)
            facts = json.loads(table.schema.metadata[b"aumclean"])
            position = {name: index for index, name in enumerate(self.class_names)}
            predicted = np.array([position[name] for name in table["predicted"].to_pylist()], np.int64)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{file}: is damaged ({error}); delete it to repeat this training") from None
        subject = self.subject
        names = {"name": subject.name, "order": subject.order, "removed": subject.removed, "seed": self.seed}
        return {**names, **facts}, predicted

    def _key(self) -> str:
        everything, recipe = np.arange(len(self.test.samples)), self.plan.recipe
        chosen = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
        unusual = {field.name for field in fields(recipe) if chosen[field.name] != field.default}
        parts = {
            "schema_version": SCHEMA_VERSION,
            "recipe": {name: chosen[name] for name in unusual},  # so that a later version's new options change nothing
            "image_size": self.plan.image_size,
            "device": self.plan.accelerator.device.type,
            "class_names": self.class_names,
            "seed": self.seed,
            "images": self.subject.images.digest(self.subject.kept),
            "test": self.test.digest(everything),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def _train(self, file: Path, checkpoint: Path, track: BatchTrack) -> None:
        dataset, recipe, accelerator = self.subject.dataset(self.class_names), self.plan.recipe, self.plan.accelerator
        begun, seconds = not checkpoint.is_file(), 0.0
        for epoch in train(
            dataset, recipe, seed=self.seed, accelerator=accelerator, checkpoint=checkpoint, track=track
        ):
            seconds += epoch.seconds
            logger.debug(
                "%s, epoch %d/%d: loss %.3f, accuracy on its own labels %.1f %%",
                self.subject.name, epoch.number + 1, recipe.epochs, epoch.loss, 100 * epoch.accuracy,
            )  # fmt: skip
            if epoch.number < recipe.epochs - 1 or not accelerator.is_main_process:
                continue
            mean, std = normalisation(dataset)
            device = accelerator.device
            predicted = predict(epoch.model, self.test.pixels, mean, std, mirror=False, device=device).argmax(1)
            facts = {
                "images": len(dataset),
                "error": float((predicted != self.test.labels(self.class_names)).mean()),
                "train_accuracy": epoch.accuracy,
                "seconds": seconds if begun else None,  # what went before a stop is not known
            }
            table = pa.table(
                {
                    "path": self.test.samples.paths,
                    "label": self.test.samples.label_names(),
                    "predicted": pa.array(self.class_names).take(pa.array(predicted)),
                },
                metadata={"aumclean": json.dumps(facts)},
            )
            atomic.write_bytes(file, parquet.to_parquet(table))  # before the last checkpoint: else it would be lost


def _results(
    subjects: list[_Subject], trainings: list[dict[str, Any]], wrong: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Per subject over all seeds; the first is what the others are compared with.

    Args:
        subjects: in order.
        trainings: one row per training.
        wrong: by name, bool [seeds, test images].
    """
    first = wrong[subjects[0].name].mean(0)
    gap = first.mean() - wrong[ORACLE].mean() if ORACLE in wrong else 0.0
    results = []
    for subject in subjects:
        rows = [row for row in trainings if row["name"] == subject.name]
        errors, own = [row["error"] for row in rows], wrong[subject.name].mean(0)
        fewer = first - own  # per test image, so that images that both get wrong do not blur the difference
        error = CONFIDENT * float(fewer.std(ddof=1)) / len(fewer) ** 0.5 if len(fewer) > 1 else 0.0
        better = {
            "estimate": float(fewer.mean()),
            "low": float(fewer.mean() - error),
            "high": float(fewer.mean() + error),
        }
        judged = gap > 0 and subject.name not in {subjects[0].name, ORACLE}
        results.append(
            {
                "name": subject.name,
                "order": subject.order,
                "removed": subject.removed,
                "images": rows[0]["images"],
                "error": float(np.mean(errors)),
                "deviation": float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
                "train_accuracy": float(np.mean([row["train_accuracy"] for row in rows])),
                "better_by": None if subject is subjects[0] else better,
                "gap_closed": float(fewer.mean() / gap) if judged else None,
            }
        )
    return results
