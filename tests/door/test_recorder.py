"""The Recorder in loops of every kind: plain, resumed, of several processes, with gaps; and what it refuses."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator

import aumclean
from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.errors import ConfigError, DataError, RunError, TrainingError
from aumclean.margins.gather import Gathering, _OnDevice, _OnHost
from aumclean.margins.log import read_block
from aumclean.run.directory import Run
from aumclean.training import loop

N, CLASSES, WRONG = 900, 4, 80


@pytest.fixture(scope="session")
def points():
    """900 points of four classes, the first 80 with the next class as their label: `.x`, `.labels`."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, CLASSES, N)
    x = rng.normal(size=(N, 8)) + 3 * np.eye(CLASSES, 8)[true]
    return SimpleNamespace(x=x, labels=np.where(np.arange(N) < WRONG, (true + 1) % CLASSES, true))


def train(recorder, points, draw, epochs, *, weights=None, sampler=None):
    """Softmax regression in NumPy, step by step; returns the weights, by which it can go on."""
    weights = np.zeros((9, recorder.outputs)) if weights is None else weights.copy()
    targets = np.eye(recorder.outputs)[recorder.training_labels(draw)]
    inputs = np.column_stack([points.x, np.ones(N)])
    for epoch in range(recorder.epochs_done(draw), epochs):
        order = np.random.default_rng([draw, epoch]).permutation(N) if sampler is None else sampler(epoch)
        for start in range(0, len(order), 50):
            index = order[start : start + 50]
            logits = inputs[index] @ weights
            probs = np.exp(logits - logits.max(1, keepdims=True))
            probs /= probs.sum(1, keepdims=True)
            weights -= 0.02 * inputs[index].T @ (probs - targets[index]) / 5
            recorder.update(logits, index, draw)
        recorder.end_epoch(draw)
    return weights


@pytest.fixture(scope="session")
def recorded(points, tmp_path_factory):
    """A finished run of two draws; read it, do not change it."""
    with aumclean.Recorder(points.labels, list("abcd"), out=tmp_path_factory.mktemp("recorded") / "run") as recorder:
        for draw in range(recorder.draws):
            train(recorder, points, draw, 8)
    return aumclean.open_run(recorder.path)


def test_planted_errors_are_found_and_the_rate_is_known(recorded):
    found, rate = set(recorded.suspects["sample_id"]), recorded.summary.noise_rate
    assert len(found & set(range(WRONG))) > 0.8 * WRONG and len(found) < 1.2 * WRONG
    assert rate.low < WRONG / N < rate.high
    assert recorded.summary.warnings == []
    assert recorded.suspects["suggested_label"].notna().mean() > 0.9 and set(recorded.report["n_epochs"]) == {7}


def test_the_record_says_that_a_recorder_made_it(recorded):
    record = Run(recorded.path).read()
    assert (record.made_by, record.draws, record.epochs_done, record.indicators) == ("recorder", 2, [8, 8], True)
    assert [one.kind for one in record.evidence] == ["margins"] and record.data.class_names == list("abcd")


def test_the_page_says_what_the_verdict_rests_on(recorded):
    assert "margins of networks of your own: 2 trainings of 8 epochs" in recorded.reports("html")


def test_margins_equal_those_of_a_scan_to_the_bit(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    dataset = Dataset(rng.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8), np.arange(50) % 3, ("a", "b", "c"))
    own = aumclean.Recorder(dataset.labels, out=tmp_path / "run", indicators=False, draws=1)

    class Both(loop._Recorder):
        def update(self, logits, labels, loss):
            own.update(logits, self.order[self.done : self.done + len(labels)])
            super().update(logits, labels, loss)

    monkeypatch.setattr(loop, "_Recorder", Both)
    recipe = Recipe(arch="resnet9", epochs=2, learning_rate=0.05, batch_size=16, weight_decay=5e-4)
    for epoch in loop.train(dataset, recipe, seed=0, accelerator=Accelerator(cpu=True)):
        own.end_epoch()
        margin, runner_up, _ = read_block(own.path / "margins", 0, range(epoch.number, epoch.number + 1), 0, 50)
        assert margin[0].tobytes() == epoch.margin.tobytes()
        np.testing.assert_array_equal(runner_up[0], epoch.runner_up)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_every_kind_give_the_margins_of_their_numbers(kind, tmp_path):
    logits = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).to(kind).requires_grad_()
    recorder = aumclean.Recorder(np.arange(30) % 3, out=tmp_path / "run", indicators=False, draws=1)
    for batch in torch.arange(30).split(29):  # the last batch is of one
        recorder.update(logits[batch], batch)
    recorder.end_epoch()
    values, row = logits.detach().float().numpy(), np.arange(30)
    own = values[row, row % 3].copy()
    values[row, row % 3] = -np.inf
    np.testing.assert_array_equal(read_block(recorder.path / "margins", 0, range(1), 0, 30)[0][0], own - values.max(1))


