import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from aumclean.features.discriminant import FOLDS, by_halves, folds, in_folds, of_all
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
    fold = np.arange(300) % FOLDS
    before = in_folds(rows, labels, 4, fold, (0.5,))
    changed = np.where(fold == 2, (labels + 1) % 4, labels)
    after = in_folds(rows, changed, 4, fold, (0.5,))
    np.testing.assert_allclose(after[2][0].log_probs(rows), before[2][0].log_probs(rows), atol=1e-4)
    assert np.abs(after[1][0].log_probs(rows) - before[1][0].log_probs(rows)).max() > 0.1


def test_a_half_was_taught_neither_the_sample_nor_what_the_other_half_was():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    rows = rng.normal(size=(300, 60)) + rng.normal(size=(4, 60))[labels]
    fold = np.arange(300) % FOLDS
    before = by_halves(rows, labels, 4, fold, 0.5)
    changed = by_halves(rows, np.where((fold == 2) | (fold == 3), (labels + 1) % 4, labels), 4, fold, 0.5)
    inside = fold == 1  # the first half is taught folds 2 and 3, the second 4 and 0
    assert (before[0] == labels)[inside].mean() > 0.8
    assert (changed[0] == (labels + 1) % 4)[inside].mean() > 0.8
    assert (changed[1] == before[1])[inside].all()


def test_fewer_samples_than_features_and_a_class_that_a_fold_lacks_are_finite():
    rng = np.random.default_rng(1)
    rows, labels = rng.normal(size=(12, 40)).astype(np.float32), np.array([0] * 6 + [1] * 5 + [2])
    fold = np.arange(12) % FOLDS
    found = in_folds(rows, labels, 3, fold, (0.1, 0.9))
    assert all(np.isfinite(one.log_probs(rows)).all() for each in found for one in each)
    two_folds = np.minimum(fold, 1)  # as where all images are copies of two
    assert np.isin(by_halves(rows, labels, 3, two_folds, 0.5), range(3)).all()


def test_the_content_decides_of_the_fold_and_a_group_is_in_one():
    rng = np.random.default_rng(0)
    digests, group = rng.integers(0, 256, (500, 32), dtype=np.uint8), np.arange(500)
    group[[7, 9, 400]] = 7
    fold = folds(group, digests)
    assert len(set(fold[[7, 9, 400]])) == 1
    assert np.bincount(fold, minlength=FOLDS).min() > 75
    later = np.insert(digests, 3, rng.integers(0, 256, 32, dtype=np.uint8), axis=0)  # an image was added
    added = np.insert(np.where(group >= 3, group + 1, group), 3, 3)
    assert (np.delete(folds(added, later), 3) == fold).all()


@pytest.mark.parametrize("n_classes", [8, 12])
def test_errors_with_a_direction_are_found_also_between_classes_of_unequal_size(n_classes):
    """Of some classes most samples that have their label are those of a larger one, wrongly."""
    size = np.geomspace(1, 0.1, n_classes)[np.random.default_rng(0).permutation(n_classes)]
    rng = np.random.default_rng(0)
    true = rng.choice(n_classes, 3000, p=size / size.sum())
    rows = 0.8 * rng.normal(size=(n_classes, 32))[true] + rng.normal(size=(3000, 32))
    labels = np.where(rng.random(3000) < 0.2, (true + 1) % n_classes, true)
    fold = np.arange(3000) % FOLDS
    log_probs = np.empty((1, 3000, n_classes), np.float32)
    for number, (found,) in enumerate(in_folds(rows, labels, n_classes, fold, (0.5,))):
        log_probs[0, fold == number] = found.log_probs(rows[fold == number])
    noise, wrong = fit(log_probs, labels), labels != true
    flagged = noise.log_odds(log_probs, labels) > 0
    assert flagged[wrong].mean() > 0.85
    assert flagged[~wrong].mean() < 0.02
    away = noise.transition - np.diag(np.diag(noise.transition))
    assert (away.argmax(1) == (np.arange(n_classes) + 1) % n_classes).mean() > 0.8
