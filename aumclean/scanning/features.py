"""What a backbone adds to a scan: features of every image, near-duplicates, and a second witness of every label.

features.json                 which backbone, see `aumclean.run.features`
neighbours.parquet            near-duplicates and nearest others, see `aumclean.verdict.neighbours`
held_out/features.parquet     how likely each class is by a discriminant that was not taught the sample's label
models/features.safetensors   the discriminant of all samples, for `score`
"""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa
import safetensors
import safetensors.numpy
from accelerate import Accelerator

from aumclean import machine
from aumclean.config.scan import ScanConfig
from aumclean.dataset.cache import default_cache_dir
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import Opened, as_bytes, open_configured
from aumclean.dataset.read import read_samples
from aumclean.dataset.rows import Rows, read_rows
from aumclean.errors import RunError
from aumclean.features import own
from aumclean.features.discriminant import FOLDS, SHRINKAGES, Discriminant, by_halves, folds, in_folds, of_all
from aumclean.features.extract import extract
from aumclean.features.near import grouped, near_pairs
from aumclean.features.neighbours import nearest, rows_of, scaled
from aumclean.features.pixels import PIXELS, of_pixels
from aumclean.files import atomic
from aumclean.files.location import expanded
from aumclean.files.records import read_record
from aumclean.margins.held_out import HeldOut, write_held_out
from aumclean.progress import Track
from aumclean.run.directory import Run
from aumclean.run.features import FeaturesRecord
from aumclean.training.backbone import load_backbone
from aumclean.training.loop import normalisation
from aumclean.verdict.anchors import corrected
from aumclean.verdict.label_noise import evenly, fit
from aumclean.verdict.neighbours import Near, vote, write_near

CORRECTIONS = 2  # of the labels at most, before the discriminant is taught them again (docs/lab/features.md)
NEIGHBOURS = 20  # of each sample; with 40 AUROC is .0005 higher on clothing, with 10 .0005 lower


@dataclass(frozen=True)
class Looked:
    """What a backbone says of n images.

    Attributes:
        about: which backbone.
        dataset: features, float16 [n, views, width], with the given labels.
        near: near-duplicates and nearest others.
        fold: int32 [n], which fold each is in.
    """

    about: FeaturesRecord
    dataset: Dataset
    near: Near
    fold: np.ndarray


def look(
    opened: Opened, name: str, config: ScanConfig, accelerator: Accelerator, track: Track, run: Run | None = None
) -> Looked:
    """Look at all images through a backbone, or read what the user's own said of them.

    Args:
        opened: n images.
        name: `auto`, `timm:NAME`, `torchvision:NAME`, `pixels` or a file.
        config: where caches are, how many processes decode, and whether mirrored images count.
        accelerator: device and processes.
        track: shows the progress.
        run: that goes on, with the same backbone.

    Raises:
        RunError: when that run was begun with another backbone.
        ConfigError, DataError: when the backbone, its weights or the file cannot be used.
    """
    if own.is_own(name):
        return look_at_own(opened, read_rows(expanded(name), "features"), accelerator, track)
    if name == PIXELS:
        return _without_backbone(opened, PIXELS, of_pixels(opened.images), accelerator, track)
    about, dataset = through_backbone(opened, name, config, accelerator, track, run)
    rows = rows_of(dataset)
    neighbours = nearest(rows, NEIGHBOURS, accelerator.device, track)
    group = grouped(len(rows), near_pairs(opened.images, neighbours))
    leaked = _leaked_from(opened, dataset, rows, name, config, accelerator, track)
    return _looked(opened, about, dataset, Near(group, leaked, neighbours.sample, neighbours.similarity))


def look_at_own(opened: Opened, given: Rows, accelerator: Accelerator, track: Track) -> Looked:
    """Take features that the user made for what a backbone says.

    Args:
        opened: n samples, images or not.
        given: features.
        accelerator: device and processes.
        track: shows the progress.

    Raises:
        DataError: when they do not fit the samples.
    """
    return _without_backbone(opened, given.name, own.in_order(given, opened.samples.paths), accelerator, track)


