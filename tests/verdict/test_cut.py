import numpy as np
import pytest

from aumclean.verdict.cut import at_cut, best_f1_cut, combine_final
from aumclean.verdict.noise import Estimate, random_share
from aumclean.verdict.order import Order
from tests.verdict.conftest import between_two

APART = [between_two(np.full(4, 100.0), np.full((4, 2), -100.0))] * 2
"""Held-out margins that put the cut of the best F1 far below the samples of a test, so that their number decides."""


def plain_order(margins):
    """The order of margins [draws, n] that are all of the same scale."""
    return Order(margins.mean(0), margins, False)


def flags(margins, held, rate, judged=None):
    n = margins.shape[1]
    judged = np.ones(n, bool) if judged is None else judged
    return combine_final(plain_order(margins), margins, np.zeros((2, n), bool), judged, held, rate)


def test_the_lowest_of_those_judged_are_flagged_as_many_as_asked():
    rng = np.random.default_rng(0)
    margins, judged = rng.normal(size=(2, 40)), rng.random(40) < 0.9
    found = flags(margins, APART, 0.25, judged)
    ranked = sorted(np.flatnonzero(judged), key=lambda sample: margins[:, sample].mean())
    count = round(0.25 * judged.sum())
    assert set(np.flatnonzero(found.flagged)) == set(ranked[:count])
    assert found.distance[ranked[count - 1]] < 0 < found.distance[ranked[count]]
    np.testing.assert_allclose(np.diff(found.distance), np.diff(margins.mean(0)), atol=1e-12)


@pytest.mark.parametrize(("share", "flagged"), [(0.0, 0), (1.0, 6)])
def test_none_and_all_can_be_flagged(share, flagged):
    found = flags(np.arange(12.0).reshape(2, 6), APART, share)
    assert found.flagged.sum() == flagged
    assert np.isfinite(found.distance).all()


def test_the_cut_of_the_best_f1_is_that_of_a_search():
    rng = np.random.default_rng(1)
    held = between_two(rng.normal(1, 1, 400), rng.normal(-1, 1, (400, 3)))

    def f1(cut, rate=0.3):
        found, flagged = rate * (held.wrong <= cut).mean(), (held.given <= cut).mean()
        return 2 * found / (rate + flagged)

    assert f1(best_f1_cut(held, 0.3)) == pytest.approx(max(map(f1, np.linspace(-4, 4, 4001))), rel=0.01)
    assert best_f1_cut(held, 0.0) == -np.inf


def test_between_right_and_wrong_labels_that_lie_apart_the_number_does_not_matter():
    rng = np.random.default_rng(2)
    is_wrong = rng.random(1000) < 0.12
    final = np.where(is_wrong, -5, 5) + rng.normal(size=(2, 1000))
    held = [between_two(margin[:100], rng.normal(-5, 1, (100, 3))) for margin in final]
    found = flags(final, held, 0.08)
    np.testing.assert_array_equal(found.flagged, is_wrong)


def test_precision_and_recall_of_a_cut_agree_with_the_truth():
    rng = np.random.default_rng(3)
    is_wrong = rng.random(20_000) < 0.3
    given = np.where(is_wrong, rng.normal(0.5, 1, 20_000), rng.normal(3, 1, 20_000))
    held = between_two(given, rng.normal(0.5, 1, (20_000, 4)))
    share = 0.25
    flagged = held.given <= np.quantile(held.given, share)
    rate = Estimate(is_wrong.mean(), 0.28, 0.32)
    found = at_cut([held], share, rate, np.random.default_rng(0))
    assert found["recall"].estimate == pytest.approx((flagged & is_wrong).sum() / is_wrong.sum(), abs=0.02)
    assert found["precision"].estimate == pytest.approx(is_wrong[flagged].mean(), abs=0.02)
    for one in found.values():
        assert one.low < one.estimate < one.high
    assert found["precision"].high / found["precision"].low > 0.32 / 0.28


def test_wrong_labels_that_are_taken_for_right_are_not_said_to_be_found():
    rng = np.random.default_rng(4)
    is_wrong = rng.random(20_000) < 0.3
    given = np.where(is_wrong, rng.normal(1, 1, 20_000), rng.normal(1.5, 1, 20_000))  # as a plausible mistake
    held = between_two(given, rng.normal(-3, 1, (20_000, 4)))
    found = at_cut([held], 0.3, Estimate(0.3, 0.28, 0.32), np.random.default_rng(0))
    flagged = held.given <= np.quantile(held.given, 0.3)
    assert random_share([held]) < 0.01
    assert found["recall"].low < (flagged & is_wrong).sum() / is_wrong.sum() < found["recall"].estimate < 0.7
    assert found["precision"].low < is_wrong[flagged].mean() < found["precision"].high
