"""Data sets with planted label errors as every method of a benchmark sees them, true labels beside the given ones."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from aumclean.dataset.corrupt import TRUE_LABEL, corrupt
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples

IMBALANCE = 10.0
IMBALANCED_SHARE = 0.408  # of the images stay, of ten classes whose sizes fall to a tenth
CIFAR_PAIRS = ("truck=automobile", "bird=airplane", "deer=horse", "cat=dog", "dog=cat")
DIGITS_PAIRS = ("7=1", "2=7", "6=8", "3=5", "5=3")
KINDS = ("uniform", "flip", "pairs", "instance", "imbalanced", "annotator")


@dataclass(frozen=True)
class Noise:
    """How labels are made wrong.

    `flip` is the next class, whatever it is; `pairs` one class for another that is like it where such pairs are known,
    and else two neighbours for each other; `imbalanced` is uniform noise of classes whose sizes fall to a tenth;
    `annotator` is drawn from the softmax of a linear model of other images.
    """

    kind: str
    rate: float  # 0..1

    @classmethod
    def named(cls, name: str) -> "Noise":
        """The noise of a name such as `uniform40`, in per cent, or `none`."""
        found = re.fullmatch(rf"({'|'.join(KINDS)})([0-9]{{1,2}})", "uniform0" if name == "none" else name)
        if not found:
            raise SystemExit(f"--noise: no {name}; none, or one of {', '.join(KINDS)} with a number, as uniform40")
        return cls(found[1], int(found[2]) / 100)


def plant(data: str, folder: Path, noise: Noise, images: int, seed: int, leave_out: frozenset[str]) -> Path:
    """Write the Parquet file that all methods see.

    Args:
        data: a Parquet file with images, or `digits`.
        folder: for this file alone.
        noise: how its labels are made wrong.
        images: how many at most; of annotators at most half, the rest is what they learned from.
        seed: of the noise.
        leave_out: labels that are no class.
    """
    source, noisy = Path(data), folder / "noisy.parquet"
    if data == "digits":
        source = folder / "digits.parquet"
        write_digits(source)
    if leave_out:
        source = _without(source, leave_out, folder / "kept.parquet")
    if noise.kind == "annotator":
        return _annotate(source, noisy, noise.rate, images, seed)
    limit = round(images / IMBALANCED_SHARE) if noise.kind == "imbalanced" else images
    samples = read_samples(source, limit=limit)
    corrupt(
        samples,
        noisy,
        noise="uniform" if noise.kind == "imbalanced" else noise.kind,  # type: ignore[arg-type]
        rate=noise.rate,
        seed=seed,
        pairs=_pairs(samples.class_names) if noise.kind == "pairs" else (),
        imbalance=IMBALANCE if noise.kind == "imbalanced" else 1.0,
        cache_dir=folder / "cache",
    )
    return noisy


def write_digits(file: Path) -> None:
    """The 1,797 digits of scikit-learn with their right labels, as a Parquet file with images."""
    digits, images = load_digits(), []
    for number, pixels in enumerate(digits.images):
        stored = io.BytesIO()
        Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(stored, "png")
        images.append({"bytes": stored.getvalue(), "path": f"{number:04d}.png"})
    pq.write_table(pa.table({"image": images, "label": [str(label) for label in digits.target]}), file)


def truth(noisy: Path) -> tuple[pa.Array, pa.Array]:
    """Paths and true labels."""
    known = read_samples(noisy, label_column=TRUE_LABEL)
    return known.paths, known.label_names()


def _without(source: Path, leave_out: frozenset[str], kept: Path) -> Path:
    table = pq.read_table(source)
    left_out = pc.is_in(table["label"].cast(pa.string()), pa.array(sorted(leave_out)))
    pq.write_table(table.filter(pc.invert(left_out)), kept)
    return kept


def _pairs(class_names: tuple[str, ...]) -> tuple[str, ...]:
    for known in (CIFAR_PAIRS, DIGITS_PAIRS):
        if {name for pair in known for name in pair.split("=")} <= set(class_names):
            return known
    at_most = len(class_names) - 1
    return tuple(f"{name}={class_names[min(at ^ 1, at_most)]}" for at, name in enumerate(class_names))


def _annotate(source: Path, noisy: Path, rate: float, images: int, seed: int) -> Path:
    everything = read_samples(source)
    n = len(everything)
    mine = np.arange(seed % 2, n, 2)
    chosen = mine[np.linspace(0, len(mine) - 1, min(images, len(mine))).astype(int)]
    others = np.setdiff1d(np.arange(n), mine)
    others = others[np.linspace(0, len(others) - 1, min(images, len(others))).astype(int)]
    samples = everything.take(chosen)
    given = annotated(_small(samples), rate, _small(everything.take(others)), np.random.default_rng(seed))
    names = np.array(everything.class_names)
    table = pq.read_table(source).take(pa.array(chosen))
    column = table.column_names.index("label")
    table = table.set_column(column, "label", pa.array(names[given]))
    pq.write_table(table.append_column(TRUE_LABEL, pa.array(names[samples.labels])), noisy)
    return noisy


def _small(samples) -> Dataset:
    images = np.array(open_samples(samples, 32, cached=False).images)
    return Dataset(images, samples.labels, samples.class_names)


def annotated(dataset: Dataset, rate: float, others: Dataset, rng: np.random.Generator) -> np.ndarray:
    """Labels of somebody who errs where a picture is doubtful: right, or by the softmax of a model of other images."""
    seen = random_convolutions(others.images)
    centre, scale = seen.mean(0), seen.std(0) + 1e-6
    model = LogisticRegression(C=0.002, max_iter=60).fit((seen - centre) / scale, others.labels)
    said = np.zeros((len(dataset), len(dataset.class_names)))
    said[:, model.classes_] = model.predict_proba((random_convolutions(dataset.images) - centre) / scale)
    wrong = 1 - said[np.arange(len(dataset)), dataset.labels].mean()
    drawn = (rng.random((len(dataset), 1)) > said.cumsum(1)).sum(1).clip(0, said.shape[1] - 1)
    return np.where(rng.random(len(dataset)) < rate / wrong, drawn, dataset.labels)


def random_convolutions(images: np.ndarray, filters: int = 100) -> np.ndarray:
    """Means over quarters of the images of rectified random filters: float32 [n, 8 * filters]."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(filters, 5 * 5 * 3)).astype(np.float32)
    weights -= weights.mean(1, keepdims=True)
    pixels = images.astype(np.float32)
    pixels = (pixels - pixels.mean((1, 2, 3), keepdims=True)) / (pixels.std((1, 2, 3), keepdims=True) + 5)
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (5, 5), axis=(1, 2))[:, ::3, ::3]
    found = patches.reshape(*patches.shape[:3], -1) @ weights.T / 5
    half = found.shape[1] // 2
    quarters = [found[:, a, b] for a in (slice(half), slice(half, None)) for b in (slice(half), slice(half, None))]
    return np.concatenate(
        [np.maximum(sign * part - 0.5, 0).mean((1, 2)) for part in quarters for sign in (1, -1)], axis=1
    )
