import hashlib
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from aumclean.dataset.open import content_hashes, image_size, open_samples
from aumclean.dataset.read import read_samples
from aumclean.errors import DataError, RunError
from aumclean.files import parquet
from aumclean.run.directory import Run
from aumclean.run.tables import SAMPLES


def opened(data, tmp_path, size=8, **options):
    return open_samples(read_samples(data), size, cache_dir=tmp_path / "cache", workers=1, **options)


@pytest.fixture
def broken(folder):
    """Three classes of four images, of which one is no image and one is empty."""
    (folder / "amber" / "001.png").write_bytes(b"broken")
    (folder / "green" / "003.png").write_bytes(b"")
    return folder


@pytest.fixture
def embedded(folder, tmp_path):
    """The same images in a Parquet file."""
    files = sorted(folder.rglob("*.png"))
    rows = [{"image": {"bytes": file.read_bytes(), "path": file.name}, "label": file.parent.name} for file in files]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet", row_group_size=4)
    return tmp_path / "data.parquet"


def test_images_labels_and_hashes_are_those_of_the_files(folder, tmp_path):
    found = opened(folder, tmp_path)
    data = found.dataset()
    assert data.class_names == ("amber", "blue", "green")
    assert data.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.images.shape == (12, 8, 8, 3)
    files = [folder / path for path in found.samples.paths.to_pylist()]
    assert found.content_hash().to_pylist() == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert set(found.files["width"].to_pylist()) == {12}
    assert len(found.unreadable) == 0


def test_kept_on_disk_or_in_memory_it_is_the_same(broken, tmp_path):
    on_disk, in_memory = opened(broken, tmp_path), opened(broken, tmp_path / "none", cached=False)
    np.testing.assert_array_equal(on_disk.images, in_memory.images)
    assert on_disk.files.equals(in_memory.files)
    assert on_disk.unreadable.equals(in_memory.unreadable)
    assert not (tmp_path / "none").exists()


def test_embedded_images_give_what_their_files_give(folder, embedded, tmp_path):
    assert opened(embedded, tmp_path).digest() == opened(folder, tmp_path).digest()


def test_the_digest_is_of_content_and_label_wherever_they_are(folder, tmp_path):
    found = opened(folder, tmp_path)
    elsewhere = opened(shutil.copytree(folder, tmp_path / "elsewhere"), tmp_path)
    assert found.digest() == elsewhere.digest() == found.digest(np.arange(12))
    assert opened(elsewhere.samples.root, tmp_path, size=9).digest() == found.digest()
    (elsewhere.samples.root / "amber" / "000.png").rename(elsewhere.samples.root / "blue" / "000a.png")
    assert opened(elsewhere.samples.root, tmp_path).digest() != found.digest()


def test_the_digest_of_some_samples_is_that_of_a_data_set_of_them(folder, tmp_path):
    keep = np.array([0, 2, 5, 9])
    part = open_samples(read_samples(folder).take(keep), 8, cache_dir=tmp_path, workers=1)
    assert opened(folder, tmp_path).digest(keep) == part.digest()


def test_unreadable_files_are_named_and_leave_no_gap(broken, tmp_path, caplog):
    found = opened(broken, tmp_path)
    assert found.unreadable.to_pylist() == [
        {"path": "amber/001.png", "reason": "not an image"},
        {"path": "green/003.png", "reason": "empty"},
    ]
    assert (len(found), len(found.images), len(found.files)) == (10, 10, 10)
    assert found.samples.paths[1].as_py() == "amber/002.png"
    assert "2 of 12 images cannot be read and are left out, such as amber/001.png: not an image" in caplog.text


def test_more_unreadable_files_than_allowed_are_refused(broken, tmp_path):
    with pytest.raises(DataError, match=r"2 of 12 .*\(16.7%\).* raise --max-unreadable \(now 16%\)"):
        opened(broken, tmp_path, max_unreadable=16)
    assert len(opened(broken, tmp_path, max_unreadable=17)) == 10


def test_data_without_any_readable_image_or_with_one_class_of_them_are_refused(folder, tmp_path):
    for file in [*(folder / "blue").iterdir(), *(folder / "green").iterdir()]:
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match="all readable images have the label 'amber'; two are needed"):
        opened(folder, tmp_path)
    assert len(opened(folder, tmp_path, one_class=True)) == 4
    for file in (folder / "amber").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="none of 12 images can be read, such as amber/000.png: empty"):
        opened(folder, tmp_path, one_class=True)
    with pytest.raises(DataError, match="no image can be read"):
        image_size(read_samples(folder), 64)