def test_sums_on_a_device_are_those_on_the_host():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)
    held = np.flatnonzero(labels == 3)
    of = Gathering(labels, labels == 3, held, 3)
    host, device = _OnHost(of), _OnDevice(of, torch.zeros(1))
    for _ in range(5):
        ids, logits = rng.integers(0, 60, 16), rng.normal(size=(16, 4)).astype(np.float32)
        host.add(logits, ids)
        device.add(torch.from_numpy(logits), torch.from_numpy(ids))
    total, count, runner_up, log_probs = host.arrays()
    for one, other in zip(
        (total, count, log_probs[: len(held)]), np.array(device.arrays(), object)[[0, 1, 3]], strict=True
    ):
        np.testing.assert_allclose(one, other[: len(one)], atol=1e-5)
    once = count[:60] == 1
    np.testing.assert_array_equal(runner_up[:60][once], device.arrays()[2][:60][once])


def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(points, recorded, tmp_path):
    first = aumclean.Recorder(points.labels, list("abcd"), out=tmp_path / "run")
    weights = train(first, points, 0, 5)
    second = aumclean.Recorder(points.labels, list("abcd"), out=tmp_path / "run")
    assert (second.epochs_done(0), second.epochs_done(1)) == (5, 0)
    second.update(np.zeros((3, 5)), [0, 1, 2])  # killed in the middle of an epoch
    third = aumclean.Recorder(points.labels, list("abcd"), out=tmp_path / "run")
    train(third, points, 0, 8, weights=weights)
    train(third, points, 1, 8)
    run = third.finish()
    assert run.summary.flagged_digest == recorded.summary.flagged_digest
    np.testing.assert_array_equal(run.report["aum"], recorded.report["aum"])


def test_a_training_that_goes_on_from_an_older_state_replaces_what_came_after(points, tmp_path):
    recorder = aumclean.Recorder(points.labels, out=tmp_path / "run", draws=1)
    train(recorder, points, 0, 4)
    recorder.update(np.zeros((N, 5)), np.arange(N))
    recorder.end_epoch(epoch=1)
    assert recorder.epochs_done() == 2
    assert not (tmp_path / "run" / "margins" / "draw=0" / "epoch=002").exists()


def test_samples_left_out_and_repeated_are_averaged_and_said(points, tmp_path):
    def sampler(epoch):
        return np.append(np.arange(10 + epoch % 2, N), [N - 1, N - 1])

    recorder = aumclean.Recorder(points.labels, out=tmp_path / "run")
    for draw in range(2):
        train(recorder, points, draw, 6, sampler=sampler)
    run = recorder.finish()
    said = {warning.code: warning.message for warning in run.summary.warnings}
    assert said["left-out"].startswith("11 samples were not seen in every epoch, 10 of them in none")
    assert said["repeated"].startswith("samples were seen again 24 times")
    by_id = run.report.set_index("sample_id").sort_index()
    assert by_id["aum"].isna()[:10].all() and by_id["aum"].notna()[10:].all()
    assert (by_id["n_epochs"][10], by_id["n_epochs"][11]) == (2, 5)  # seen in the epochs 2 and 4; in all but the first


