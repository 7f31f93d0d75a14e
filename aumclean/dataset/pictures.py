"""The images of a finished run, as their files are and as thumbnails, for pages that people look at.

An image that has changed since the scan is not shown: a decision on it would be a decision on something else.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean import machine
from aumclean.dataset.crops import Crop
from aumclean.dataset.decode import CHUNK, bombs_are_errors, read_encoded, reason_of, thumbnail
from aumclean.dataset.images import Embedded, Images, Item, files_of
from aumclean.dataset.parallel import in_processes
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import AS_FOUND, Decoding
from aumclean.dataset.shards import shards_of
from aumclean.files.location import location
from aumclean.run.directory import Run
from aumclean.run.record import Place, RunRecord, ScanRecord
from aumclean.run.tables import read_samples as read_listed
from aumclean.run.tables import texts_of


@dataclass(frozen=True)
class Pictures:
    """Where the images of a run are.

    Attributes:
        images: the files, the Parquet column, or what else they are in.
        rows: int64 [n], the row of each sample in `images`.
        content_hash: strings [n], SHA-256 of each encoded image when it was scanned.
        decoding: how the scan made pixels of them.
        workers: how many processes may decode at a time; None for as many as there are processors.
    """

    images: Images
    rows: np.ndarray
    content_hash: pa.Array | pa.ChunkedArray
    decoding: Decoding = AS_FOUND
    workers: int | None = None

    def encoded(self, sample_id: int) -> bytes:
        """One image as it is in its file.

        Raises:
            OSError: when it is gone or has changed.
        """
        return _unchanged(self.images.one(int(self.rows[sample_id])), self.content_hash[sample_id].as_py())

    def thumbnail(self, sample_id: int, side: int, *, quality: int = 80) -> bytes:
        """One image as a small JPEG.

        Raises:
            OSError: when it is gone or has changed.
        """
        with bombs_are_errors(self.decoding.max_pixels):
            return thumbnail(self.encoded(sample_id), side, quality=quality, values=self.decoding.values)

    def in_context(self, sample_id: int, side: int) -> bytes | None:
        """The whole picture that a sample is a box of, as a JPEG with the box drawn in it; None without boxes.

        Raises:
            OSError: when it is gone or has changed.
        """
        item = self.images.one(int(self.rows[sample_id]))
        if not isinstance(item, Crop):
            return None
        self.encoded(sample_id)
        with bombs_are_errors(self.decoding.max_pixels):
            return item.outlined(side)

    def each(self, sample_ids: np.ndarray) -> Iterator[tuple[Path | None, bytes]]:
        """File (None when the images are in a table) and bytes of some samples (ascending int [k]), streamed.

        Raises:
            OSError: when one is gone or has changed.
        """
        hashes = iter(self.content_hash.take(pa.array(sample_ids)).to_pylist())
        for chunk in self.images.chunks(self.rows[sample_ids], CHUNK):
            for item in chunk:
                yield (item if isinstance(item, Path) else None), _unchanged(item, next(hashes))

    def thumbnails(self, sample_ids: np.ndarray, side: int) -> Iterator[bytes | None]:
        """A small JPEG of each sample, None where its file is gone or changed; decoded in parallel processes.

        Args:
            sample_ids: int [k], in any order, each once; the pictures come in this order.
            side: longest side in pixels.
        """
        order = np.argsort(sample_ids)
        ascending = sample_ids[order]
        hashes = iter(self.content_hash.take(pa.array(ascending)).to_pylist())
        tasks = ([(item, next(hashes)) for item in chunk] for chunk in self.images.chunks(self.rows[ascending], CHUNK))
        count, workers = len(sample_ids) // CHUNK, self.workers or machine.cpus()
        made = in_processes(partial(_thumbnails, side=side, how=self.decoding), tasks, count, workers=workers)
        small = [picture for chunk in made for picture in chunk]
        yield from (small[position] for position in np.argsort(order))


def pictures_of(run: Run) -> Pictures:
    """The images of a run.

    Raises:
        RunError: when this is no run.
    """
    place, record = run.place(), run.read()
    by_path = place.image_column is None and place.is_files
    most, workers = None, None
    if isinstance(record, ScanRecord):
        most, workers = record.config.max_pixels, record.config.workers
    hashes, decoding = texts_of(run, "content_hash"), Decoding(place.value_range, most)
    if by_path:
        files = files_of(location(place.root), texts_of(run, "path"))
        return Pictures(files, np.arange(len(hashes)), hashes, decoding, workers)
    return Pictures(_images_of(place, record), read_listed(run, "row")["row"].to_numpy(), hashes, decoding, workers)


def _images_of(place: Place, record: RunRecord) -> Images:
    source = location(place.source)
    reading = record.config.reading() if isinstance(record, ScanRecord) else {}
    if place.image_column is None:
        return read_samples(source, **reading).images
    shards = shards_of(source, reading.get("split"))
    return Embedded((source,) if shards is None else shards.files, place.image_column, source)


def _unchanged(item: Item, content_hash: str) -> bytes:
    name = item if isinstance(item, Path) else "image"
    try:
        encoded = read_encoded(item)
    except Exception as error:  # of many kinds where a box is cut out of its picture
        raise OSError(f"{name}: cannot be read any more ({reason_of(error)})") from error
    if hashlib.sha256(encoded).hexdigest() != content_hash:
        raise OSError(f"{name}: has changed since the scan")
    return encoded


def _thumbnails(items: list[tuple[Item, str]], side: int, how: Decoding) -> list[bytes | None]:
    made: list[bytes | None] = []
    with bombs_are_errors(how.max_pixels):
        for item, content_hash in items:
            try:
                made.append(thumbnail(_unchanged(item, content_hash), side, values=how.values))
            except Exception:  # the page shows a placeholder; what is wrong is the next scan's to say
                made.append(None)
    return made