def _without_backbone(
    opened: Opened, name: str, features: np.ndarray, accelerator: Accelerator, track: Track
) -> Looked:
    """What such features say. Nobody measured what their cosines mean, so near-duplicates are identical files."""
    dataset = _with_features(opened, features)
    about = FeaturesRecord(name=name, sha256=sha256(dataset.images.data).hexdigest(), width=dataset.size)
    neighbours = nearest(rows_of(dataset), NEIGHBOURS, accelerator.device, track)
    content = opened.files["sha256"].combine_chunks().dictionary_encode().indices.to_numpy()
    group = np.unique(content, return_index=True)[1][content].astype(np.int32)
    return _looked(opened, about, dataset, Near(group, None, neighbours.sample, neighbours.similarity))


def _looked(opened: Opened, about: FeaturesRecord, dataset: Dataset, near: Near) -> Looked:
    return Looked(about, dataset, near, folds(near.group, as_bytes(opened.files["sha256"])))


def _leaked_from(
    opened: Opened,
    dataset: Dataset,
    rows: np.ndarray,
    name: str,
    config: ScanConfig,
    accelerator: Accelerator,
    track: Track,
) -> pa.Array | None:
    """For each image its near-duplicate among the data of `--against`: strings, mostly null; None without such data."""
    if config.against is None:
        return None
    against = read_samples(config.against, **config.reading())
    others = open_configured(against, opened.images.shape[1], config, one_class=True, track=track)
    _, theirs = through_backbone(others, name, config, accelerator, track)
    scale = (np.array(values, np.float32) for values in normalisation(dataset))
    near = nearest(scaled(theirs, *scale), NEIGHBOURS, accelerator.device, track, among=rows)
    pairs = near_pairs(others.images, near, opened.images)
    found = np.full(len(rows), None, object)
    found[pairs.second] = others.samples.paths.take(pa.array(pairs.first)).to_pylist()
    return pa.array(found, pa.string())


def through_backbone(
    opened: Opened, name: str, config: ScanConfig, accelerator: Accelerator, track: Track, run: Run | None = None
) -> tuple[FeaturesRecord, Dataset]:
    """Features by a backbone, which must be that of the run if one is given: that is known before any image is seen."""
    backbone = load_backbone(name)
    about = FeaturesRecord(
        name=name,
        sha256=backbone.sha256,
        licence=backbone.licence,
        image_size=backbone.image_size,
        width=backbone.width,
    )
    if run is not None:
        require_same(run, about)
    features = extract(
        opened,
        backbone,
        cache_dir=config.cache_dir or default_cache_dir(),
        limit_gib=config.cache_limit,
        workers=config.workers or machine.cpus(),
        accelerator=accelerator,
        track=track,
    )
    return about, _with_features(opened, features[:, : 2 if config.flip else 1])


def _with_features(opened: Opened, features: np.ndarray) -> Dataset:
    return Dataset(features, opened.samples.labels.astype(np.int64), opened.samples.class_names)


def looked_at(opened: Opened, run: Run, accelerator: Accelerator, track: Track) -> Dataset | None:
    """The features of new images as those of a run were made, with the labels they were opened with.

    Returns:
        None when the run has no features.

    Raises:
        RunError: when its features were read from a file, or its backbone is another one now.
    """
    record = run.read_scan()
    if record.features is None:
        return None
    if own.is_own(record.features):
        raise RunError(f"{run.path}: its features were read from {record.features}, which has none of new images")
    if record.features == PIXELS:
        return _with_features(opened, of_pixels(opened.images))
    return through_backbone(opened, record.features, record.config, accelerator, track, run)[1]


def discriminant_of(run: Run) -> tuple[Discriminant, np.ndarray, np.ndarray]:
    """The discriminant of all samples of a run, and the mean and deviation of the features that it takes.

    Raises:
        RunError: when it is missing or damaged.
    """
    try:
        stored = safetensors.numpy.load_file(run.discriminant)
        return Discriminant(stored["weights"], stored["bias"]), stored["mean"], stored["std"]
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise RunError(f"{run.discriminant}: cannot be read ({' '.join(str(error).split())}); scan again") from None


