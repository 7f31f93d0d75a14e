import importlib.util
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from aumclean.config.scan import ScanConfig
from aumclean.dataset.open import image_size, open_samples
from aumclean.dataset.read import read_samples
from aumclean.errors import ConfigError, RunError
from aumclean.features import fill as filling
from aumclean.features.fill import fill
from aumclean.features.on_ray import on_ray
from aumclean.training.device import largest_image
from tests.features.conftest import drawing

SHARDS, IMAGES = 2, 10  # of each

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two Parquet shards of different images; in each one that cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    for shard in range(SHARDS):
        encoded = []
        for seed in range(shard * IMAGES, (shard + 1) * IMAGES):
            sink = io.BytesIO()
            drawing(seed, (80, 60)).save(sink, "JPEG")
            encoded.append({"bytes": sink.getvalue(), "path": f"{seed}.jpg"})
        encoded.insert(3, {"bytes": b"no image", "path": f"broken{shard}.jpg"})
        labels = [f"class{row % 2}" for row in range(len(encoded))]
        pq.write_table(pa.table({"image": encoded, "label": labels}), folder / f"train-{shard:05d}.parquet")
    return read_samples(folder)


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    cache = tmp_path_factory.mktemp("alone")
    return fill(photos, "auto", ScanConfig(cache_dir=cache, workers=1)), cache


def stored(cache):
    """All that a cache has, by the content of the image."""
    tables = [pq.read_table(file) for file in sorted((cache / "features").rglob("*.parquet"))]
    return pa.concat_tables(tables).sort_by("content_hash")


def test_every_image_is_looked_at_once_and_what_cannot_be_read_is_named(alone, photos):
    done, cache = alone
    assert (done.images, done.added, len(done)) == (SHARDS * IMAGES, SHARDS * IMAGES, len(photos))
    assert done.unreadable.to_pylist() == [
        {"path": f"broken{shard}.jpg", "reason": "not an image"} for shard in range(SHARDS)
    ]
    again = fill(photos, "auto", ScanConfig(cache_dir=cache, workers=1))
    assert (again.images, again.added) == (SHARDS * IMAGES, 0)
    assert_a_scan_decodes_nothing(photos, cache)


def assert_a_scan_decodes_nothing(photos, cache):
    """White out what is kept: whoever decodes sees something else."""
    for file in cache.glob("*/images.u8"):
        file.write_bytes(bytes([255]) * file.stat().st_size)
    size = image_size(photos, largest_image(torch.device("cpu")))
    assert (open_samples(photos, size, cache_dir=cache, workers=1).images == 255).all()


@needs_ray
@pytest.mark.slow
def test_what_a_task_of_ray_raises_is_raised_here_and_nothing_of_ray_stays():
    import ray

    def fails(task, cpus):
        raise ConfigError(f"no task {task}")

    with pytest.raises(ConfigError, match="^no task 7$"):
        list(on_ray(fails, [7]))
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def cluster():
    """A Ray of one processor that somebody else has started, and that is left as it was."""
    import ray

    with ray.init(num_cpus=1, log_to_driver=False):
        yield
        assert ray.is_initialized()


@needs_ray
@pytest.mark.slow
def test_tasks_of_ray_look_at_every_image_once_and_see_the_same_bytes(cluster, alone, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "SHARD", 6)  # so that a task has rows of two files
    done = fill(photos, "auto", ScanConfig(cache_dir=tmp_path), ray=True)
    expected, cache = alone
    assert (done.images, done.added) == (expected.images, expected.added)
    assert done.unreadable == expected.unreadable
    assert len(list((tmp_path / "features").rglob("*.parquet"))) == 4
    assert stored(tmp_path) == stored(cache)
    assert_a_scan_decodes_nothing(photos, tmp_path)


@needs_ray
@pytest.mark.slow
def test_a_task_that_ray_lost_is_named(cluster):
    def dies(task, cpus):
        import os

        os._exit(1)

    with pytest.raises(RunError, match="^--ray: .*repeat the command"):
        list(on_ray(dies, [7]))
