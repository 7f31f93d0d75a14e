import numpy as np
import pytest

from aumclean.verdict.calibration import best_cut, calibrate
from aumclean.verdict.held_out import HeldOut, held_out
from aumclean.verdict.noise import random_share
from tests.verdict.conftest import between_two


def test_margins_for_given_and_wrong_labels_agree_with_a_loop():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(30, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 30)
    held = held_out(logits, labels, rng)
    for sample, label in enumerate(labels):
        margin = {y: logits[sample, y] - max(np.delete(logits[sample], y)) for y in range(5)}
        assert held.given[sample] == pytest.approx(margin.pop(label))
        assert sorted(held.wrong[sample]) == pytest.approx(sorted(margin.values()))
        assert held.predicted[sample] == logits[sample].argmax()
        assert held.lead[sample] == pytest.approx(np.ptp(np.sort(logits[sample])[-2:]))


def test_of_many_classes_twenty_other_labels_are_tried_each_once():
    logits = np.tile(np.arange(100, dtype=np.float32), (4, 1))
    held = held_out(logits, np.full(4, 99), np.random.default_rng(1))
    assert held.wrong.shape == (4, 20)
    assert all(len(set(row)) == 20 for row in held.wrong)
    assert (held.wrong < 0).all()


def test_the_threshold_is_where_false_alarms_begin_to_cost_more_than_is_found():
    rng = np.random.default_rng(2)
    given, wrong = rng.normal(2, 1, 30_000), rng.normal(-1, 1, 90_000)
    cuts = np.linspace(-5, 5, 4001)
    gain = [(wrong <= cut).mean() - 1.5 * (given <= cut).mean() for cut in cuts]
    found = best_cut(given, wrong, 0.0)
    assert (wrong <= found).mean() - 1.5 * (given <= found).mean() == pytest.approx(max(gain), abs=1e-3)
    assert found == pytest.approx(0.5 - np.log(1.5) / 3, abs=0.1)  # where one density is 1.5 times the other


def noisy(rate, n=20_000, seed=3) -> HeldOut:
    """Held-out margins where `rate` of the given labels are wrong."""
    rng = np.random.default_rng(seed)
    is_wrong = rng.random(n) < rate
    given = np.where(is_wrong, rng.normal(-1, 1, n), rng.normal(2, 1, n))
    return between_two(given, rng.normal(-1, 1, (n, 3)))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_the_share_of_wrong_labels_is_found(rate):
    assert random_share([noisy(rate, seed=seed) for seed in (1, 2)]) == pytest.approx(rate, abs=0.02)


def test_the_threshold_does_not_depend_on_how_many_given_labels_are_wrong():
    rng = np.random.default_rng(0)
    clean, dirty = (calibrate(noisy(rate), rate, rng).threshold for rate in (0.0, 0.4))
    assert clean == pytest.approx(dirty, abs=0.15)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_the_stated_rates_are_those_of_new_images(rate):
    found = calibrate(noisy(rate), rate, np.random.default_rng(0))
    rng = np.random.default_rng(9)
    right, wrong = rng.normal(2, 1, 50_000), rng.normal(-1, 1, 50_000)
    assert found.detected == pytest.approx((wrong <= found.threshold).mean(), abs=0.01)
    assert found.false_alarms == pytest.approx((right <= found.threshold).mean(), abs=0.015)
    assert found.false_alarms <= found.false_alarms_at_most
    low, high = found.detected_interval
    assert low < found.detected < high
    low, high = found.false_alarms_interval
    assert low < found.false_alarms_at_most < high


def test_equal_margins_do_not_break_it():
    found = calibrate(between_two(np.zeros(5), np.zeros((5, 2))), 0.0, np.random.default_rng(0))
    assert found.scale == 1.0
    assert np.isfinite(found.threshold)
