import hashlib
import io
import math
import re
import shutil

import loky
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from aumclean.dataset import parallel, pictures
from aumclean.dataset.images import Embedded
from aumclean.dataset.pictures import Pictures, pictures_of
from aumclean.errors import RunError
from aumclean.run.directory import Run


def size_of(jpeg):
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return image.size


def test_an_image_comes_back_byte_for_byte(finished):
    found = pictures_of(finished.run)
    path = pq.read_table(finished.run.samples)["path"][17].as_py()
    assert found.encoded(17) == (finished.root / path).read_bytes()


@pytest.mark.parametrize("starting", [-math.inf, math.inf])
def test_thumbnails_keep_the_order_asked_for(finished, monkeypatch, starting):
    monkeypatch.setattr(parallel, "STARTING", starting)
    monkeypatch.setattr(pictures, "CHUNK", 1)
    found = pictures_of(finished.run)
    colours = [
        np.asarray(Image.open(io.BytesIO(jpeg))).mean((0, 1)) for jpeg in found.thumbnails(np.array([300, 2, 150]), 8)
    ]
    expected = [np.asarray(Image.open(io.BytesIO(found.encoded(sample)))).mean((0, 1)) for sample in (300, 2, 150)]
    np.testing.assert_allclose(colours, expected, atol=8)


def test_pictures_of_a_scan_are_made_by_no_more_processes_than_it_was_given(own_run, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("one worker needs no other process")

    monkeypatch.setattr(parallel, "STARTING", -math.inf)
    monkeypatch.setattr(pictures, "CHUNK", 1)
    monkeypatch.setattr(loky, "ProcessPoolExecutor", forbidden)
    record = own_run.read_scan()
    own_run.write(record.model_copy(update={"config": record.config.model_copy(update={"workers": 1})}))
    assert all(pictures_of(own_run).thumbnails(np.arange(3), 8))


def embedded(tmp_path, sizes):
    encoded = []
    for number, size in enumerate(sizes):
        sink = io.BytesIO()
        Image.new("RGB", size, (number, 0, 0)).save(sink, "PNG")
        encoded.append(sink.getvalue())
    file = tmp_path / "images.parquet"
    pq.write_table(pa.table({"image": pa.array(encoded, pa.binary())}), file, row_group_size=2)
    hashes = pa.array([hashlib.sha256(image).hexdigest() for image in encoded])
    return Pictures(Embedded((file,), "image", file), np.arange(len(sizes)), hashes), encoded


def test_images_in_a_parquet_column_are_found_in_every_row_group(tmp_path):
    found, encoded = embedded(tmp_path, [(4, 4)] * 5)
    assert [found.encoded(sample) for sample in range(5)] == encoded


def test_thumbnails_keep_the_shape_and_are_never_enlarged(tmp_path):
    found, _ = embedded(tmp_path, [(200, 100), (30, 60), (5, 5)])
    assert [size_of(jpeg) for jpeg in found.thumbnails(np.arange(3), 50)] == [(50, 25), (25, 50), (5, 5)]


def test_an_image_that_changed_since_the_scan_is_not_shown(tmp_path):
    found, _ = embedded(tmp_path, [(4, 4)] * 3)
    other, _ = embedded(tmp_path, [(4, 4), (9, 9), (4, 4)])
    assert [jpeg is None for jpeg in found.thumbnails(np.arange(3), 8)] == [False, True, False]
    with pytest.raises(OSError, match="has changed"):
        found.encoded(1)
    assert other.encoded(1)


@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot be read any more (missing)"), (b"", "cannot be read any more (empty)")]
)
def test_a_file_that_is_gone_or_emptied_is_named(finished, tmp_path, content, says):
    moved = Run(finished.run.path, shutil.copytree(finished.root, tmp_path / "elsewhere"))
    shown = pictures_of(moved)
    file = shown.images.one(3)
    file.unlink() if content is None else file.write_bytes(content)
    for ask in (lambda: shown.encoded(3), lambda: list(shown.each(np.array([3])))):
        with pytest.raises(OSError, match=re.escape(f"{file}: {says}")):
            ask()


def test_images_that_have_moved_are_found_where_they_are_said_to_be(own_run, finished, tmp_path):
    moved = shutil.copytree(finished.root, tmp_path / "elsewhere")
    shown = pictures_of(Run(own_run.path, moved))
    assert shown.images.one(0).is_relative_to(moved)
    assert shown.encoded(0) == pictures_of(own_run).encoded(0)
    with pytest.raises(RunError, match="--data: .*gone does not exist"):
        pictures_of(Run(own_run.path, tmp_path / "gone"))


def test_pages_show_deep_images_by_the_scale_of_the_scan(own_run, tmp_path):
    record = own_run.read()
    own_run.write(record.model_copy(update={"data": record.data.model_copy(update={"value_range": (0.0, 4095.0)})}))
    assert pictures_of(own_run).decoding.values == (0.0, 4095.0)