def test_without_indicator_samples_all_are_ranked_and_none_is_flagged(points, tmp_path, aumclean):
    import aumclean as package

    recorder = package.Recorder(points.labels, out=tmp_path / "run", indicators=False, draws=1)
    train(recorder, points, 0, 6)
    run = recorder.finish()
    assert recorder.outputs == CLASSES and run.report["flagged"].isna().all() and run.summary.judged == 0
    assert (run.report["sample_id"][:60] < WRONG).mean() > 0.8
    assert [warning.code for warning in run.summary.warnings] == ["nothing-held-out"]
    assert "0 flagged, noise rate unknown; 1 warning" in repr(run) and "noise rate is unknown" in run._repr_html_()
    said = aumclean("gate", run.path, "--max-flagged", "50%")
    assert said.code == 1 and "max-unjudged" in said.out + said.err
    assert aumclean("report", run.path, "--format", "html", "-o", tmp_path / "page").code == 0


def test_held_out_predictions_make_a_verdict_without_indicator_samples(points, tmp_path):
    recorder = aumclean.Recorder(points.labels, out=tmp_path / "run", indicators=False, draws=1)
    weights = train(recorder, points, 0, 6)
    for half in (np.arange(0, N, 2), np.arange(1, N, 2)):  # as if a network had left each of them out
        recorder.held_out(np.full((len(half), CLASSES), 7.0), half)  # said again below
        recorder.held_out(np.column_stack([points.x, np.ones(N)])[half] @ weights, half)
    run = recorder.finish()
    assert len(set(run.suspects["sample_id"]) & set(range(WRONG))) > 0.8 * WRONG
    assert [(one.kind, one.samples) for one in Run(run.path).read().evidence] == [("margins", N), ("logits", N)]


def test_one_draw_is_judged_by_the_published_threshold(points, tmp_path):
    recorder = aumclean.Recorder(points.labels, out=tmp_path / "run", draws=1)
    train(recorder, points, 0, 8)
    run = recorder.finish()
    assert run.summary.settings.threshold == "indicator" and run.summary.flagged > 0
    assert run.report["aum"].isna().sum() == (recorder.training_labels() == CLASSES).sum()


def test_an_own_log_is_judged_by_the_command_line_too(points, recorded, aumclean, tmp_path):
    np.save(tmp_path / "labels.npy", points.labels)
    said = aumclean("judge", tmp_path / "labels.npy", "--margins", recorded.path, "-o", tmp_path / "run")
    assert said.code == 0, said.err
    report = pq.read_table(tmp_path / "run" / "report.parquet").to_pandas().set_index("sample_id")
    np.testing.assert_allclose(report["aum"].sort_index(), recorded.report.set_index("sample_id")["aum"].sort_index())
    by_indicator = aumclean("report", recorded.path, "--threshold", "indicator", "--format", "json")
    assert report["flagged"].sum() == json.loads(by_indicator.out)["summary"]["flagged"]
    np.save(tmp_path / "fewer.npy", points.labels[:-1])
    said = aumclean("judge", tmp_path / "fewer.npy", "--margins", recorded.path, "-o", tmp_path / "other")
    assert (said.code, said.err.count("\n")) == (2, 1) and "has the sample 899; there are 899 labels" in said.err


