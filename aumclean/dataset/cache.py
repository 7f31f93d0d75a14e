"""Every image decoded once: a memory-mapped uint8 array on disk, shared by all runs on the same data."""

import hashlib
import json
import math
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from aumclean import atomic
from aumclean.dataset.decode import decode
from aumclean.dataset.samples import Samples
from aumclean.errors import DataError
from aumclean.progress import Track, untracked

FORMAT = 1  # raise when decoding changes, so that older entries are not read
GIB = 1 << 30


@dataclass(frozen=True)
class Decoded:
    """All samples of a data source after decoding.

    Attributes:
        images: uint8 of shape [readable, size, size, 3], memory-mapped copy-on-write.
        readable: positions in the samples that could be decoded, ascending int64.
        files: one row per sample: content_hash, width, height, reason (null when readable), path.
    """

    images: np.ndarray
    readable: np.ndarray
    files: pa.Table


def default_cache_dir() -> Path:
    """Where caches live on this system, such as `~/.cache/aumclean`."""
    return platformdirs.user_cache_path("aumclean", appauthor=False, opinion=False)


def decoded(
    samples: Samples,
    size: int,
    *,
    workers: int,
    cache_dir: Path,
    limit_gib: float,
    track: Track = untracked,
) -> Decoded:
    """Decode the samples to `size` x `size`, or take what an earlier run decoded.

    Entries are keyed by the files' names, sizes and times of change. One process builds an entry at a time;
    a second one waits and then reads it. The entries longest unused go when all together pass the limit.

    Args:
        samples: what to decode.
        size: side of the square images, in pixels.
        workers: decoding processes.
        cache_dir: folder of all entries.
        limit_gib: what all entries together may take, in GiB; the one in use always stays.
        track: shows the progress.

    Raises:
        DataError: when the cache cannot be written, or the disk is too small.
    """
    entry = cache_dir / _fingerprint(samples, size)
    needed = len(samples) * size * size * 3
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / f"{entry.name}.lock"):
            found = _open(entry, size)
            if found is None:
                _make_room(cache_dir, needed, limit_gib, keep=entry)
                _build(entry, samples, size, workers, track)
                found = _open(entry, size)
            assert found is not None, "just built"
            os.utime(entry / "entry.json")
            return replace(found, files=found.files.append_column("path", samples.paths))
    except OSError as error:
        raise DataError(
            f"{cache_dir}: cannot be written ({atomic.reason(error)}); free some space or choose another --cache-dir"
        ) from error


def _fingerprint(samples: Samples, size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size} {len(samples)}".encode())
    for stamp in samples.images.stamp(samples.rows):
        digest.update(f"\n{stamp}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _build(entry: Path, samples: Samples, size: int, workers: int, track: Track) -> None:
    building = entry.with_suffix(atomic.TEMPORARY_SUFFIX)
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        columns: dict[str, list[Any]] = {"content_hash": [], "width": [], "height": [], "reason": []}
        with (building / "images.u8").open("wb") as file:
            for chunk in track(decode(samples, size, workers=workers), "decoding", 0, len(samples)):
                file.write(chunk.images.data)
                for name, values in columns.items():
                    values.extend(getattr(chunk, name))
            file.flush()
            os.fsync(file.fileno())
        files = pa.table(
            {
                "content_hash": pa.array(columns["content_hash"], pa.string()),
                "width": pa.array(columns["width"], pa.int32()),
                "height": pa.array(columns["height"], pa.int32()),
                "reason": pa.array(columns["reason"], pa.string()),
            }
        )
        pq.write_table(files, building / "files.parquet")
        (building / "entry.json").write_text(json.dumps({"format": FORMAT, "size": size, "samples": len(samples)}))
        shutil.rmtree(entry, ignore_errors=True)
        building.rename(entry)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _open(entry: Path, size: int) -> Decoded | None:
    """The entry, or None when there is none or it is damaged."""
    try:
        files = pq.read_table(entry / "files.parquet")
        readable = np.flatnonzero(files["reason"].is_null().to_numpy())
        shape = (len(readable), size, size, 3)
        if (entry / "images.u8").stat().st_size != math.prod(shape) or not (entry / "entry.json").is_file():
            return None
    except (OSError, pa.ArrowException):
        return None
    if len(readable) == 0:
        return Decoded(np.empty(shape, np.uint8), readable, files)
    return Decoded(np.memmap(entry / "images.u8", dtype=np.uint8, mode="c", shape=shape), readable, files)


def _make_room(cache_dir: Path, needed: int, limit_gib: float, keep: Path) -> None:
    entries = [path for path in cache_dir.iterdir() if (path / "entry.json").is_file() and path != keep]
    entries.sort(key=lambda path: (path / "entry.json").stat().st_mtime)
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in entries}
    while entries and sum(sizes[path] for path in entries) + needed > limit_gib * GIB:
        shutil.rmtree(entries.pop(0), ignore_errors=True)  # a run that has it mapped keeps its pages
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise DataError(
            f"{cache_dir}: the decoded images need {needed / GIB:.1f} GiB, {free / GIB:.1f} GiB are free; "
            "free some, or choose another --cache-dir or a smaller --image-size"
        )
