import threading

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aumclean import chance, machine
from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.errors import TrainingError
from aumclean.margins import margins
from aumclean.training import loop, order
from aumclean.training.device import make_accelerator
from aumclean.training.models import build_model

RECIPE = Recipe("resnet9", epochs=2, learning_rate=0.02, batch_size=16, weight_decay=1e-4)


def coloured(n, classes=3, size=8, seed=0):
    """Images whose class shows in their brightness."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = labels[:, None, None, None] * 80 + rng.integers(0, 40, (n, size, size, 3))
    return Dataset(images.astype(np.uint8), labels.astype(np.int64), tuple("abcdefgh"[:classes]))


def run(dataset, recipe=RECIPE, seed=0, **options):
    return list(loop.train(dataset, recipe, seed=seed, accelerator=make_accelerator("cpu"), **options))


@pytest.mark.parametrize("n", [2, 15, 16, 17, 33, 65])
def test_every_sample_is_recorded_once_per_epoch_also_when_one_would_be_left_over(n):
    for epoch in run(coloured(n)):
        assert epoch.sample.tolist() == list(range(n))
        assert np.isfinite(epoch.margin).all()
        assert epoch.margin.dtype == np.float32


def test_margins_are_of_the_training_pass_before_its_update():
    """One batch and no augmentation: the first epoch must equal a forward pass of the untouched network."""
    dataset = coloured(12)
    plain = Recipe("resnet9", 1, 0.1, 16, 0.0, crop=False, flip=False)
    torch.manual_seed(chance.number(5, "weights"))
    model = build_model("resnet9", 3, 8).train()
    mean, std = (torch.tensor(values) for values in loop.normalisation(dataset))
    pixels = ((torch.from_numpy(dataset.images).float() - mean) / std).permute(0, 3, 1, 2)
    logits = model(pixels)
    expected, runner_up = margins(logits.detach().numpy(), dataset.labels)
    (epoch,) = run(dataset, plain, seed=5)
    np.testing.assert_allclose(epoch.margin, expected, atol=1e-4)
    np.testing.assert_array_equal(epoch.runner_up, runner_up)
    assert epoch.loss == pytest.approx(F.cross_entropy(logits, torch.from_numpy(dataset.labels)).item(), abs=1e-4)
    assert epoch.accuracy == pytest.approx((expected > 0).mean())


@pytest.mark.parametrize("n", [3, 64, 65, 1000])
def test_the_scale_of_pixels_is_their_mean_and_deviation(n):
    images = coloured(n).images
    images[..., 1] = 7
    values = images.reshape(-1, 3)
    mean, std = loop.normalisation(Dataset(images, np.zeros(n, np.int64), ("a",)))
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, [values[:, 0].std(), 1.0, values[:, 2].std()], rtol=1e-12)


def test_the_seed_decides_everything():
    first, again, other = (run(coloured(40), seed=seed)[-1].margin for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_training_goes_on_from_its_checkpoint_bit_for_bit(tmp_path):
    dataset, file = coloured(40), tmp_path / "state.pt"
    recipe = Recipe("resnet9", 4, 0.02, 16, 1e-4, warmup_epochs=2)
    whole = run(dataset, recipe)
    stream = loop.train(dataset, recipe, seed=0, accelerator=make_accelerator("cpu"), checkpoint=file)
    for _ in range(3):  # asking for the third epoch stores the second
        next(stream)
    stream.close()
    rest = run(dataset, recipe, checkpoint=file)
    assert [epoch.number for epoch in rest] == [2, 3]
    for late, straight in zip(rest, whole[2:], strict=True):
        np.testing.assert_array_equal(late.margin, straight.margin)
        np.testing.assert_array_equal(late.runner_up, straight.runner_up)


def test_what_exceeds_the_memory_is_recorded_once_too_and_goes_on_as_it_began(monkeypatch, tmp_path):
    def train(memory, checkpoint=None):
        monkeypatch.setattr(machine, "memory", lambda: memory)
        return loop.train(dataset, RECIPE, seed=0, accelerator=make_accelerator("cpu"), checkpoint=checkpoint)

    dataset, file = coloured(64), tmp_path / "state"
    much, little = 1 << 40, dataset.images.nbytes
    monkeypatch.setattr(order, "BLOCK", little // 16)
    monkeypatch.setattr(order, "BLOCKS", 4)
    first, second = train(little)
    assert first.sample.tolist() == second.sample.tolist() == list(range(64))
    assert (first.margin != next(train(much)).margin).any()

    stopped = train(little, file)
    next(stopped)
    stopped.close()
    begun = train(little, file)
    next(begun)
    next(begun)  # takes the first epoch, so that its state is kept
    begun.close()
    (rest,) = train(much, file)
    np.testing.assert_array_equal(rest.margin, second.margin)


@pytest.mark.parametrize("kill_after", [2, 3, 4])
def test_a_training_closes_when_asked_also_when_it_was_stopped(tmp_path, kill_after):
    dataset, recipe = coloured(40), Recipe("resnet9", 40, 0.02, 16, 1e-4, closing=0.5)

    def epochs(most=None, checkpoint=None):
        close, found = threading.Event(), []
        stream = loop.train(
            dataset, recipe, seed=0, accelerator=make_accelerator("cpu"), checkpoint=checkpoint, close=close
        )
        for epoch in stream:
            found.append(epoch)
            if epoch.number == 2:
                close.set()
            if len(found) == most:
                break
        stream.close()
        return found

    whole = epochs()
    assert [round(epoch.learning_rate, 6) for epoch in whole] == [0.02, 0.02, 0.02, 0.015556, 0.008889, 0.002222]
    epochs(kill_after, tmp_path / "state.pt")
    rest = epochs(checkpoint=tmp_path / "state.pt")
    assert [epoch.number for epoch in rest] == list(range(kill_after - 1, 6))
    np.testing.assert_array_equal(rest[-1].margin, whole[-1].margin)


def test_what_can_be_learned_is_learned():
    epochs = run(coloured(120), Recipe("resnet9", 5, 0.02, 16, 1e-4))
    assert epochs[-1].accuracy > 0.95
    assert epochs[-1].loss < epochs[0].loss


def test_rate_rises_over_the_warm_up_and_then_stays():
    recipe = Recipe("resnet9", 3, 0.1, 16, 0.0, warmup_epochs=1)
    assert [round(recipe.rate_at(step, 4), 4) for step in range(6)] == [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    assert [epoch.learning_rate for epoch in run(coloured(40), recipe)] == pytest.approx([0.1] * 3)


def test_rate_falls_to_a_tenth_at_each_drop():
    paper = Recipe("resnet32", 300, 0.1, 256, 1e-4, drops=(0.5, 0.75))
    rates = [paper.rate_at(epoch * 7 + step, 7) for epoch in (0, 149, 150, 224, 225, 299) for step in (0, 6)]
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 4 + [0.001] * 4)
    short = Recipe("resnet9", 5, 0.1, 16, 0.0, warmup_epochs=1, drops=(0.5, 0.75))
    assert [epoch.learning_rate for epoch in run(coloured(32), short)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_logits_that_are_not_finite_stop_the_run_and_name_the_epoch():
    with pytest.raises(TrainingError, match=r"epoch \d: logits are not finite.*--learning-rate"):
        run(coloured(40), Recipe("resnet9", 3, 1e12, 16, 0.0))


def test_asapp_rounds_logits_through_float16():
    exact, rounded = (
        run(coloured(20), Recipe("resnet9", 1, 0.02, 32, 0.0, round_logits=rounding))[0].margin
        for rounding in (False, True)
    )
    assert (exact != rounded).any()
    np.testing.assert_allclose(exact, rounded, atol=0.02)


def test_a_constant_channel_is_normalised_to_zero_not_to_nan():
    dataset = coloured(20)
    dataset.images[..., 1] = 7
    assert np.isfinite(run(dataset)[0].margin).all()


@pytest.mark.parametrize("n", [3, 7, 63])
def test_batches_of_two_never_leave_one_over(n):
    (epoch,) = run(coloured(n), Recipe("resnet9", 1, 0.02, 2, 0.0))
    assert epoch.sample.tolist() == list(range(n))


def test_the_loss_and_accuracy_of_every_step_make_up_those_of_the_epoch():
    dataset = coloured(37)
    for epoch in run(dataset, Recipe("resnet9", 2, 0.02, 16, 1e-4)):
        assert epoch.step_loss.shape == epoch.step_accuracy.shape == (3,)
        sizes = np.array([13, 12, 12])
        assert np.average(epoch.step_loss, weights=sizes) == pytest.approx(epoch.loss, rel=1e-5)
        assert np.average(epoch.step_accuracy, weights=sizes) == pytest.approx(epoch.accuracy, rel=1e-5)
    assert epoch.step_loss.dtype == epoch.step_accuracy.dtype == np.float32


def test_the_first_steps_loss_is_that_of_the_untouched_network():
    dataset = coloured(12)
    (epoch,) = run(dataset, Recipe("resnet9", 1, 0.1, 16, 0.0, crop=False, flip=False))
    assert epoch.step_loss.tolist() == [pytest.approx(epoch.loss)]
