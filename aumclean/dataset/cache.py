"""Every image decoded once: a memory-mapped uint8 array on disk, shared by all runs on the same data.

CACHE/<32 hex digits>/                    the decoded images of a data source
CACHE/features/<backbone>/<any>.parquet   features, see `aumclean.features.extract`
"""

import errno
import hashlib
import io
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from aumclean.dataset.decode import decode
from aumclean.dataset.known import COLUMNS, FILES, NOTHING, PIXELS, Known, index_of, mapped
from aumclean.dataset.samples import Samples
from aumclean.errors import DataError
from aumclean.files import atomic, parquet
from aumclean.progress import Track, untracked

FORMAT = 3  # raise when decoding changes, so that older entries are not read
GIB = 1 << 30
ABOUT = "entry.json"
BLOCK = 1 << 10  # chunks of decoded images
NAME = re.compile("[0-9a-f]{32}")  # of an entry
FEATURES = "features"  # folder of entries that are files
LOCK_SUFFIX = ".lock"  # beside every entry: who builds, opens or deletes it holds it
CACHE_GIB = 50.0  # what all entries together may take where nothing else was said

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoded:
    """All samples of a data source after decoding.

    Attributes:
        images: uint8 of shape [readable, size, size, 3], in memory or memory-mapped copy-on-write.
        readable: positions in the samples that could be decoded, ascending int64.
        files: one row per sample: sha256 (32 bytes), width, height, reason (null when readable).
    """

    images: np.ndarray
    readable: np.ndarray
    files: pa.Table


def default_cache_dir() -> Path:
    """Where caches live on this system, such as `~/.cache/aumclean`.

    Raises:
        DataError: where nobody knows a home folder, as in some containers.
    """
    folder = platformdirs.user_cache_path("aumclean", appauthor=False, opinion=False)
    if not folder.is_absolute():
        raise DataError("no folder is known for decoded images (HOME is not set); name one with --cache-dir")
    return folder


