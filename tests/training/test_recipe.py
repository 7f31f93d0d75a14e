"""What the diagnostics ask of a training beyond what a scan does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aumclean.config.recipe import Recipe, closing_epochs
from aumclean.training import augment, loop
from aumclean.training.device import make_accelerator
from aumclean.training.models import Shift, model_of
from aumclean.training.objective import logits_and_loss
from tests.training.test_loop import coloured

BASE = Recipe("resnet8", epochs=2, learning_rate=1e-3, batch_size=16, weight_decay=0.0)


def last(recipe, n=48):
    return list(loop.train(coloured(n), recipe, seed=3, accelerator=make_accelerator("cpu")))[-1]


def test_a_scan_trains_as_it_did_when_no_field_is_given():
    assert (BASE.optimizer, BASE.rate_decay, BASE.mixup, BASE.adversarial, BASE.batch_norm) == ("sgd", 1, 0, 0, True)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "adadelta", "rmsprop"])
def test_every_optimiser_learns(optimizer):
    rate = {"adam": 1e-2, "rmsprop": 1e-3, "adagrad": 1e-2, "adadelta": 1.0, "sgd": 1e-2}[optimizer]
    epochs = list(
        loop.train(
            coloured(48),
            replace(BASE, optimizer=optimizer, learning_rate=rate, epochs=4),
            seed=0,
            accelerator=make_accelerator("cpu"),
        )
    )
    assert epochs[-1].loss < epochs[0].loss


def test_the_rate_falls_by_its_factor_after_every_epoch():
    recipe = replace(BASE, rate_decay=0.5, learning_rate=0.8)
    assert [recipe.rate_at(step, 2) for step in range(6)] == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])


def test_without_batch_norm_no_layer_normalises_and_samples_do_not_see_each_other():
    torch.manual_seed(0)
    model = model_of(replace(BASE, batch_norm=False), 4, 16).train()
    assert not [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [module for module in model.modules() if isinstance(module, Shift)]
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(model(images)[:2], model(images[:2]), atol=1e-5, rtol=1e-4)


def test_dropout_changes_training_only_and_keeps_the_names_of_the_weights():
    torch.manual_seed(0)
    model, plain = model_of(replace(BASE, dropout=0.5), 4, 16), model_of(BASE, 4, 16)
    assert model.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(4, 3, 16, 16)
    model.eval()
    torch.testing.assert_close(model(images), model(images))
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert (model(images) != model(images)).any()


def test_xavier_spreads_weights_within_glorots_bound():
    model = model_of(replace(BASE, xavier=True), 4, 16)
    for layer in (layer for layer in model.modules() if isinstance(layer, nn.Conv2d)):
        outputs, inputs, height, width = layer.weight.shape
        bound = (6 / ((inputs + outputs) * height * width)) ** 0.5
        assert 0.8 * bound < layer.weight.abs().max().item() <= bound


def test_unit_pixels_are_divided_by_255_and_nothing_else():
    mean, std = loop.input_scale(coloured(8), replace(BASE, pixels="unit"))
    assert (mean, std) == ([0.0] * 3, [255.0] * 3)


def step(recipe, seed=0):
    torch.manual_seed(5)
    model = model_of(replace(recipe, batch_norm=False), 3, 8)
    dataset = coloured(12)
    pixels, labels = torch.from_numpy(dataset.images), torch.from_numpy(dataset.labels)
    mean, std = torch.full((3,), 100.0), torch.full((3,), 50.0)
    torch.manual_seed(seed)
    logits, loss = logits_and_loss(model, pixels, labels, mean, std, recipe)
    return model, augment.normalise(pixels, mean, std), labels, logits, loss


def test_mix_up_mixes_images_and_losses_by_one_share():
    recipe = replace(BASE, mixup=0.5)
    model, inputs, labels, logits, loss = step(recipe, seed=9)
    torch.manual_seed(9)
    share = float(torch.distributions.Beta(0.5, 0.5).sample())
    order = torch.randperm(12)
    expected = model(share * inputs + (1 - share) * inputs[order])
    torch.testing.assert_close(logits, expected)
    mixed = share * F.one_hot(labels, 3) + (1 - share) * F.one_hot(labels[order], 3)
    torch.testing.assert_close(loss, -(mixed * expected.log_softmax(1)).sum(1).mean())


def test_adversarial_training_sees_a_higher_loss_than_plain_training():
    plain, attacked = step(BASE)[-1], step(replace(BASE, adversarial=0.05, adversarial_steps=3))[-1]
    assert attacked > plain
    assert attacked.requires_grad


def test_images_of_a_filter_train_as_bytes_do():
    dataset = coloured(24)
    (of_bytes,), (of_halves,) = (
        list(loop.train(data, replace(BASE, epochs=1), seed=0, accelerator=make_accelerator("cpu")))
        for data in (dataset, dataset.with_images(dataset.images.astype(np.float16)))
    )
    np.testing.assert_allclose(of_bytes.margin, of_halves.margin, atol=1e-5)


def test_closing_early_keeps_the_share_of_closing_epochs():
    for share in (0.0, 0.2, 0.25, 0.5):
        recipe = Recipe("resnet9", 400, 0.1, 64, 0.0, closing=share)
        for epochs in range(1, 150):
            closed = recipe.closed_after(epochs)
            assert closed.epochs - closed.closing_epochs == epochs
            assert 0 <= share * closed.epochs - closed.closing_epochs < 1
            assert closed.epochs - closed.closing_epochs < closed.epochs + 1 - closing_epochs(closed.epochs + 1, share)
    assert Recipe("resnet9", 12, 0.1, 64, 0.0, closing=0.25).closed_after(30).epochs == 12
