"""What plain trainings see: decoded images, all of them or some."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from aumclean.config import ScanConfig
from aumclean.dataset.cache import decoded
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.samples import Samples
from aumclean.errors import DataError
from aumclean.progress import Track
from aumclean.scanning.plan import Plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
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
class Subject:
    """What a training sees: some samples of a data source."""

    name: str
    images: Images
    kept: np.ndarray  # ascending int64 positions
    order: str | None = None  # by what samples were removed
    removed: int = 0

    def dataset(self, class_names: tuple[str, ...]) -> Dataset:
        """Its samples as arrays, labels as indices into `class_names`."""
        labels, pixels = self.images.labels(class_names), self.images.pixels
        everything = len(self.kept) == len(labels)
        return Dataset(pixels if everything else pixels[self.kept], labels[self.kept], class_names)


def read_images(samples: Samples, plan: Plan, track: Track) -> Images:
    """Decode what can be read; what cannot is left out, and said.

    Raises:
        DataError: when nothing can be read.
    """
    found = decoded(
        samples,
        plan.image_size,
        workers=plan.workers,
        cache_dir=plan.cache_dir,
        limit_gib=ScanConfig().cache_limit,
        track=track,
    )
    bad = len(samples) - len(found.readable)
    if bad == len(samples):
        raise DataError(f"{samples.source}: none of its {bad} images can be read, {found.files['reason'][0]}")
    if bad:
        logger.warning("%s: %d of %d images cannot be read and are left out", samples.source, bad, len(samples))
    hashes = found.files["content_hash"].combine_chunks().take(pa.array(found.readable))
    return Images(samples.take(found.readable), found.images, hashes)
