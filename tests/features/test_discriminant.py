import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from aumclean.features.discriminant import FOLDS, folds, in_folds, of_all
from aumclean.verdict.label_noise import fit


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    rows = rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) + 2 * rng.normal(size=(4, 12))[labels]
    return rows.astype(np.float32), labels


def test_it_is_the_discriminant_of_scikit_learn(clouds):
    rows, labels = clouds
    # another estimate of the covariance there: with features scaled to deviation one before it is shrunk
    spread = np.sqrt(sum(rows[labels == c].var(0) * (labels == c).mean() for c in range(4)))
    rows = rows / np.broadcast_to(spread, rows.shape)
    priors = (np.bincount(labels) + 1) / (len(labels) + 4)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3, priors=priors).fit(rows, labels)
    ours = of_all(rows, labels, 4, 0.3).log_probs(rows)
    np.testing.assert_allclose(ours, theirs.predict_log_proba(rows), atol=0.02)


def test_nothing_said_of_a_sample_depends_on_its_label(clouds):
    rows, labels = clouds
    fold = folds(np.arange(300), seed=3)
    before = in_folds(rows, labels, 4, fold, (0.5,))
    changed = np.where(fold == 2, (labels + 1) % 4, labels)
    after = in_folds(rows, changed, 4, fold, (0.5,))
    np.testing.assert_allclose(after[2][0].log_probs(rows), before[2][0].log_probs(rows), atol=1e-4)
    assert np.abs(after[1][0].log_probs(rows) - before[1][0].log_probs(rows)).max() > 0.1


def test_fewer_samples_than_features_and_a_class_that_a_fold_lacks_are_finite():
    rng = np.random.default_rng(1)
    rows, labels = rng.normal(size=(12, 40)).astype(np.float32), np.array([0] * 6 + [1] * 5 + [2])
    found = in_folds(rows, labels, 3, folds(np.arange(12), seed=0), (0.1, 0.9))
    assert all(np.isfinite(one.log_probs(rows)).all() for fold in found for one in fold)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 5))
def test_a_group_is_in_one_fold(group, seed):
    group = np.array(group)
    fold = folds(group, seed)
    assert set(fold) <= set(range(FOLDS))
    assert all(len(set(fold[group == one])) == 1 for one in set(group))


@pytest.mark.parametrize("n_classes", [8, 12])
def test_errors_with_a_direction_are_found_also_between_classes_of_unequal_size(n_classes):
    """Of some classes most samples that have their label are those of a larger one, wrongly."""
    size = np.geomspace(1, 0.1, n_classes)[np.random.default_rng(0).permutation(n_classes)]
    rng = np.random.default_rng(0)
    true = rng.choice(n_classes, 3000, p=size / size.sum())
    rows = 0.8 * rng.normal(size=(n_classes, 32))[true] + rng.normal(size=(3000, 32))
    labels = np.where(rng.random(3000) < 0.2, (true + 1) % n_classes, true)
    fold = folds(np.arange(3000), seed=0)
    log_probs = np.empty((1, 3000, n_classes), np.float32)
    for number, (found,) in enumerate(in_folds(rows, labels, n_classes, fold, (0.5,))):
        log_probs[0, fold == number] = found.log_probs(rows[fold == number])
    noise, wrong = fit(log_probs, labels), labels != true
    flagged = noise.log_odds(log_probs, labels) > 0
    assert flagged[wrong].mean() > 0.85
    assert flagged[~wrong].mean() < 0.02
    away = noise.transition - np.diag(np.diag(noise.transition))
    assert (away.argmax(1) == (np.arange(n_classes) + 1) % n_classes).mean() > 0.8
