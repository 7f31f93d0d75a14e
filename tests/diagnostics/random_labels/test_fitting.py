import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aumclean.config.recipe import Recipe
from aumclean.diagnostics.random_labels.fitting import (
    Case,
    Fitted,
    SteppedEpoch,
    cross_entropy,
    fit_case,
    steps_to_loss,
    trailing_mean,
)
from aumclean.diagnostics.random_labels.presets import base_recipe, centre, recipes
from aumclean.diagnostics.random_labels.record import Fit
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options
from aumclean.errors import RunError

RECIPE = Recipe("mlp_1x512", 40, 0.02, 32, 0.0, crop=False, flip=False, pixels="image")


TRUE, DATA = Case("true"), Path("data")


def fit(path, study, case=TRUE, seed=0, **options):
    return fit_case(Store(path), study, case, RECIPE, seed=seed, **options)


def test_cross_entropy_is_that_of_torch():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(30, 4)).astype(np.float32) * 20, rng.integers(0, 4, 30)
    expected = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-5)


def test_a_trailing_mean_looks_back_and_never_ahead():
    values = np.array([1.0, 2, 3, 4, 5])
    np.testing.assert_allclose(trailing_mean(values, 2), [1, 1.5, 2.5, 3.5, 4.5])
    np.testing.assert_allclose(trailing_mean(values, 9), [1, 1.5, 2, 2.5, 3])


def test_the_loss_is_reached_when_the_mean_over_an_epoch_is_not_when_one_step_is():
    losses = np.array([1.0, 0.0, 1.0, 1.0, 0.125, 0.125, 0.125])
    assert steps_to_loss(losses, 0.125, 1) == 2
    assert steps_to_loss(losses, 0.125, 3) == 7
    assert steps_to_loss(losses, 0.05, 3) is None


def epochs(*accuracies):
    """Of these accuracies on the training and on the test part."""
    return [
        SteppedEpoch(
            epoch=number,
            loss=0.5,
            accuracy=0.5,
            learning_rate=0.1,
            seconds=1.0,
            train_loss=0.5,
            train_accuracy=on_train,
            test_accuracy=on_test,
            step_loss=[0.5, 0.5],
            step_accuracy=[0.5, 0.5],
        )
        for number, (on_train, on_test) in enumerate(accuracies, start=1)
    ]


def test_a_run_that_did_not_fit_is_censored_and_the_best_epoch_is_the_first_best():
    seen = epochs((0.5, 0.3), (0.9, 0.6), (0.99, 0.6))
    censored = Fitted(Case("random"), "", 0, RECIPE, 0.9, 2, seen, 0.1)
    assert (censored.steps, censored.steps_to_fit, censored.steps_to_loss) == (6, None, None)
    row = censored.row(Fit, corruption="random")
    assert row.steps_to_fit is None
    assert (row.test_error, row.best_test_error, row.best_epoch) == (pytest.approx(0.4), pytest.approx(0.4), 2)


def test_random_labels_are_learned_by_heart_and_stored_as_they_were_drawn(study, tmp_path):
    true, random = fit(tmp_path, study), fit(tmp_path, study, Case("random"))
    assert true.epochs[-1].train_accuracy == random.epochs[-1].train_accuracy == 1
    assert true.steps_to_fit < random.steps_to_fit <= random.steps
    assert random.realised_rate == pytest.approx(0.75, abs=0.15)
    assert true.epochs[-1].test_accuracy > 0.6 > random.epochs[-1].test_accuracy
    drawn = json.loads(Store(tmp_path).training("random-mlp_1x512-seed0.drawn").read_text())
    assert np.mean(np.array(drawn["labels"]) != study.train.labels) == pytest.approx(random.realised_rate)
    assert fit(tmp_path, study, Case("random")) == random  # read, not trained again
    drawn["labels"][0] = 3 - drawn["labels"][0]
    Store(tmp_path).training("random-mlp_1x512-seed0.drawn").write_text(json.dumps(drawn))
    with pytest.raises(RunError, match="another corruption was drawn there"):
        fit(tmp_path, study, Case("random"))


def test_every_step_has_a_loss_and_an_accuracy(study, tmp_path):
    fitted = fit(tmp_path, study, Case("shuffled-pixels"))
    assert fitted.steps_per_epoch == 5
    assert len(fitted.step_column("step_loss")) == len(fitted.step_column("step_accuracy")) == fitted.steps
    permutation = json.loads(Store(tmp_path).training("shuffled-pixels-mlp_1x512-seed0.drawn").read_text())[
        "permutation"
    ]
    assert sorted(permutation) == list(range(256))


def test_the_middle_is_cut_out(study):
    cropped = centre(study.train, 10)
    np.testing.assert_array_equal(cropped.images, study.train.images[:, 3:13, 3:13])


def test_quick_fits_with_convolutions_at_a_rate_that_learns_before_it_memorises(study):
    (recipe,) = recipes(Options(data=DATA), study, "fit")
    assert (recipe.arch, recipe.learning_rate, recipe.batch_size) == ("resnet8-s2d", 0.2, 64)
    asked = recipes(Options(data=DATA, arch="mlp_1x512,small_inception"), study, "fit")
    assert [(each.arch, each.learning_rate) for each in asked] == [("mlp_1x512", 0.01), ("small_inception", 0.1)]
    networks = [each.arch for each in recipes(Options(data=DATA, preset="paper"), study, "sweep")]
    assert networks == ["small_inception", "small_alexnet", "mlp_1x512"]


def test_the_papers_recipe_is_as_published():
    inception, alexnet = (base_recipe("paper", arch) for arch in ("small_inception", "small_alexnet"))
    assert (inception.learning_rate, alexnet.learning_rate) == (0.1, 0.01)
    for recipe in (inception, alexnet):
        assert (recipe.rate_decay, recipe.momentum, recipe.pixels) == (0.95, 0.9, "image")
        assert (recipe.weight_decay, recipe.dropout, recipe.crop, recipe.flip) == (0, 0, False, False)
