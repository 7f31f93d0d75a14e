"""Pixels that another entry of the cache has. They are made bright there, so that whoever takes them is found out."""

import shutil

import numpy as np
import pytest

from aumclean.dataset import parallel
from aumclean.dataset.cache import decoded
from aumclean.dataset.read import read_samples

BRIGHT = 255


def load(folder, cache_dir, size=8, workers=1, **options):
    return decoded(read_samples(folder, **options), size, workers=workers, cache_dir=cache_dir, limit_gib=1.0)


def brighten(cache_dir):
    """Make every pixel that is there white; no image of these is."""
    for file in cache_dir.glob("*/images.u8"):
        file.write_bytes(bytes([BRIGHT]) * file.stat().st_size)


def known(found):
    """Which images came from another entry: bool [n]."""
    return (found.images == BRIGHT).all((1, 2, 3))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_moved_is_read_and_not_decoded_and_what_is_new_is(folder, tmp_path, save_image, monkeypatch, workers):
    monkeypatch.setattr(parallel, "STARTING", float("-inf"))
    before = load(folder, tmp_path / "cache")
    brighten(tmp_path / "cache")
    (folder / "blue" / "002.png").rename(folder / "amber" / "of-another-name.png")
    save_image(folder / "green" / "new.png", size=9, seed=99)
    (folder / "green" / "broken.png").write_bytes(b"not an image")
    samples = read_samples(folder)
    after = decoded(samples, 8, workers=workers, cache_dir=tmp_path / "cache", limit_gib=1.0)
    paths = np.array(samples.paths.to_pylist())[after.readable]
    assert paths[~known(after)].tolist() == ["green/new.png"]
    files = {row["sha256"]: row for row in before.files.to_pylist()}
    new, broken, *_ = sorted(after.files.to_pylist(), key=lambda row: row["sha256"] in files)
    assert {new["reason"], broken["reason"]} == {None, "not an image"}
    assert all(row == files[row["sha256"]] for row in after.files.to_pylist() if row["sha256"] in files)


def test_a_copy_of_the_data_needs_no_decoding(folder, tmp_path):
    load(folder, tmp_path / "cache")
    brighten(tmp_path / "cache")
    shutil.copytree(folder, tmp_path / "copy")
    assert known(load(tmp_path / "copy", tmp_path / "cache")).all()


def test_pixels_of_another_size_or_another_range_of_values_are_others(folder, tmp_path):
    load(folder, tmp_path / "cache")
    brighten(tmp_path / "cache")
    (folder / "blue" / "002.png").rename(folder / "blue" / "moved.png")
    assert not known(load(folder, tmp_path / "cache", size=9)).any()
    assert not known(load(folder, tmp_path / "cache", value_range=(0.0, 200.0))).any()
    assert known(load(folder, tmp_path / "cache")).all()


@pytest.mark.parametrize("name", ["images.u8", "files.parquet"])
def test_a_damaged_entry_knows_nothing(folder, tmp_path, name):
    before = np.array(load(folder, tmp_path / "cache").images)
    (file,) = (tmp_path / "cache").glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[:-5])
    (folder / "blue" / "002.png").rename(folder / "blue" / "002-moved.png")
    np.testing.assert_array_equal(load(folder, tmp_path / "cache").images, before)


def test_an_entry_of_far_more_images_is_not_looked_through(folder, tmp_path, make_folder):
    load(make_folder(tmp_path / "many", per_class=9), tmp_path / "cache")
    brighten(tmp_path / "cache")
    assert not known(load(folder, tmp_path / "cache")).any()
