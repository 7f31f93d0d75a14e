import numpy as np
import pytest

from aumclean.features.discriminant import FOLDS, in_folds
from aumclean.verdict.anchors import beyond, corrected
from tests.verdict.conftest import flipped, uniform


@pytest.fixture(scope="module")
def clouds():
    """Features that tell five classes from each other in nine of ten samples, and how to ask a discriminant."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 3000)
    rows = 0.6 * rng.normal(size=(5, 32))[true] + rng.normal(size=(3000, 32))
    fold = np.arange(3000) % FOLDS

    def voices(labels):
        said = np.empty((1, 3000, 5), np.float32)
        for number, (found,) in enumerate(in_folds(rows, labels, 5, fold, (0.3,))):
            said[0, fold == number] = found.log_probs(rows[fold == number])
        return said

    return true, voices


@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_labels_with_a_direction_are_corrected_and_the_discriminant_learns_from_it(clouds, rate):
    true, voices = clouds
    labels = flipped(rate)(true, 5, np.random.default_rng(1))
    before = voices(labels)
    better = corrected(before, labels)
    changed = better != labels
    assert (better == true)[changed].mean() > 0.9
    assert changed[labels != true].mean() > 0.5
    mistakes = [(said[0].argmax(1) != true).sum() for said in (before, voices(better))]
    assert mistakes[1] < 0.7 * mistakes[0]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_labels_without_a_direction_stay_as_given(clouds, rate):
    true, voices = clouds
    labels = uniform(rate)(true, 5, np.random.default_rng(1))
    assert (corrected(voices(labels), labels) != labels).mean() < 0.002


def test_right_labels_of_a_few_images_that_look_alike_mostly_stay_as_given():
    """16 classes in pairs that are alike, a dozen images of each: a discriminant takes a third for the other class."""
    true, changed = np.repeat(np.arange(16), 12), []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        pairs = np.repeat(rng.normal(size=(8, 256)), 2, axis=0)
        means = pairs + 0.24 * rng.normal(size=(16, 256))
        rows = means[true] + 1.5 * rng.normal(size=(len(true), 256))
        fold = rng.permutation(len(true)) % FOLDS
        said = np.empty((1, len(true), 16), np.float32)
        for number, (found,) in enumerate(in_folds(rows, true, 16, fold, (0.9,))):
            said[0, fold == number] = found.log_probs(rows[fold == number])
        changed.append((corrected(said, true) != true).mean())
    assert np.mean(changed) < 0.04


def test_anchors_without_doubt_are_counted_as_they_are():
    count = np.array([[70, 20, 10], [5, 50, 0], [0, 0, 0]])
    assert beyond(0.0, count) == pytest.approx(count)


def test_what_the_doubt_explains_is_no_error():
    count = np.array([[85, 10, 5], [40, 60, 0], [0, 0, 0]])
    left = beyond(0.2, count)
    assert not left[0].any() and not left[2].any()
    assert left[1, 0] / left[1].sum() == pytest.approx((0.4 - 0.2) / (1 - 0.2), abs=0.01)  # 0.4 = 0.2 + 0.8 rate
    assert left[1, 2] == 0


@pytest.mark.parametrize("doubt, rate", [(0.05, 0.1), (0.3, 0.2), (0.4, 0.05)])
def test_as_many_anchors_are_left_as_tell_as_much_of_the_rate(doubt, rate):
    """By how much an estimate of the rate scatters, from as many images with doubt and anchors without."""
    rng, n = np.random.default_rng(0), 2000
    count = np.round(n * np.array([[(1 - doubt) * (1 - rate), doubt + (1 - doubt) * rate], [0, 1]]))
    anchors = beyond(doubt, count)[0].sum()
    with_doubt = (rng.binomial(n, doubt + (1 - doubt) * rate, 20_000) / n - doubt) / (1 - doubt)
    without = rng.binomial(round(anchors), rate, 20_000) / round(anchors)
    assert anchors < n
    assert with_doubt.std() == pytest.approx(without.std(), rel=0.05)
