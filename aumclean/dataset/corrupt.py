"""Write a manifest whose labels are partly wrong, with the true ones beside them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from aumclean import chance
from aumclean.dataset.crops import Crops
from aumclean.dataset.images import Embedded, Files
from aumclean.dataset.label_noise import flip_noise, imbalanced, instance_noise, pair_noise, uniform_noise
from aumclean.dataset.open import open_samples
from aumclean.dataset.samples import Samples
from aumclean.dataset.table import columnar_file, with_folders
from aumclean.errors import ConfigError, DataError, did_you_mean
from aumclean.files import atomic
from aumclean.progress import Track, untracked

Noise = Literal["uniform", "flip", "pairs", "instance"]
TRUE_LABEL = "true_label"
STREAMED_ROWS = 1024
PICTURE = 32  # side in pixels at which instance-dependent noise sees the images


@dataclass(frozen=True)
class Corrupted:
    """A manifest with known label noise."""

    file: Path
    samples: int
    wrong: int  # how many labels differ from the true ones
    root: Path | None  # what to scan it with as --root; None when its paths are relative to its own folder


def corrupt(
    samples: Samples,
    out: Path,
    *,
    noise: Noise,
    rate: float,
    seed: int = 0,
    pairs: Sequence[str] = (),
    imbalance: float = 1.0,
    cache_dir: Path | None = None,
    verify: bool = False,
    track: Track = untracked,
) -> Corrupted:
    """Plant label noise and write the manifest; the images and the source are not touched.

    Args:
        samples: whose labels to corrupt.
        out: `.csv` or `.parquet`; `.parquet` where the images are in the table.
        noise: `uniform` over the other classes, `flip` to the next class, `pairs` as listed, or `instance`: by what
            the picture shows.
        rate: probability of a wrong label, 0..1.
        seed: of the choice.
        pairs: for `pairs`, entries `FROM=TO`; classes that are not named keep their labels.
        imbalance: keep so few samples that the first class is so many times as large as the last.
        cache_dir, verify: for `instance`, as of `open_samples`.
        track: shows the progress.

    Raises:
        ConfigError: for a rate, a pair or an imbalance that makes no sense, or an ending that does not fit.
    """
    _refuse(samples, out, noise, rate, pairs, imbalance)
    if imbalance > 1:
        samples = samples.take(imbalanced(samples.labels, imbalance, chance.generator(seed, "imbalance")))
    labels, n_classes, rng = samples.labels, len(samples.class_names), chance.generator(seed, "corruption")
    match noise:
        case "uniform":
            noisy = uniform_noise(labels, n_classes, rate, rng)
        case "flip":
            noisy = flip_noise(labels, n_classes, rate, rng)
        case "pairs":
            noisy = pair_noise(labels, _targets(samples.class_names, pairs), rate, rng)
        case "instance":
            noisy = instance_noise(labels, _pictures(samples, cache_dir, verify, track), n_classes, rate, rng)
    given = pa.array(samples.class_names).take(pa.array(noisy))

    root = None
    if isinstance(samples.images, Embedded):
        _write_embedded(samples, given, out)
    else:
        table, root = _relocated(samples, given, out)
        with atomic.replacing(out) as temporary:
            if out.suffix == ".csv":
                pa.csv.write_csv(table, temporary, pa.csv.WriteOptions(quoting_style="needed"))
            else:
                pq.write_table(table, temporary, compression="zstd")
    return Corrupted(out, len(samples), int((noisy != samples.labels).sum()), root)


def _refuse(samples: Samples, out: Path, noise: Noise, rate: float, pairs: Sequence[str], imbalance: float) -> None:
    if not 0 <= rate <= 1:
        raise ConfigError(f"--rate: {rate:g} is not between 0 and 1")
    if not 1 <= imbalance < np.inf:
        raise ConfigError(f"--imbalance: {imbalance:g} is no ratio of 1 (all images stay) or more")
    if (noise == "pairs") != bool(pairs):
        raise ConfigError("--pair FROM=TO goes with --noise pairs, at least once")
    if isinstance(samples.images, Crops):
        raise DataError(f"{samples.source}: its samples are boxes; cut them out with aumclean clean RUN --copy-to DIR")
    if not isinstance(samples.images, Embedded | Files):
        raise DataError(f"{samples.source}: its images are no files of this machine; unpack or copy them first")
    endings = (".parquet",) if isinstance(samples.images, Embedded) else (".csv", ".parquet")
    if out.suffix not in endings:
        raise ConfigError(f"--out {out}: must end in {' or '.join(endings)}")
    if out.exists():
        raise ConfigError(f"--out {out}: exists; choose another")
    if samples.manifest is not None and TRUE_LABEL in samples.manifest.column_names:
        raise DataError(f"{samples.name}: has a column '{TRUE_LABEL}' already; corrupt the original instead")


def _pictures(samples: Samples, cache_dir: Path | None, verify: bool, track: Track) -> np.ndarray:
    """Small images of all samples, uint8 [n, 32, 32, 3].

    Raises:
        DataError: when one cannot be read: without its picture it is unknown what it is mistaken for.
    """
    opened = open_samples(samples, PICTURE, cache_dir=cache_dir, verify=verify, one_class=True, track=track)
    if bad := len(opened.unreadable):
        path, reason = (opened.unreadable[name][0] for name in ("path", "reason"))
        raise DataError(
            f"{path}: {reason}; --noise instance must see every image, and {bad} cannot be read: mend or remove them"
        )
    return opened.images


def _targets(class_names: tuple[str, ...], pairs: Sequence[str]) -> np.ndarray:
    index = {name: position for position, name in enumerate(class_names)}
    target = np.arange(len(class_names))
    for pair in pairs:
        known = [name for name in index if pair.startswith(f"{name}=") and pair[len(name) + 1 :] in index]
        if not known:
            names = pair.split("=", 1)
            strange = next((name for name in names if name not in index), pair)
            raise ConfigError(f"--pair {pair}: no class '{strange}'{did_you_mean(strange, class_names)}; say FROM=TO")
        target[index[known[0]]] = index[pair[len(known[0]) + 1 :]]
    return target


def _relocated(samples: Samples, given: pa.Array, out: Path) -> tuple[pa.Table, Path | None]:
    """The manifest with paths relative to its own folder where that is possible, else to the data's root."""
    assert isinstance(samples.root, Path)
    prefix = os.path.relpath(samples.root.absolute(), out.parent.absolute()).replace(os.sep, "/")
    below = not prefix.startswith("..")
    stem = "" if prefix == "." else f"{prefix}/"
    paths = pa.array([stem + path for path in samples.paths.to_pylist()], pa.string()) if below else samples.paths
    columns = {"path": paths, "label": given, TRUE_LABEL: samples.label_names()}
    return pa.table(columns), None if below else samples.root


def _write_embedded(samples: Samples, given: pa.Array, out: Path) -> None:
    assert isinstance(samples.images, Embedded)
    column, first_file = samples.label_column, samples.images.files[0]
    before = with_folders(columnar_file(first_file).schema_arrow.empty_table(), first_file, samples.source).schema
    schema = pa.schema(
        [pa.field(field.name, pa.string()) if field.name == column else field for field in before]
    ).append(pa.field(TRUE_LABEL, pa.string()))
    true, first, done = samples.label_names(), 0, 0
    with atomic.replacing(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for batch in samples.images.batches(STREAMED_ROWS):
            rows = samples.rows[done : np.searchsorted(samples.rows, first + len(batch))]
            chosen = batch.take(pa.array(rows - first))
            here = slice(done, done + len(rows))
            chosen = chosen.set_column(chosen.column_names.index(column), column, given[here])
            writer.write_table(chosen.append_column(TRUE_LABEL, true[here]).cast(schema))
            first, done = first + len(batch), done + len(rows)
