from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.errors import DataError
from aumclean.features import extract as extraction
from aumclean.features.extract import extract
from aumclean.features.inference import _through_openvino, _through_torch, _TwoViews
from aumclean.progress import untracked
from aumclean.training.device import make_accelerator
from tests.features.conftest import drawing, save_jpeg


@pytest.fixture(autouse=True, scope="module")
def by_torch():
    """Through torch, since OpenVINO takes two seconds to get ready for each cache that lacks something."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            extraction,
            "features_of",
            lambda chunks, backbone, device: _through_torch(chunks, _TwoViews(backbone).eval(), device),
        )
        yield


@pytest.fixture
def photos(tmp_path):
    """Six photographs of three shapes, in two classes."""
    for number, size in enumerate([(120, 90), (60, 110), (64, 64)] * 2):
        save_jpeg(drawing(number, size), tmp_path / "photos" / f"class{number % 2}" / f"{number}.jpg")
    return tmp_path / "photos"


def looked(folder, backbone, cache, limit_gib=1.0, **options):
    opened = open_samples(read_samples(folder, **options), 32, cached=False)
    return through(opened, backbone, cache, limit_gib=limit_gib)


def through(opened, backbone, cache, **changed):
    options = {"limit_gib": 1.0, "workers": 1, "accelerator": make_accelerator("cpu"), "track": untracked}
    return extract(opened, backbone, cache_dir=cache, **{**options, **changed})


def stored(cache):
    return sorted((cache / "features").rglob("*.parquet"))


def test_openvino_and_torch_agree(backbone):
    images = np.stack([np.asarray(drawing(seed, (224, 224))) for seed in range(6)]).reshape(3, 2, 224, 224, 3)
    model = _TwoViews(backbone).eval()
    (fast,) = _through_openvino([images], model, 224)
    (slow,) = _through_torch([images], model, torch.device("cpu"))
    assert fast.shape == (3, 2, 1280)
    np.testing.assert_allclose(fast, slow, atol=1e-3)


def test_a_view_has_the_features_of_its_own_picture(small_backbone):
    first, second = (np.asarray(drawing(seed, (32, 32))) for seed in range(2))
    chunk = np.array([[first, second], [second, first]])
    (both,) = _through_torch([chunk], _TwoViews(small_backbone).eval(), torch.device("cpu"))
    np.testing.assert_array_equal(both[0, 0], both[1, 1])
    np.testing.assert_array_equal(both[0, 1], both[1, 0])
    assert np.abs(both[0, 0] - both[0, 1]).max() > 0.01


def test_what_comes_out_is_the_root_of_what_was_seen(photos, small_backbone, tmp_path):
    found = looked(photos, small_backbone, tmp_path)
    (shard,) = stored(tmp_path)
    raw = np.frombuffer(b"".join(pq.read_table(shard)["features"].to_pylist()), np.float16).reshape(6, 2, -1)
    assert (raw < 0).any()
    assert (raw > 0).any()
    np.testing.assert_allclose(np.sort(found * np.abs(found), 0), np.sort(raw, 0), atol=1e-3)


def test_what_was_seen_is_not_seen_again_and_added_images_extend_it(photos, small_backbone, tmp_path):
    cache = tmp_path / "cache"
    first = looked(photos, small_backbone, cache, limit=4)
    (shard,) = stored(cache)
    content = shard.read_bytes()
    whole = looked(photos, small_backbone, cache)
    assert len(stored(cache)) == 2
    assert shard.read_bytes() == content
    names = [str(path) for path in read_samples(photos).paths]
    kept = [names.index(str(path)) for path in read_samples(photos, limit=4).paths]
    np.testing.assert_array_equal(whole[kept], first)
    np.testing.assert_array_equal(looked(photos, small_backbone, cache), whole)
    assert len(stored(cache)) == 2


def test_copies_are_looked_at_once_and_each_has_the_features(photos, small_backbone, tmp_path):
    for number in range(3):
        (photos / "class1" / f"copy{number}.jpg").write_bytes((photos / "class0" / "0.jpg").read_bytes())
    found = looked(photos, small_backbone, tmp_path)
    (shard,) = stored(tmp_path)
    assert len(pq.read_table(shard)) == 6
    paths = read_samples(photos).paths.to_pylist()
    assert len({row.tobytes() for row in found}) == 6
    for number in range(3):
        copy = found[paths.index(f"class1/copy{number}.jpg")]
        np.testing.assert_array_equal(copy, found[paths.index("class0/0.jpg")])


def test_an_extraction_that_was_stopped_goes_on_to_the_same_bytes(photos, small_backbone, tmp_path, monkeypatch):
    uninterrupted = looked(photos, small_backbone, tmp_path / "whole")
    monkeypatch.setattr(extraction, "CHUNK", 2)
    monkeypatch.setattr(extraction, "SHARD", 1)
    add = extraction.Store.add
    calls = []

    def die_after_two(self, hashes, values):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(hashes))
        add(self, hashes, values)

    with monkeypatch.context() as patch:
        patch.setattr(extraction.Store, "add", die_after_two)
        with pytest.raises(KeyboardInterrupt):
            looked(photos, small_backbone, tmp_path / "cache")
    assert len(stored(tmp_path / "cache")) == 2
    np.testing.assert_array_equal(looked(photos, small_backbone, tmp_path / "cache"), uninterrupted)
    assert len(stored(tmp_path / "cache")) == 3


def test_a_damaged_shard_is_named(photos, small_backbone, tmp_path):
    looked(photos, small_backbone, tmp_path / "cache")
    (shard,) = stored(tmp_path / "cache")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="is damaged") as caught:
        looked(photos, small_backbone, tmp_path / "cache")
    assert str(shard) in str(caught.value)


def test_an_image_that_changes_meanwhile_is_named(photos, small_backbone, tmp_path):
    opened = open_samples(read_samples(photos), 32, cached=False)
    save_jpeg(drawing(99), photos / "class0" / "2.jpg")
    with pytest.raises(DataError, match=r"2\.jpg: .*changed"):
        through(opened, small_backbone, tmp_path)


def test_every_process_has_a_share_and_together_they_have_all(photos, small_backbone, tmp_path):
    opened = open_samples(read_samples(photos), 32, cached=False)

    class Half:
        device, num_processes = torch.device("cpu"), 2

        def __init__(self, rank, last):
            self.process_index, self.last = rank, last

        def wait_for_everyone(self):
            if not self.last:
                raise StopIteration  # the other process is not there yet

    with pytest.raises(StopIteration):
        through(opened, small_backbone, tmp_path, accelerator=Half(1, False))
    found = through(opened, small_backbone, tmp_path, accelerator=Half(0, True))
    assert sorted(len(pq.read_table(file)) for file in stored(tmp_path)) == [3, 3]
    np.testing.assert_array_equal(found, looked(photos, small_backbone, tmp_path / "alone"))


def test_features_count_against_the_limit_of_the_cache_and_those_in_use_stay(photos, small_backbone, tmp_path):
    looked(photos, small_backbone, tmp_path)
    looked(photos, replace(small_backbone, sha256="another"), tmp_path, limit_gib=1e-9)
    (shard,) = stored(tmp_path)  # of the other backbone
    save_jpeg(drawing(6), photos / "class0" / "6.jpg")
    looked(photos, replace(small_backbone, sha256="another"), tmp_path, limit_gib=1e-9)
    assert shard in stored(tmp_path)
    assert len(stored(tmp_path)) == 2


def test_decoded_images_displace_features_that_nobody_used_for_longer(photos, small_backbone, tmp_path):
    looked(photos, small_backbone, tmp_path)
    options = {"cache_dir": tmp_path, "workers": 1}
    open_samples(read_samples(photos), 16, cache_limit=1.0, **options)
    assert len(stored(tmp_path)) == 1
    open_samples(read_samples(photos), 32, cache_limit=1e-9, **options)
    assert stored(tmp_path) == []
    assert looked(photos, small_backbone, tmp_path).shape[:2] == (6, 2)
