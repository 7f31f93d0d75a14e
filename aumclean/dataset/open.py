"""A data set opened: every image decoded and hashed once, and what cannot be read named."""

import hashlib
import logging
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean import machine
from aumclean.config.scan import ScanConfig
from aumclean.dataset.cache import CACHE_GIB, decoded, decoded_in_memory, default_cache_dir
from aumclean.dataset.crops import Crops
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.decode import CHUNK, decoding_of, probe, read_encoded
from aumclean.dataset.images import Embedded, Files, Objects
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Samples
from aumclean.errors import DataError, RunError
from aumclean.files import atomic, csv, parquet
from aumclean.files.location import absolute
from aumclean.progress import Track, untracked
from aumclean.run.directory import Run
from aumclean.run.record import Place
from aumclean.run.tables import SAMPLES

LINES = 1 << 14
ROWS = 1 << 18  # of a table that are made at a time
DIGITS = np.frombuffer(bytes(range(256)).hex().encode(), np.uint16)  # both hexadecimal digits of a byte
SMALLEST = 8  # side in pixels that networks take

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A data source whose images are decoded; n of them could be read.

    Attributes:
        samples: those n.
        images: uint8 of shape [n, size, size, 3], often memory-mapped.
        files: a row for each: sha256 (of the encoded image, 32 bytes), width and height in pixels.
        unreadable: path and reason of all others.
    """

    samples: Samples
    images: np.ndarray
    files: pa.Table
    unreadable: pa.Table

    def __len__(self) -> int:
        return len(self.samples)

    def dataset(self) -> Dataset:
        """What training sees of it."""
        return Dataset(self.images, self.samples.labels.astype(np.int64), self.samples.class_names)

    def digest(self, keep: np.ndarray | None = None) -> str:
        """What the data are, wherever they are: SHA-256 of every image's content and label, in order.

        Args:
            keep: ascending int64 positions of the samples that count; all by default.
        """
        contents, labels, names = self.files["sha256"], self.samples.labels, self.samples.class_names
        if keep is not None:
            contents, labels = contents.take(pa.array(keep)), labels[keep]
        digest = hashlib.sha256()
        for start in range(0, len(labels), LINES):  # of millions never all as Python objects
            some = contents.slice(start, LINES).to_pylist(), labels[start : start + LINES].tolist()
            for content, label in zip(*some, strict=True):
                digest.update(f"{content.hex()} {names[label]}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def content_hash(self) -> pa.LargeStringArray:
        """SHA-256 of every image as 64 digits, large strings of length n."""
        return as_texts(self.files["sha256"])

    def require_unchanged(self, run: Run) -> None:
        """Make sure that these are the data which a run was begun with.

        Raises:
            RunError: when they are not.
        """
        data = run.read().data
        if self.digest() != data.fingerprint:
            raise RunError(f"{run.path}: the data in {data.source} have changed since; scan them again")

    def place(self) -> Place:
        """Where the images are, as `run.json` and `scores.json` say it."""
        samples = self.samples
        return Place(
            source=absolute(samples.source),
            root=absolute(samples.root),
            name=samples.name,
            boxes=samples.images.format if isinstance(samples.images, Crops) else None,
            is_files=isinstance(samples.images, Files | Objects),
            image_column=samples.images.column if isinstance(samples.images, Embedded) else None,
            value_range=samples.decoding.values,
        )

    def write(self, run: Run) -> None:
        """Write `samples.parquet`, `unreadable.csv` and, where a table lists the samples, `manifest.parquet`."""
        manifest, rows = self.samples.manifest, self.samples.rows
        with atomic.replacing(run.samples) as temporary:
            parquet.write_blocks(SAMPLES, map(self._listed, range(0, len(self), ROWS)), temporary)
        if manifest is not None and not isinstance(self.samples.images, Embedded):
            ends = rows.searchsorted(np.arange(0, len(manifest) + ROWS, ROWS)).tolist()
            of_blocks = (
                manifest.slice(ROWS * block, ROWS).take(pa.array(rows[start:stop] - ROWS * block))
                for block, (start, stop) in enumerate(pairwise(ends))
            )
            with atomic.replacing(run.manifest) as temporary:
                parquet.write_blocks(manifest.schema, of_blocks, temporary)
        csv.save(run.unreadable, self.unreadable)

    def _listed(self, start: int) -> pa.Table:
        """Some rows of `samples.parquet`."""
        here = slice(start, start + ROWS)
        files, labels = self.files.slice(start, ROWS), pa.array(self.samples.labels[here])
        columns = [
            pa.array(np.arange(start, start + len(files), dtype=np.int32)),
            self.samples.paths.slice(start, ROWS).cast(pa.string()),
            pa.array(self.samples.class_names, pa.string()).take(labels),
            as_texts(files["sha256"]).cast(pa.string()),
            files["width"],
            files["height"],
            pa.array(self.samples.rows[here]),
        ]
        return pa.table(columns, schema=SAMPLES)


def as_bytes(digests: pa.ChunkedArray) -> np.ndarray:
    """Digests of 32 bytes, none null, one after another: uint8 [n, 32]."""
    whole = digests.combine_chunks()
    stored = np.frombuffer(whole.buffers()[1], np.uint8)[32 * whole.offset :][: 32 * len(whole)]
    return stored.reshape(-1, 32)


def digits(digests: pa.ChunkedArray) -> np.ndarray:
    """The 64 digits of the same: uint16 [n, 32], two digits each."""
    return np.asarray(DIGITS[as_bytes(digests)])


def as_texts(digests: pa.ChunkedArray) -> pa.LargeStringArray:
    """The same as strings."""
    made = digits(digests)
    ends = np.arange(0, 64 * len(made) + 1, 64, dtype=np.int64)
    return pa.LargeStringArray.from_buffers(len(made), pa.py_buffer(ends), pa.py_buffer(made))


def open_samples(
    samples: Samples,
    size: int,
    *,
    cached: bool = True,
    cache_dir: Path | None = None,
    cache_limit: float = CACHE_GIB,
    verify: bool = False,
    workers: int | None = None,
    max_unreadable: float = 100.0,
    one_class: bool = False,
    track: Track = untracked,
) -> Opened:
    """Decode the samples; those that cannot be read are left out and named.

    Args:
        samples: from `read_samples`.
        size: side of the square images, in pixels.
        cached: whether to keep what is decoded on disk for the next time; else it is in memory alone.
        cache_dir: folder of decoded images; the system's by default.
        cache_limit: what all of them may take there, in GiB.
        verify: whether to decode all anew, whatever the cache holds.
        workers: decoding processes; as many as processors by default.
        max_unreadable: how many per cent of the images may be unreadable, not all of them in any case.
        one_class: whether readable images of a single class will do.
        track: shows the progress.

    Raises:
        DataError: when too few images can be read, the source cannot, or the cache cannot be written.
    """
    workers = workers or machine.cpus()
    samples = with_decoding(samples)
    if cached:
        folder = cache_dir or default_cache_dir()
        found = decoded(
            samples, size, workers=workers, cache_dir=folder, limit_gib=cache_limit, verify=verify, track=track
        )
    else:
        found = decoded_in_memory(samples, size, workers=workers, track=track)
    reasons = pa.table({"path": samples.paths, "reason": found.files["reason"]})
    unreadable = reasons.filter(reasons["reason"].is_valid())
    _refuse_unreadable(samples, unreadable, max_unreadable)
    readable = samples.take(found.readable)
    if len(readable.class_names) < 2 and not one_class:
        label = readable.class_names[0]
        raise DataError(f"{samples.source}: all readable images have the label '{label}'; two are needed")
    files = found.files.drop_columns("reason")
    files = files.take(pa.array(found.readable)) if len(unreadable) else files
    return Opened(readable, found.images, files, unreadable)


def with_decoding(samples: Samples) -> Samples:
    """The samples with one range of values for all deep images among them; one that was found is said."""
    how = decoding_of(samples)
    if how != samples.decoding and how.values is not None:
        found, (black, white) = probe(samples), how.values
        logger.info(
            "%s: has images of more than 8 bits with values from %g to %g; %g is black and %g white in all of them "
            "(--value-range chooses)", samples.source, found.lowest, found.highest, black, white,
        )  # fmt: skip
    return replace(samples, decoding=how)


def _refuse_unreadable(samples: Samples, unreadable: pa.Table, most: float) -> None:
    """Name what cannot be read, and refuse when that is more than `most` per cent of all, or all."""
    bad, n = len(unreadable), len(samples)
    if not bad:
        return
    example = f"{unreadable['path'][0]}: {unreadable['reason'][0]}"
    if bad == n:
        raise DataError(f"{samples.source}: none of {n} images can be read, such as {example}")
    if 100 * bad > most * n:
        raise DataError(
            f"{samples.source}: {bad} of {n} images cannot be read ({100 * bad / n:.1f}%), such as {example}; "
            f"mend them, or raise --max-unreadable (now {most:g}%)"
        )
    logger.warning("%s: %d of %d images cannot be read and are left out, such as %s", samples.source, bad, n, example)


def open_configured(
    samples: Samples,
    size: int,
    config: ScanConfig,
    *,
    max_unreadable: float = 100.0,
    one_class: bool = False,
    track: Track = untracked,
) -> Opened:
    """Decode the samples by as many processes, and with the cache, that a configuration says.

    Raises:
        DataError: as `open_samples` does.
    """
    return open_samples(
        samples,
        size,
        cache_dir=config.cache_dir,
        cache_limit=config.cache_limit,
        verify=config.verify,
        workers=config.workers,
        max_unreadable=max_unreadable,
        one_class=one_class,
        track=track,
    )


def read_scanned(run: Run) -> Samples:
    """The samples that a run was begun with, read anew.

    Raises:
        RunError: when the run cannot be read.
        DataError: when its data are gone.
    """
    record = run.read_scan()
    try:
        return read_samples(record.data.source, **record.config.reading())
    except DataError as error:
        raise DataError(f"{error}. {run.path} was begun with these data: put them back, or a link to them") from None


def open_scanned(run: Run, *, track: Track = untracked) -> Opened:
    """The data of a run opened anew, as it saw them: row i is sample i.

    Raises:
        RunError: when the run cannot be read, or its data have changed since.
        DataError: when its data are gone.
    """
    record = run.read_scan()
    opened = open_configured(read_scanned(run), record.image_size, record.config, track=track)
    opened.require_unchanged(run)
    return opened


def image_size(samples: Samples, largest: int) -> int:
    """The side, in pixels, at which to open samples when none was asked for: their own, up to `largest`.

    Raises:
        DataError: when none of the images looked at can be read.
    """
    short_side = probe(samples).short_side
    if short_side is None:
        raise DataError(f"{samples.source}: no image can be read, such as {samples.paths[0]}")
    return max(SMALLEST, min(short_side, largest))


def content_hashes(samples: Samples) -> list[str | None]:
    """SHA-256 of every encoded image, none of them decoded; None for those that cannot be read."""
    found: list[str | None] = []
    for chunk in samples.images.chunks(samples.rows, CHUNK):
        for item in chunk:
            try:
                found.append(hashlib.sha256(read_encoded(item)).hexdigest())
            except Exception:  # decoding it will say why
                found.append(None)
    return found
