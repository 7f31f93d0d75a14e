"""Features of every image, from the cache or through a backbone: streamed, resumable, shared by later runs."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator

from aumclean.dataset.cache import FEATURES, make_room
from aumclean.dataset.decode import bombs_are_errors, decode_views, read_encoded, reason_of
from aumclean.dataset.images import Chunk
from aumclean.dataset.open import Opened, digits
from aumclean.dataset.parallel import in_processes
from aumclean.dataset.samples import Decoding, Samples
from aumclean.errors import DataError
from aumclean.features.inference import VIEWS, features_of
from aumclean.features.root import signed_root
from aumclean.files import atomic, mapped
from aumclean.progress import Track
from aumclean.training.backbone import Backbone

FORMAT = 2  # raise when decoding or the views change, so that older shards are not read
CHUNK = 64  # images that a process decodes at a time
COPIED = 1 << 12  # rows at a time
SHARD = 8  # chunks that go to disk together: what a kill loses at most


def extract(
    opened: Opened,
    backbone: Backbone,
    *,
    cache_dir: Path,
    limit_gib: float,
    workers: int,
    accelerator: Accelerator,
    track: Track,
) -> np.ndarray:
    """Features of all images; what an earlier run computed with the same weights comes from the cache.

    Every process of the accelerator computes its share; then each has all.

    Args:
        opened: n images.
        backbone: what to look through.
        cache_dir: features go into a folder of the backbone's own below it.
        limit_gib: what all that is cached may take, in GiB; features by this backbone stay.
        workers: decoding processes.
        accelerator: device and processes.
        track: shows the progress.

    Returns:
        float16 [n, 2, width], the roots of those of each image and of its mirrored middle, in a temporary file that is
        memory-mapped.

    Raises:
        DataError: when an image has changed meanwhile, or the cache cannot be made or read.
        OutputError: when it cannot be written.
    """
    store = store_of(cache_dir, backbone, opened.samples.decoding)
    content, share = keys_of(opened.files["sha256"]), (accelerator.process_index, accelerator.num_processes)
    add_missing(
        store,
        opened.samples,
        content,
        backbone,
        limit_gib=limit_gib,
        workers=workers,
        device=accelerator.device,
        share=share,
        track=track,
    )
    accelerator.wait_for_everyone()
    return store.gather(content)


def store_of(cache_dir: Path, backbone: Backbone, how: Decoding) -> "Store":
    """Where features by a backbone are, of images that become pixels in this way.

    Raises:
        DataError: when the folder cannot be made.
    """
    scaled = "" if how.values is None else f"-{how.values[0]:g}-{how.values[1]:g}"  # by which deep images became 8 bits
    return Store(cache_dir / FEATURES / f"{FORMAT}-{backbone.folder}{scaled}")


def add_missing(
    store: "Store",
    samples: Samples,
    content: np.ndarray,
    backbone: Backbone,
    *,
    limit_gib: float,
    workers: int,
    device: torch.device,
    share: tuple[int, int] = (0, 1),
    track: Track,
) -> int:
    """Look at those images of which the store has nothing yet.

    Args:
        store: where their features go.
        samples: n images, all of which can be read.
        content: of each, see `keys_of`.
        backbone, limit_gib, workers, track: as of `extract`.
        device: where to compute.
        share: which of how many parts to do, each of which is images that follow each other.

    Returns:
        How many were looked at: of the same content one.
    """
    _, first = np.unique(content, return_index=True)
    missing = store.missing(content, np.array_split(np.sort(first), share[1])[share[0]])
    if len(missing):
        make_room(store.folder.parents[1], len(missing) * VIEWS * backbone.width * 2, limit_gib, keep=store.folder)
    for hashes, values in _computed(samples, content, missing, backbone, workers, device, track):
        store.add(hashes, values)
    return len(missing)


def _computed(
    samples: Samples,
    content: np.ndarray,
    positions: np.ndarray,
    backbone: Backbone,
    workers: int,
    device: torch.device,
    track: Track,
) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Content hashes and features, float16 [k, 2, width], of the samples at `positions` (ascending), a shard a time."""
    if not len(positions):
        return
    starts = iter(range(0, len(positions), CHUNK))

    def hashes(start: int, count: int) -> list[str]:
        return [digest.decode() for digest in content[positions[start : start + count]].tolist()]

    tasks = (
        (chunk, hashes(next(starts), CHUNK))
        for chunk in _of_size(samples.images.chunks(samples.rows[positions], CHUNK))
    )
    red, green, blue = (round(255 * value) for value in backbone.mean)
    decode = partial(_decoded, size=backbone.image_size, shade=(red, green, blue), how=samples.decoding)
    images = in_processes(decode, tasks, len(positions) // CHUNK, workers=workers)
    seen = track(images, "looking through the backbone", 0, len(positions))
    done, parts = 0, []
    for values in features_of(seen, backbone, device):
        parts.append(values)
        count = sum(map(len, parts))
        if len(parts) == SHARD or done + count == len(positions):
            yield pa.array(hashes(done, count)), np.concatenate(parts)
            done, parts = done + count, []


def _of_size(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The same items in chunks of `CHUNK`; those of a Parquet file end where its row groups do."""
    waiting: Chunk = []
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= CHUNK:
            yield waiting[:CHUNK]
            waiting = waiting[CHUNK:]
    if waiting:
        yield waiting


def _decoded(task: tuple[Chunk, list[str]], size: int, shade: tuple[int, int, int], how: Decoding) -> np.ndarray:
    """Some images as the backbone looks at them, uint8 [k, 2, size, size, 3]."""
    found = np.empty((len(task[0]), VIEWS, size, size, 3), np.uint8)
    with bombs_are_errors(how.max_pixels):
        for position, (item, content_hash) in enumerate(zip(*task, strict=True)):
            try:
                encoded = read_encoded(item)
                if hashlib.sha256(encoded).hexdigest() != content_hash:
                    raise OSError("changed while it was read")
                found[position] = decode_views(encoded, size, shade, how.values)
            except Exception as error:  # as Pillow's decoders raise, of a file that could be read a moment ago
                name = item if isinstance(item, Path) else f"the image with SHA-256 {content_hash}"
                raise DataError(f"{name}: {reason_of(error)}; repeat the command") from None
    return found


class Store:
    """Features of one backbone by content hash: Parquet files that are only ever added.

    No lock is needed: every writer adds files of its own, and an image that two computed has equal features in both.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder.

        Raises:
            DataError: when it cannot be made.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = atomic.reason(error)
            raise DataError(f"{folder}: cannot be written ({why}); choose another --cache-dir") from None

    def add(self, hashes: pa.Array, values: np.ndarray) -> None:
        """Put features, float16 [k, 2, width], on disk."""
        kind = pa.binary(values[0].nbytes)
        column = pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
        table = pa.table({"content_hash": hashes, "features": column})
        with atomic.replacing(self.folder / f"{uuid.uuid4().hex}.parquet") as temporary:
            pq.write_table(table, temporary, compression="none", use_dictionary=False, write_page_checksum=True)

    def missing(self, wanted: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Those of the positions (int64, ascending) whose image no file has."""
        asked, there = np.sort(wanted[positions]), np.zeros(len(positions), bool)
        for file in self._files():
            place, _ = _found(asked, self._read(file, ["content_hash"]))
            there[place] = True
        return np.asarray(positions[~there[asked.searchsorted(wanted[positions])]])

    def gather(self, wanted: np.ndarray) -> np.ndarray:
        """The roots of the features of all images, float16 [n, 2, width], in a file that nobody else sees."""
        values: np.ndarray | None = None
        contents, first, same = np.unique(wanted, return_index=True, return_inverse=True)
        filled = np.zeros(len(contents), bool)
        for file in self._files():
            table = self._read(file)
            with suppress(OSError):  # in a cache that may only be read, the time of use is nobody's concern
                os.utime(file)
            place, rows = _found(contents, table)
            place, rows = place[~filled[place]], rows[~filled[place]]
            if not len(rows):
                continue
            column = table["features"].combine_chunks()
            stored = np.frombuffer(column.buffers()[1], np.float16).reshape(len(table), VIEWS, -1)
            if values is None:
                values = mapped.empty((len(wanted), *stored.shape[1:]), np.float16)
            values[first[place]] = signed_root(stored[rows])
            filled[place] = True
        if values is None or not filled.all():
            raise DataError(f"{self.folder}: was emptied while it was in use; repeat the command")
        again = np.flatnonzero(first[same] != np.arange(len(wanted)))
        for start in range(0, len(again), COPIED):
            some = again[start : start + COPIED]
            values[some] = values[first[same[some]]]
        return values

    def _read(self, file: Path, columns: list[str] | None = None) -> pa.Table:
        try:
            return pq.read_table(file, columns=columns, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{file}: is damaged ({why}); delete it, and its images are looked at again") from None

    def _files(self) -> list[Path]:
        return sorted(file for file in self.folder.glob("*.parquet") if not file.name.startswith("."))


def keys_of(digests: pa.ChunkedArray) -> np.ndarray:
    """SHA-256 of 32 bytes each, none null, as 64 digits that can be compared and sorted: bytes64 [n]."""
    return np.frombuffer(digits(digests), "S64")


def _found(contents: np.ndarray, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Places in `contents` (bytes64, ascending) of what a file has of it, each once, and the rows there: int64 [m]."""
    stored = np.frombuffer(table["content_hash"].combine_chunks().buffers()[2], "S64", count=len(table))
    place = contents.searchsorted(stored).clip(max=max(0, len(contents) - 1))
    rows = np.flatnonzero(contents[place] == stored) if len(contents) else np.empty(0, np.int64)
    place, once = np.unique(place[rows], return_index=True)
    return place, rows[once]
