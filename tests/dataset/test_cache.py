import math
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from aumclean.dataset import cache
from aumclean.dataset.cache import decoded
from aumclean.dataset.decode import decode, decode_image
from aumclean.dataset.read import read_samples
from aumclean.errors import DataError


def load(folder, cache_dir, size=8, limit_gib=1.0, workers=1, verify=False):
    return decoded(read_samples(folder), size, workers=workers, cache_dir=cache_dir, limit_gib=limit_gib, verify=verify)


@pytest.fixture
def builds(monkeypatch):
    """The sizes for which something was decoded, in order."""
    sizes = []

    def counting(samples, size, **options):
        sizes.append(size)
        return decode(samples, size, **options)

    monkeypatch.setattr(cache, "decode", counting)
    return sizes


def test_the_second_run_reads_what_the_first_decoded(folder, tmp_path, builds):
    first, second = load(folder, tmp_path / "cache"), load(folder, tmp_path / "cache")
    assert builds == [8]
    np.testing.assert_array_equal(first.images, second.images)
    expected = decode_image((folder / "blue" / "002.png").read_bytes(), 8)[0]
    np.testing.assert_array_equal(second.images[6], expected)


@pytest.mark.parametrize("change", ["content", "permission", "size"])
def test_a_changed_file_or_another_size_is_decoded_again(folder, tmp_path, save_image, builds, change):
    load(folder, tmp_path / "cache")
    file, times = folder / "blue" / "002.png", (folder / "blue" / "002.png").stat()
    if change == "content":
        save_image(file, colour=(0, 0, 0), seed=99)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as archives do
    elif change == "permission":
        file.chmod(0o600)
    load(folder, tmp_path / "cache", size=9 if change == "size" else 8)
    assert len(builds) == 2


def test_verifying_reads_all_anew_and_says_what_sizes_and_times_did_not_tell(
    folder, tmp_path, save_image, builds, caplog, monkeypatch
):
    monkeypatch.setattr("aumclean.dataset.images.stamp_of_file", str)  # a drive that tells neither
    caplog.set_level("INFO")
    load(folder, tmp_path / "cache")
    load(folder, tmp_path / "cache", verify=True)
    assert (builds, caplog.messages) == ([8, 8], [f"{folder}: all 12 images are what was decoded before"])
    save_image(folder / "blue" / "002.png", colour=(0, 0, 0), seed=99)
    expected = decode_image((folder / "blue" / "002.png").read_bytes(), 8)[0]
    assert (load(folder, tmp_path / "cache").images[6] != expected).any()
    np.testing.assert_array_equal(load(folder, tmp_path / "cache", verify=True).images[6], expected)
    said = f"{folder}: 1 of 12 images are others than what was decoded before, such as blue/002.png, though"
    assert caplog.messages[-1].startswith(said)
    np.testing.assert_array_equal(load(folder, tmp_path / "cache").images[6], expected)
    assert builds == [8, 8, 8]


