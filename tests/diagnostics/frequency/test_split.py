import json

import numpy as np
import pytest
from PIL import Image

from aumclean.dataset.read import read_samples
from aumclean.diagnostics.frequency import split as module
from aumclean.diagnostics.frequency.bands import Disc
from aumclean.diagnostics.frequency.split import Looks, split
from aumclean.errors import ConfigError, DataError


@pytest.fixture
def mixed(tmp_path):
    """Seven images of three sizes, odd and not square among them, and one file that is no image."""
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(16, 16)] * 3 + [(15, 21)] * 2 + [(40, 9)] * 2):
        path = tmp_path / "data" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    (tmp_path / "data" / "a" / "broken.png").write_bytes(b"no image")
    return read_samples(tmp_path / "data")


def test_images_of_any_size_are_split_and_what_cannot_be_read_is_listed(mixed, tmp_path):
    report, store = split(mixed, Disc(3), out=tmp_path / "out", device="cpu", pictures=8)
    record = json.loads(store.record.read_text())
    assert record["facts"] == {"images": 7, "unreadable": 1}
    assert [row["path"] for row in record["tables"]["unreadable"]] == ["a/broken.png"]
    energies = [row["energy_low"] for row in record["tables"]["energy"]]
    assert energies == sorted(energies) and 0.7 < energies[0] < 0.8  # the mean of uniform noise: 3/4
    pngs = sorted(file.name for file in (store.path / "low").iterdir())
    assert len(pngs) == 7
    with Image.open(store.path / "low" / pngs[0]) as image:
        assert image.size == (16, 16)
    assert report.settings["high-pass pictures"] == "on grey"


def test_energy_below_a_radius_is_counted_as_the_full_transform_has_it(mixed, tmp_path):
    report, _ = split(mixed, Disc(4), out=tmp_path / "out", device="cpu", pictures=0)
    shares = []
    for path in mixed.paths.to_pylist():
        try:
            with Image.open(mixed.root / path) as image:
                pixels = np.asarray(image).astype(float)
        except OSError:
            continue
        squared = (np.abs(np.fft.fft2(pixels, axes=(0, 1))) ** 2).sum(2)
        height, width = squared.shape
        down, across = np.rint(np.fft.fftfreq(height) * height), np.rint(np.fft.fftfreq(width) * width)
        inside = np.hypot(down[:, None], across[None]) <= 4
        shares.append(squared[inside].sum() / squared.sum())
    (at,) = (row for row in report.tables[0].rows if row.radius == 4)
    assert at.energy_low == pytest.approx(np.mean(shares), rel=1e-5)


def test_floats_add_up_to_the_images_across_batches(bands, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_VALUES", 16 * 16 * 3 * 7)
    samples = read_samples(bands, limit=20)
    _, store = split(samples, Disc(3), out=tmp_path / "out", device="cpu", floats=True, pictures=0)
    low, high = (np.load(store.path / f"{band}.npy") for band in ("low", "high"))
    assert low.shape == (20, 16, 16, 3) and low.dtype == np.float16
    for position, path in enumerate(samples.paths.to_pylist()):
        with Image.open(bands / path) as image:
            np.testing.assert_allclose(low[position].astype(float) + high[position], np.asarray(image), atol=0.2)
    assert store.table("samples").read_text().count("\n") == 21
    assert not list(store.path.rglob("*.part"))


def test_another_split_in_its_place_leaves_nothing_of_the_first(bands, tmp_path):
    samples, asked = read_samples(bands, limit=8), {"out": tmp_path / "out", "device": "cpu", "overwrite": True}
    split(samples, Disc(3), floats=True, pictures=8, **asked)
    _, store = split(samples, Disc(3), pictures=2, **asked)
    assert [len(list((store.path / band).iterdir())) for band in ("low", "high")] == [2, 2]
    assert not list(store.path.glob("*.npy")) and not store.table("samples").exists()


def test_a_batch_is_all_that_is_held(bands, monkeypatch):
    monkeypatch.setattr(module, "BATCH_VALUES", 16 * 16 * 3 * 7)
    parts = module.split_stream(read_samples(bands), Disc(3), module.make_accelerator("cpu").device, [])
    sizes = [len(part) for part in parts]
    assert max(sizes) == 7 and sum(sizes) == 160


def test_looks():
    low, high = np.array([-20.0, 100.0, 300.0]), np.array([-10.0, 0.0, 20.0])
    assert Looks("none").bytes_of(low, high)[1].tolist() == [0, 0, 20]
    assert Looks("offset").bytes_of(low, high)[1].tolist() == [118, 128, 148]
    assert Looks("gain", 3).bytes_of(low, high)[1].tolist() == [98, 128, 188]
    assert Looks("image-max").bytes_of(low, high)[1].tolist() == [0, 0, 255]
    assert Looks("none").bytes_of(low, high)[0].tolist() == [0, 100, 255]


def test_what_makes_no_sense_is_one_clear_line(mixed, tmp_path, save_image):
    with pytest.raises(ConfigError, match=r"--radius 99: leaves nothing in the high band of images of 16x16"):
        split(mixed, Disc(99), out=tmp_path / "out", device="cpu")
    with pytest.raises(ConfigError, match="--floats: images differ in size"):
        split(mixed, Disc(3), out=tmp_path / "floats", device="cpu", floats=True)
    assert not list((tmp_path / "floats").glob("*.npy*")) and not list((tmp_path / "floats").glob(".*.part"))
    broken = tmp_path / "broken" / "a" / "x.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match="no image can be read, such as a/x.png"):
        split(read_samples(tmp_path / "broken", one_class=True), Disc(3), out=tmp_path / "none", device="cpu")