def test_a_run_directory_gets_one_row_per_sample_and_the_unreadable_files(broken, tmp_path):
    run = Run(tmp_path / "run")
    found = opened(broken, tmp_path)
    found.write(run)
    table = pq.read_table(run.samples)
    assert table.column_names == ["sample_id", "path", "label", "content_hash", "width", "height", "row"]
    assert table["path"].to_pylist() == found.samples.paths.to_pylist()
    assert table["row"].to_pylist() == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert pyarrow.csv.read_csv(run.unreadable)["path"].to_pylist() == ["amber/001.png", "green/003.png"]
    assert not run.manifest.exists()


@pytest.mark.parametrize("most_bytes", [1 << 31, 1])
def test_tables_of_many_blocks_and_of_long_texts_are_those_of_one(folder, tmp_path, monkeypatch, most_bytes):
    files = sorted(folder.rglob("*.png"), reverse=True)
    (folder / "blue" / "002.png").write_bytes(b"broken")
    splits = ["test" if at in (4, 5, 9) else "train" for at in range(len(files))]
    rows = [
        {"path": str(file.relative_to(folder)), "label": file.parent.name, "split": split}
        for file, split in zip(files, splits, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "list.parquet", row_group_size=5)
    whole, blocks = Run(tmp_path / "whole"), Run(tmp_path / "blocks")
    opened(folder / "list.parquet", tmp_path).write(whole)
    monkeypatch.setattr("aumclean.dataset.open.ROWS", 3)
    monkeypatch.setattr("aumclean.dataset.cache.BLOCK", 1)
    monkeypatch.setattr("aumclean.dataset.decode.CHUNK", 2)
    monkeypatch.setattr("aumclean.dataset.manifest.MOST_BYTES", most_bytes)
    found = opened(folder / "list.parquet", tmp_path / "again")
    assert pa.types.is_large_string(found.samples.paths.type) == (most_bytes == 1)
    found.write(blocks)
    assert parquet.read(blocks.samples, SAMPLES).equals(parquet.read(whole.samples, SAMPLES))
    assert parquet.read(blocks.manifest, None)["path"].to_pylist() == [
        row["path"] for row in rows if row["split"] == "train" and row["path"] != "blue/002.png"
    ]
    assert blocks.unreadable.read_bytes() == whole.unreadable.read_bytes()
    assert found.digest() == opened(folder / "list.parquet", tmp_path).digest()


def test_data_that_have_changed_since_a_run_are_noticed(folder, tmp_path, save_image):
    found = opened(folder, tmp_path)
    data = SimpleNamespace(fingerprint=found.digest(), source=str(folder))
    run = SimpleNamespace(path=tmp_path / "run", read=lambda: SimpleNamespace(data=data))
    found.require_unchanged(run)
    save_image(folder / "blue" / "002.png", colour=(0, 0, 0), seed=99)
    with pytest.raises(RunError, match="photos have changed since; scan them again"):
        opened(folder, tmp_path).require_unchanged(run)


def test_hashes_are_known_before_anything_is_decoded(broken):
    samples = read_samples(broken)
    assert content_hashes(samples)[:2] == [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((broken / "amber").iterdir())[:2]
    ]
    assert content_hashes(samples)[-1] is None


def test_a_source_that_cannot_be_read_is_named_and_not_the_cache(embedded, tmp_path):
    samples = read_samples(embedded)
    whole = embedded.read_bytes()
    embedded.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match=r"data.parquet: is not a readable parquet table"):
        open_samples(samples, 8, cache_dir=tmp_path / "cache", workers=1)
    gone = replace(samples, images=replace(samples.images, files=(tmp_path / "gone.parquet",)))
    with pytest.raises(DataError, match=r"gone.parquet: "):
        open_samples(gone, 8, cache_dir=tmp_path / "cache", workers=1)


def test_a_cache_that_cannot_be_written_is_named(folder, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"cache: cannot be written .*another --cache-dir"):
        opened(folder, tmp_path)


def test_nothing_to_open_is_no_error_where_that_may_be(folder):
    none = open_samples(read_samples(folder).take(np.arange(0)), 8, cached=False, one_class=True, workers=1)
    assert (len(none), none.images.shape) == (0, (0, 8, 8, 3))