def decoded(
    samples: Samples,
    size: int,
    *,
    workers: int,
    cache_dir: Path,
    limit_gib: float,
    verify: bool = False,
    track: Track = untracked,
) -> Decoded:
    """Decode the samples to `size` x `size`, or take what an earlier run decoded.

    Entries are keyed by the files' names, sizes and times of change; images of an entry that is not there yet come from
    others that have a file with the same bytes. One process builds an entry at a time; a second one waits and then
    reads it. The entries longest unused go when all together pass the limit.

    Args:
        samples: what to decode.
        size: side of the square images, in pixels.
        workers: decoding processes.
        cache_dir: folder of all entries.
        limit_gib: what all entries together may take, in GiB; the one in use always stays.
        verify: whether to decode them anew in any case, and to say how many differ from what an earlier run decoded.
        track: shows the progress.

    Raises:
        DataError: when the cache cannot be written, or the disk is too small.
    """
    entry = cache_dir / _fingerprint(samples, size)
    with _blaming(cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(entry.with_suffix(LOCK_SUFFIX)).acquire()
    with lock:
        found = _open(entry, size)
        if found is None or verify:
            before = None if found is None else found.files
            with _blaming(cache_dir):
                make_room(cache_dir, len(samples) * size * size * 3, limit_gib, keep=entry)
                known = NOTHING if verify else _known(entry, samples, size)
            files = _build(entry, samples, size, workers, track, known)
            with _blaming(cache_dir):
                found = _read(entry, size, files)
            if before is not None:
                _say_changes(samples, before, files)
        with _blaming(cache_dir):
            os.utime(entry / ABOUT)
        return found


def decoded_in_memory(samples: Samples, size: int, *, workers: int, track: Track = untracked) -> Decoded:
    """The same without a cache, for what will not be asked for again."""
    pixels = io.BytesIO()
    files = _written(samples, size, workers, track, pixels.write, NOTHING)
    readable = np.flatnonzero(files["reason"].is_null().to_numpy())
    images = np.frombuffer(pixels.getbuffer(), np.uint8).reshape(len(readable), size, size, 3)
    return Decoded(images, readable, files)


@contextmanager
def _blaming(cache_dir: Path) -> Iterator[None]:
    """Say of what fails here that the cache is at fault; a source that cannot be read fails elsewhere."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        why, then = atomic.reason(error) if isinstance(error, OSError) else error, "free some space or " * full
        raise DataError(f"{cache_dir}: cannot be written ({why}); {then}choose another --cache-dir") from error


def _say_changes(samples: Samples, before: pa.Table, now: pa.Table) -> None:
    """Say how many images are others than what was decoded before, though sizes and times are the same."""
    contents = (pc.fill_null(files["sha256"], bytes(32)) for files in (before, now))
    changed = pc.not_equal(*contents)
    if count := pc.sum(changed).as_py():
        example = samples.paths[pc.index(changed, True).as_py()]
        logger.warning(
            "%s: %d of %d images are others than what was decoded before, such as %s, though sizes and times are the "
            "same", samples.source, count, len(samples), example,
        )  # fmt: skip
    else:
        logger.info("%s: all %d images are what was decoded before", samples.source, len(samples))


def _fingerprint(samples: Samples, size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size} {len(samples)} {samples.decoding}".encode())
    for stamp in samples.images.stamp(samples.rows):
        digest.update(f"\n{stamp}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _about(samples: Samples, size: int) -> dict[str, Any]:
    """What `entry.json` says: how pixels were made, and of how many images."""
    values = samples.decoding.values and list(samples.decoding.values)
    return {"format": FORMAT, "size": size, "values": values, "samples": len(samples)}


def _known(entry: Path, samples: Samples, size: int) -> Known:
    """Other entries whose pixels were made in the same way, the latest used first.

    They have at most twice as many images as are wanted: each takes memory in every process that decodes.
    """
    about, found, room = _about(samples, size), [], 2 * len(samples)
    for _, other in sorted(((_used(path)[0], path) for path in _entries(entry.parent)), reverse=True):
        try:
            theirs = json.loads((other / ABOUT).read_text())
        except (OSError, ValueError):  # features, or what another process takes away just now
            continue
        if other != entry and {**theirs, "samples": len(samples)} == about and theirs["samples"] <= room:
            found.append(other)
            room -= theirs["samples"]
    return Known(tuple(found), size)


def _build(entry: Path, samples: Samples, size: int, workers: int, track: Track, known: Known) -> pa.Table:
    """Write an entry, and return what it lists: of millions that should not be in memory twice, written and read."""
    building, cache_dir = entry.with_suffix(atomic.TEMPORARY_SUFFIX), entry.parent
    shutil.rmtree(building, ignore_errors=True)
    with _blaming(cache_dir):
        building.mkdir()
    try:
        with _blaming(cache_dir):
            pixels = (building / PIXELS).open("wb")

        def write(images: memoryview) -> None:
            with _blaming(cache_dir):
                pixels.write(images)

        try:
            files = _written(samples, size, workers, track, write, known)
            with _blaming(cache_dir):
                pixels.flush()
                os.fsync(pixels.fileno())
        finally:
            with suppress(OSError):  # what a full disk did not take, said already
                pixels.close()
        with _blaming(cache_dir):
            parquet.write(files, building / FILES)
            (building / ABOUT).write_text(json.dumps(_about(samples, size)))
            shutil.rmtree(entry, ignore_errors=True)
            building.rename(entry)
        return files
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _entries(cache_dir: Path) -> Iterator[Path]:
    """What is ours in a folder that may hold anything; a name like those of entries may be somebody's MD5."""
    for path in cache_dir.iterdir():
        is_entry = (path / ABOUT).is_file()
        is_left = path.suffix == atomic.TEMPORARY_SUFFIX and path.is_dir()
        if NAME.fullmatch(path.stem) and (is_entry or is_left):
            yield path
    for path in (cache_dir / FEATURES).glob("*-*-*/*.parquet"):
        if NAME.fullmatch(path.stem):
            yield path


def _used(entry: Path) -> tuple[float, int]:
    """When an entry was last used, and its size in bytes; of one that another process takes away just now, 0."""
    try:
        if entry.is_file():
            return entry.stat().st_mtime, entry.stat().st_size
        sizes = [file.stat().st_size for file in entry.iterdir()]
        about = entry / ABOUT
        return (about if about.is_file() else entry).stat().st_mtime, sum(sizes)
    except FileNotFoundError:
        return 0.0, 0


def _removed(path: Path) -> bool:
    """Delete an entry, or what a killed build left of one, unless another process builds or opens it."""
    if path.is_file():
        path.unlink(missing_ok=True)
        return True
    try:
        with FileLock(path.with_suffix(LOCK_SUFFIX)).acquire(timeout=0):
            shutil.rmtree(path, ignore_errors=True)
    except Timeout:
        return False
    return True


def _written(
    samples: Samples, size: int, workers: int, track: Track, write: Callable[[memoryview], object], known: Known
) -> pa.Table:
    """Decode all samples, write the pixels of those that can be read one after the other, and list all of them."""
    blocks, batches = [], []
    for chunk in track(decode(samples, size, workers=workers, known=known), "decoding", 0, len(samples)):
        write(chunk.images.data)
        columns = [pa.array(getattr(chunk, field.name), field.type) for field in COLUMNS]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=COLUMNS))
        if len(batches) == BLOCK:  # of which each takes a thousand bytes beside its rows
            blocks.append(pa.Table.from_batches(batches, COLUMNS).combine_chunks())
            batches.clear()
    index_of.cache_clear()  # what this process looked up itself
    return pa.concat_tables([*blocks, pa.Table.from_batches(batches, COLUMNS).combine_chunks()])


def _open(entry: Path, size: int) -> Decoded | None:
    """The entry, or None when there is none or it is damaged."""
    try:
        return _read(entry, size)
    except (OSError, pa.ArrowException):
        return None


def _read(entry: Path, size: int, files: pa.Table | None = None) -> Decoded:
    files = parquet.opened(entry / FILES).read() if files is None else files
    readable = np.flatnonzero(files["reason"].is_null().to_numpy())
    if not (entry / ABOUT).is_file():
        raise OSError(f"{entry}: is damaged")
    return Decoded(mapped(entry, len(readable), size), readable, files)


def make_room(cache_dir: Path, needed: int, limit_gib: float, keep: Path) -> None:
    """Take away what killed builds left, then entries, the longest unused first; what another process holds stays.

    Args:
        cache_dir: folder of all entries.
        needed: bytes that will be written.
        limit_gib: what all entries and these bytes may take, in GiB.
        keep: an entry, or a folder of some, that stays whatever its size.

    Raises:
        DataError: when the disk is too small.
    """
    entries, total = [], needed
    for path in _entries(cache_dir):
        if path == keep or keep in path.parents:
            continue
        if path.suffix == atomic.TEMPORARY_SUFFIX and _removed(path):
            continue
        used, size = _used(path)
        entries.append((used, path, size))
        total += size
    for _, path, size in sorted(entries):
        if total > limit_gib * GIB and _removed(path):  # a run that has it mapped keeps its pages
            total -= size
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise DataError(
            f"{cache_dir}: {needed / GIB:.1f} GiB are needed there, {free / GIB:.1f} GiB are free; "
            "free some, or choose another --cache-dir or a smaller --image-size"
        )