def write_evidence(run: Run, looked: Looked) -> None:
    """Write what the features say of every label: all that judging needs of them.

    Raises:
        RunError: when the run was begun with other features.
    """
    if run.features.is_file():
        require_same(run, looked.about)
        if run.held_out_features.is_file():
            return
    dataset, n_classes = looked.dataset, len(looked.dataset.class_names)
    rows, fold = rows_of(dataset), looked.fold
    of_fold = in_folds(rows, dataset.labels, n_classes, fold, SHRINKAGES)
    some = evenly(len(rows))
    said = [_said(rows, fold, [one[at] for one in of_fold], some) for at in range(len(SHRINKAGES))]
    gains = [fit(log_probs[None], dataset.labels[some]).gain for log_probs in said]
    best = int(np.argmax(gains))
    shrinkage = SHRINKAGES[best]
    taught, log_probs = _corrected(rows, looked, shrinkage, [one[best] for one in of_fold])
    write_near(run.neighbours, looked.near)
    _write_discriminant(run, dataset, of_all(rows, taught, n_classes, shrinkage))
    about = looked.about.model_copy(update={"shrinkage": shrinkage})
    atomic.write_json(run.features, about.model_dump(mode="json"))
    peers = by_halves(rows, taught, n_classes, fold, shrinkage)
    held = HeldOut(np.arange(len(rows)), fold, log_probs, peers)
    write_held_out(run.held_out_features, held)  # last: it says that all is there


def _corrected(
    rows: np.ndarray, looked: Looked, shrinkage: float, of_fold: list[Discriminant]
) -> tuple[np.ndarray, np.ndarray]:
    """What the discriminants are taught in the end, and what they say of samples of the other folds.

    Args:
        rows, looked, shrinkage: of what they are made.
        of_fold: those that were taught the labels as given.

    Returns:
        The labels, int [n], of which errors with a direction are corrected; log-probabilities, float32 [n, classes].
    """
    given, n_classes = looked.dataset.labels, len(looked.dataset.class_names)
    fold, everyone = looked.fold, np.arange(len(rows))
    voted = vote(looked.near, given, n_classes)
    taught, log_probs = given, _said(rows, fold, of_fold, everyone)
    for _ in range(CORRECTIONS):
        better = corrected(np.stack([log_probs, voted]), given)
        if np.array_equal(better, taught):
            break
        of_fold = [only for (only,) in in_folds(rows, better, n_classes, fold, [shrinkage])]
        taught, log_probs = better, _said(rows, fold, of_fold, everyone)
    return taught, log_probs


def _said(rows: np.ndarray, fold: np.ndarray, of_fold: list[Discriminant], samples: np.ndarray) -> np.ndarray:
    """Log-probabilities of samples (int [m]), each by the discriminant of the other folds: float32 [m, classes]."""
    found = np.empty((len(samples), len(of_fold[0].bias)), np.float32)
    for number in range(FOLDS):
        inside = np.flatnonzero(fold[samples] == number)
        found[inside] = of_fold[number].log_probs(rows[samples[inside]])
    return found


def require_same(run: Run, about: FeaturesRecord) -> None:
    """Refuse to go on in a run, or to judge for it, with other features.

    Raises:
        RunError: when weights or features are not those that the run was begun with.
    """
    known = read_record(run.features, FeaturesRecord)
    if (known.sha256, known.image_size) != (about.sha256, about.image_size):
        raise RunError(
            f"{run.path}: was begun with other features ({known.name}, SHA-256 {known.sha256[:12]}..., now "
            f"{about.sha256[:12]}...); give the same weights, or scan anew"
        )


def _write_discriminant(run: Run, dataset: Dataset, found: Discriminant) -> None:
    mean, std = normalisation(dataset)
    tensors = {
        "weights": found.weights,
        "bias": found.bias,
        "mean": np.array(mean, np.float32),
        "std": np.array(std, np.float32),
    }
    atomic.write_bytes(run.discriminant, safetensors.numpy.save(tensors))
