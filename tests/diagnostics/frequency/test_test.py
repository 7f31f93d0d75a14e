import csv
import json

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from aumclean.diagnostics.frequency.accuracy import accuracies, band_logits, judging
from aumclean.diagnostics.frequency.bands import Disc
from aumclean.diagnostics.frequency.test import test as judge
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options
from aumclean.errors import ConfigError, DataError, RunError
from tests.conftest import write_folder
from tests.test_schemas import problems

ASKED = {"device": "cpu", "epochs": 12, "batch_size": 16, "precision": "fp32"}


@pytest.fixture(scope="module")
def judged(bands, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged") / "out"
    return judge(Options(data=bands, out=out, **ASKED), radii=(3,))


def test_each_band_alone_tells_half_of_what_both_tell(judged):
    """Two bits of the label lie in two bands: with one of them gone one bit is left to guess."""
    report, _ = judged
    for row in report.tables[0].rows:
        assert row.original > 0.95
        assert row.low <= 0.75 and row.high <= 0.75


def test_samples_that_need_the_high_band_are_listed_as_they_are_counted(judged):
    report, store = judged
    (accuracy,) = report.tables[0].rows
    assert accuracy.batch_norm == "none"
    assert accuracy.needs_high_share == pytest.approx(0.25, abs=0.05)  # one guess of two on each band
    record = json.loads(store.record.read_text())
    assert record["facts"]["paths_listed"] == accuracy.needs_high
    assert problems("diagnostic", record) == []
    with store.table("needs_high").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == accuracy.needs_high
    assert all(row["low_says"] != row["label"] for row in rows)
    surest = [float(row["confidence_low"]) for row in rows]
    assert surest == sorted(surest, reverse=True)


def test_a_kept_network_is_tested_without_training_and_agrees_with_itself(judged, bands, tmp_path):
    report, store = judged
    file = store.weights("seed=0")
    again, _ = judge(Options(data=file, test=bands, test_split="test", out=tmp_path / "o", **ASKED), radii=(3,))
    assert again.tables[0].values[0] == pytest.approx(report.tables[0].values[0])


def test_another_network_is_another_question(judged, bands, tmp_path):
    _, store = judged
    asked = {"test": bands, "test_split": "test", "out": tmp_path / "o", **ASKED}
    judge(Options(data=store.weights("seed=0"), **asked), radii=(3,))
    with safetensors.safe_open(store.weights("seed=0"), "np") as first:
        weights = {name: 2 * first.get_tensor(name) for name in first.keys()}  # noqa: SIM118
        safetensors.numpy.save_file(weights, tmp_path / "other.safetensors", first.metadata())
    with pytest.raises(RunError, match=r"another question \(networks differ\)"):
        judge(Options(data=tmp_path / "other.safetensors", **asked), radii=(3,))


def test_a_run_is_tested_on_its_own_images(finished, tmp_path):
    report, store = judge(Options(data=finished.run.path, out=tmp_path / "o", device="cpu"), radii=(2,))
    running, batch = report.tables[0].rows
    assert (running.batch_norm, batch.batch_norm) == ("running", "batch")
    assert running.original > 0.85  # one label in twelve is wrong
    assert any("trained on" in sentence for sentence in report.said)
    assert store.read().state == "done"


def test_what_makes_no_sense_is_one_clear_line(judged, bands, tmp_path):
    _, store = judged
    file = store.weights("seed=0")
    with pytest.raises(ConfigError, match="--test PATH"):
        judge(Options(data=file, **ASKED))
    other = write_folder(tmp_path / "other")
    with pytest.raises(DataError, match="has the class 'amber', which the network was not taught"):
        judge(Options(data=file, test=other, **ASKED))
    with pytest.raises(ConfigError, match="--radii 40: leaves nothing in the high band"):
        judge(Options(data=file, test=bands, out=tmp_path / "o", **ASKED), radii=(40,))
    with pytest.raises(ConfigError, match="is a diagnostic; name one of its networks"):
        judge(Options(data=store.path, test=bands, **ASKED))
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"x\.safetensors: cannot be read as a network"):
        judge(Options(data=broken, test=bands, **ASKED))


def test_batch_statistics_are_of_the_batch_and_leave_the_network_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 64, 2)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    options = {"device": torch.device("cpu")}
    batch = band_logits(model, images, [Disc(2)], [0] * 3, [255] * 3, bn_eval="batch", **options)
    running = band_logits(model, images, [Disc(2)], [0] * 3, [255] * 3, bn_eval="running", **options)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    moments = (pixels - pixels.mean((0, 2, 3), keepdim=True)) / (
        pixels.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5
    ).sqrt()
    np.testing.assert_allclose(batch["original"], model[2](moments.flatten(1)).detach().numpy(), atol=1e-4)
    assert np.abs(batch["original"] - running["original"]).max() > 0.1
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])
    assert model.training
    for keeps in (True, False):
        model[0].track_running_stats = keeps
        with judging(model, "batch"):
            assert model[0].training and not model.training
        assert model[0].track_running_stats == keeps


def test_with_batch_statistics_sorted_data_are_judged_as_mixed_data_are():
    """Images of one brightness lie together: batches in that order would take away what tells them apart."""
    model = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        model[3].weight[0], model[3].weight[1] = -1.0, 1.0
        model[3].bias.zero_()
    labels = np.repeat([0, 1], 100)
    noise = np.random.default_rng(0).integers(0, 20, (200, 8, 8, 3))
    images = (100 + 60 * labels[:, None, None, None] + noise).astype(np.uint8)
    logits = band_logits(model, images, [], [0] * 3, [255] * 3, device=torch.device("cpu"), bn_eval="batch")
    assert (logits["original"].argmax(1) == labels).mean() == 1


def test_logits_of_bands_are_those_of_bands_made_by_hand(study):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 4)).eval()
    disc = Disc(3)
    found = band_logits(model, study.test.images, [disc], [10.0] * 3, [50.0] * 3, device=torch.device("cpu"))
    images = study.test.images.astype(np.float64)
    spectrum = np.fft.fft2(images, axes=(1, 2)) * disc._low(16, 16)[:, :, None]
    low = np.fft.ifft2(spectrum, axes=(1, 2)).real
    for name, band in (("original", images), ("low-3", low), ("high-3", images - low)):
        inputs = torch.from_numpy(((band - 10) / 50).transpose(0, 3, 1, 2)).float()
        np.testing.assert_allclose(found[name], model(inputs).detach().numpy(), atol=1e-4)
    right = accuracies(found, study.test.labels)
    assert right["original"] == (found["original"].argmax(1) == study.test.labels).mean()


def test_weights_are_kept_in_the_store(judged):
    _, store = judged
    assert isinstance(store, Store) and store.weights("seed=0").is_file()