def write_shard(file, images):
    if file.suffix == ".parquet":
        rows = [
            {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": path.parent.name} for path in images
        ]
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            for path in images:
                archive.write(path, f"{path.parent.name}/{path.name}")
    else:
        with tarfile.open(file, "w") as archive:
            for path in images:
                archive.add(path, f"{path.parent.name}/{path.name}")


@pytest.mark.parametrize("suffix", ["tar", "zip", "parquet"])
def test_of_shards_a_second_run_decodes_nothing_and_one_byte_that_was_overwritten_is_noticed(
    folder, tmp_path, builds, suffix
):
    images, shards = sorted(folder.rglob("*.png")), tmp_path / "shards"
    shards.mkdir()
    for number, some in enumerate((images[:6], images[6:])):
        write_shard(shards / f"{number}.{suffix}", some)
    for _ in range(2):
        assert len(load(shards, tmp_path / "cache").images) == len(images)
    assert builds == [8]
    shard = shards / f"1.{suffix}"
    times, content = shard.stat(), shard.read_bytes()
    at = content.index(images[-1].read_bytes()[-40:])
    with shard.open("r+b") as stream:
        stream.seek(at)
        stream.write(bytes([content[at] ^ 1]))
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    load(shards, tmp_path / "cache")
    assert builds == [8, 8]


def test_folders_of_the_same_name_are_not_mistaken_for_each_other(tmp_path, make_folder, monkeypatch):
    sums = []
    for place in ("a", "b"):
        folder = make_folder(tmp_path / place / "photos")
        for file in folder.rglob("*.png"):
            if place == "b":
                shutil.copy(folder / "amber" / "000.png", file) if file.name != "000.png" else None
            os.utime(file, ns=(1, 1))
        monkeypatch.chdir(tmp_path / place)
        sums.append(int(load(Path("photos"), tmp_path / "cache").images.sum()))
    assert sums[0] != sums[1]


@pytest.mark.parametrize("name", ["images.u8", "files.parquet", "entry.json"])
def test_a_damaged_entry_is_built_anew(folder, tmp_path, builds, name):
    whole = load(folder, tmp_path / "cache").images.copy()
    (damaged,) = (tmp_path / "cache").glob(f"*/{name}")
    damaged.unlink() if name == "entry.json" else damaged.write_bytes(b"short")
    np.testing.assert_array_equal(load(folder, tmp_path / "cache").images, whole)
    assert builds == [8, 8]


def test_unreadable_files_leave_no_gap(folder, tmp_path):
    whole = load(folder, tmp_path / "cache").images
    (folder / "amber" / "001.png").write_bytes(b"broken")
    (folder / "green" / "003.png").unlink()
    (folder / "green" / "003.png").write_bytes(b"")
    found = load(folder, tmp_path / "cache")
    assert found.readable.tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    np.testing.assert_array_equal(found.images, whole[found.readable])
    assert found.files["reason"].to_pylist()[1] == "not an image"
    assert found.files["reason"].to_pylist()[11] == "empty"


def test_processes_decode_what_one_process_decodes(tmp_path, make_folder, monkeypatch):
    monkeypatch.setattr("aumclean.dataset.parallel.STARTING", -math.inf)
    monkeypatch.setattr("aumclean.dataset.decode.CHUNK", 7)
    folder = make_folder(tmp_path / "photos", per_class=10)
    together = load(folder, tmp_path / "a", workers=2)
    alone = load(folder, tmp_path / "b", workers=1)
    np.testing.assert_array_equal(together.images, alone.images)
    assert together.files.equals(alone.files)


def test_the_longest_unused_entry_goes_when_the_limit_is_passed(folder, tmp_path, builds):
    entry_gib = 12 * 8 * 8 * 3 / cache.GIB
    for size in (8, 9, 10):
        load(folder, tmp_path / "cache", size=size, limit_gib=1e9 * entry_gib)
    load(folder, tmp_path / "cache", size=8)  # now 9 is the longest unused
    sizes = [
        sum(file.stat().st_size for file in path.iterdir()) for path in (tmp_path / "cache").iterdir() if path.is_dir()
    ]
    load(folder, tmp_path / "cache", size=11, limit_gib=(sum(sizes) + 100) / cache.GIB)
    builds.clear()
    for size in (8, 10, 11, 9):
        load(folder, tmp_path / "cache", size=size)
    assert builds == [9]


def test_what_another_process_holds_stays_and_what_a_killed_one_left_goes(folder, tmp_path):
    """Entries are taken away under their own locks: none from under a scan that is about to read it."""
    room = tmp_path / "cache"
    load(folder, room)
    (held,) = (path for path in room.iterdir() if path.is_dir())
    left = room / f"{'feed' * 8}.part"
    left.mkdir()
    (left / "images.u8").write_bytes(b"half")
    with FileLock(held.with_suffix(".lock")):
        load(folder, room, size=9, limit_gib=1 / cache.GIB)
        assert held.is_dir() and not left.exists()
    load(folder, room, size=10, limit_gib=1 / cache.GIB)
    assert len([path for path in room.iterdir() if path.is_dir()]) == 1


def test_a_folder_of_other_things_that_serves_as_cache_loses_none_of_them(folder, tmp_path):
    others = [tmp_path / name for name in ("photos", "notes.part", "features", "features/a-b-c", "0" * 31, "0" * 32)]
    for other in others:
        other.mkdir(exist_ok=True)
        (other / "only-copy.parquet").write_bytes(b"mine")
    (tmp_path / ("1" * 32)).write_bytes(b"called by its MD5")
    load(folder, tmp_path)
    load(folder, tmp_path, size=9, limit_gib=1 / cache.GIB)
    assert [(other / "only-copy.parquet").read_bytes() for other in others] == [b"mine"] * len(others)
    assert (tmp_path / ("1" * 32)).exists()
    assert len(list(folder.rglob("*.png"))) == 12


def in_turns(folder, room, seed):
    """Scans that share a cache too small for two of them; what went wrong."""
    sizes = np.random.default_rng(seed).integers(8, 12, 12).tolist()
    try:
        return [load(folder, room, size=size, limit_gib=1 / cache.GIB).images.shape[1] - size for size in sizes]
    except Exception as error:
        return repr(error)


def test_many_at_once_share_a_cache_at_its_limit(folder, tmp_path):
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(in_turns, [folder] * 6, [tmp_path / "cache"] * 6, range(6)))
    assert done == [[0] * 12] * 6


def test_without_a_home_folder_the_cache_must_be_named(folder, monkeypatch):
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda *_, **__: Path("~/.cache/aumclean"))
    with pytest.raises(DataError, match="HOME is not set.*--cache-dir"):
        cache.default_cache_dir()


def test_a_build_that_fails_leaves_nothing_and_the_next_one_works(folder, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fsync", full_disk)
        with pytest.raises(DataError, match="no space left.*--cache-dir"):
            load(folder, tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    assert len(load(folder, tmp_path / "cache").images) == 12


def test_too_small_a_disk_is_said_before_decoding(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match="GiB are free.*--cache-dir"):
        load(folder, tmp_path / "cache")


BUILD = """
import sys
from pathlib import Path
from aumclean.dataset import cache
from aumclean.dataset.read import read_samples
real, built = cache.decode, []
cache.decode = lambda *given, **options: built.append(1) or real(*given, **options)
found = cache.decoded(read_samples(Path(sys.argv[1])), 8, workers=1, cache_dir=Path(sys.argv[2]), limit_gib=1)
print(len(built), found.images.sum())
"""


def test_two_runs_at_once_build_one_entry(tmp_path, make_folder):
    folder = make_folder(tmp_path / "photos", per_class=150)
    command = [sys.executable, "-c", BUILD, folder, tmp_path / "cache"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = sorted(process.communicate(timeout=120)[0].split() for process in both)
    assert [built for built, _ in answers] == ["0", "1"]
    assert answers[0][1] == answers[1][1]
