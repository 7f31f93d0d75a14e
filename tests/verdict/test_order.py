import numpy as np
import pytest

from aumclean.verdict.order import held_out_correlation, order_of

N, INDICATORS = 600, 100


@pytest.fixture
def is_indicator():
    """Two draws, the first hundred samples and the next one."""
    place = np.arange(N)
    return np.stack([place < INDICATORS, (place >= INDICATORS) & (place < 2 * INDICATORS)])


def margins_of(is_wrong, gap, rng):
    """Two draws' margins, noisy, in which wrong labels are lower by `gap`."""
    return rng.normal(size=(2, N)) + np.where(is_wrong, -gap, 0.0)


def test_final_and_closing_margins_count_alike_each_in_units_of_its_own_deviation(is_indicator):
    rng = np.random.default_rng(0)
    is_wrong = rng.random(N) < 0.3
    final, closing = (margins_of(is_wrong, 4, rng).astype(np.float32) * [[1], [5]] + 7 for _ in range(2))
    found = order_of(final, closing, margins_of(is_wrong, 1, rng), is_indicator, 0.5)
    plain = []
    for sample in range(N):
        parts = {"final": [], "closing": []}
        for draw in range(2):
            for name, margins in (("final", final), ("closing", closing)):
                taught = margins[draw, ~is_indicator[draw]]
                if name == "final" or not is_indicator[draw, sample]:
                    parts[name].append((margins[draw, sample] - np.mean(taught)) / np.std(taught))
        plain.append((np.mean(parts["final"]) + np.mean(parts["closing"])) / 2)
    assert not found.memorised
    np.testing.assert_allclose(found.distance, plain, atol=1e-4)


def test_what_was_memorised_is_ranked_by_aum(is_indicator):
    rng = np.random.default_rng(1)
    is_wrong = rng.random(N) < 0.3
    final, closing = margins_of(is_wrong, 0, rng), margins_of(is_wrong, 0.2, rng)
    final[is_indicator] = margins_of(is_wrong, 4, rng)[is_indicator]  # which nobody could learn by heart
    aum = margins_of(is_wrong, 2, rng) * [[1], [3]]
    assert not order_of(final, closing, aum, is_indicator, 0.05).memorised
    found = order_of(final, closing, aum, is_indicator, 0.5)
    assert found.memorised
    for sample in (0, INDICATORS, N - 1):
        distances = [
            (aum[draw, sample] - aum[draw, ~is_indicator[draw]].mean()) / aum[draw, ~is_indicator[draw]].std()
            for draw in range(2)
            if not is_indicator[draw, sample]
        ]
        assert found.distance[sample] == pytest.approx(np.mean(distances))


def test_the_correlation_is_of_what_one_draw_was_taught_and_the_other_was_not(is_indicator):
    rng = np.random.default_rng(2)
    margins, final = rng.normal(size=(2, 2, N))
    expected = [
        np.corrcoef(margins[1, :INDICATORS], final[0, :INDICATORS])[0, 1],
        np.corrcoef(margins[0, INDICATORS : 2 * INDICATORS], final[1, INDICATORS : 2 * INDICATORS])[0, 1],
    ]
    assert held_out_correlation(margins, final, is_indicator) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("draws", [1, 2])
def test_without_anything_held_out_the_final_margins_rank(draws):
    rng = np.random.default_rng(3)
    final = rng.normal(size=(draws, N))
    found = order_of(final, final, -final, np.zeros((draws, N), bool), 1.0)
    assert not found.memorised
    expected = (final - final.mean(1, keepdims=True)) / final.std(1, keepdims=True)
    np.testing.assert_allclose(found.distance, expected.mean(0))


def test_constant_margins_have_no_correlation(is_indicator):
    final = np.random.default_rng(4).normal(size=(2, N))
    assert np.isnan(held_out_correlation(np.ones((2, N)), final, is_indicator))