def test_what_the_package_aum_wrote_is_judged(points, aumclean, tmp_path):
    from aumclean.compat import AUMCalculator

    calculator = AUMCalculator(str(tmp_path), compressed=False)
    rng = np.random.default_rng(0)
    for _ in range(4):
        logits = rng.normal(size=(N, CLASSES))
        logits[np.arange(N), (points.labels - (np.arange(N) < WRONG)) % CLASSES] += 4
        calculator.update(logits, points.labels, np.arange(N))
    calculator.finalize()
    np.save(tmp_path / "labels.npy", points.labels)
    for file in ("aum_values.csv", "full_aum_records.csv"):
        said = aumclean("judge", tmp_path / "labels.npy", "--aum", tmp_path / file, "-o", tmp_path / file[:4])
        assert said.code == 0 and "nothing-held-out" in said.err, said.err
        report = pq.read_table(tmp_path / file[:4] / "report.parquet").to_pandas()
        assert (report["sample_id"][:60] < WRONG).all() and report["flagged"].isna().all()
        values = np.genfromtxt(tmp_path / "aum_values.csv", delimiter=",", names=True)
        expected = values["aum"][np.argsort(values["sample_id"])]
        np.testing.assert_allclose(report.set_index("sample_id")["aum"].sort_index(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("act", "error", "why"),
    [
        (lambda one: one.update(np.zeros((2, CLASSES)), [0, 1]), DataError, r"must be \[2, 5\], one more than classes"),
        (lambda one: one.update(np.zeros((2, 5)), [0]), DataError, "for 1 ids"),
        (lambda one: one.update(np.zeros((2, 5)), [0, N]), DataError, "there are the samples 0 to 899"),
        (
            lambda one: one.update(np.zeros((2, 5)), [0, 1], draw=2),
            ConfigError,
            "draw: 2 is not among the draws, 0 to 1",
        ),
        (lambda one: one.end_epoch(), DataError, "nothing was recorded in epoch 0 of draw 0"),
        (lambda one: one.finish(), RunError, "draw 0 has no epochs yet"),
        (lambda one: one.held_out(np.full((1, 4), np.nan), [3]), DataError, "logits of sample 3 are not finite"),
        (lambda one: one.held_out(np.zeros((1, 4)), [3], fold=-1), ConfigError, "fold: -1 is below 0"),
        (lambda one: one.end_epoch(epoch=1), ConfigError, "epoch: 1 is not the next one of draw 0 .* 0 are recorded"),
        (lambda one: one.end_epoch(epoch=-1), ConfigError, "epoch: -1 is not the next one of draw 0"),
        (lambda one: one.finish(percentil=95), ConfigError, "did you mean 'percentile'"),
        (lambda one: one.finish(threshold="x"), ConfigError, "--threshold: input should be 'indicator' or 'estimate'"),
    ],
)
def test_what_cannot_be_recorded_is_refused(act, error, why, points, tmp_path):
    recorder = aumclean.Recorder(points.labels, out=tmp_path / "run")
    with pytest.raises(error, match=why):
        act(recorder)


def test_logits_that_are_not_finite_stop_with_their_epoch(points, tmp_path):
    recorder = aumclean.Recorder(points.labels, out=tmp_path / "run")
    recorder.update(np.full((1, 5), np.nan), [3])
    with pytest.raises(TrainingError, match="epoch 0 of draw 0"):
        recorder.end_epoch()


def test_a_run_of_others_is_not_taken_over(points, recorded, tmp_path):
    with pytest.raises(RunError, match="holds a run already"):
        aumclean.Recorder(points.labels, list("abcd"), out=recorded.path)
    aumclean.Recorder(points.labels, out=tmp_path / "run")
    with pytest.raises(RunError, match="was begun with other labels"):
        aumclean.Recorder(points.labels[::-1], out=tmp_path / "run")
    aumclean.Recorder(points.labels[::-1], out=tmp_path / "run", overwrite=True)


IN_PROCESSES = """
import sys, numpy as np, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset, DistributedSampler
import aumclean

dist.init_process_group("gloo")
rng = np.random.default_rng(0)
labels = np.arange(101) % 3
x = torch.tensor(rng.normal(size=(101, 4)) + 3 * np.eye(3, 4)[labels], dtype=torch.float32)
with aumclean.Recorder(labels, out=sys.argv[1], draws=1) as recorder:
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Linear(4, recorder.outputs))
    targets = torch.from_numpy(recorder.training_labels())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = TensorDataset(x, torch.arange(101))
    sampler = DistributedSampler(data)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for images, index in DataLoader(data, 8, sampler=sampler):
            logits = model(images)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, targets[index]).backward()
            optimizer.step()
            recorder.update(logits, index)
        recorder.end_epoch()
dist.destroy_process_group()
"""


def test_two_processes_record_each_sample_once_though_their_sampler_pads(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    (tmp_path / "script.py").write_text(IN_PROCESSES)
    command = [
        *launcher,
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
        tmp_path / "script.py",
        tmp_path / "run",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    run = aumclean.open_run(tmp_path / "run")
    assert sorted(file.name for file in (tmp_path / "run/margins/draw=0/epoch=002").iterdir()) == [
        "part-0.parquet",
        "part-1.parquet",
    ]
    assert (run.report["n_epochs"][run.report["aum"].notna()] == 2).all()
    assert [one.code for one in run.summary.warnings if one.code == "repeated"] == [
        "repeated"
    ]  # 102 seats, 101 samples
    assert Run(run.path).read().repeated == 3
