import pytest

from aumclean.verdict.estimate import estimate, said


def test_none_of_a_thousand_has_an_interval():
    found = estimate(0.0, 0.0, 1000)
    assert (found.estimate, found.low) == (0, 0)
    assert found.high == pytest.approx(0.003682, abs=1e-6)  # Clopper and Pearson: 1 - 0.025^(1/1000)


def test_what_is_badly_known_is_wider_than_chance():
    sure, unsure = estimate(0.1, 0.0, 1000), estimate(0.1, 0.05**2, 1000)
    assert unsure.low < sure.low < 0.1 < sure.high < unsure.high
    assert unsure.high == pytest.approx(0.198, abs=0.001)
    assert estimate(1.0, 0.1, 10)[1:] == pytest.approx((1 - 1.96 * 0.1**0.5, 1), abs=0.01)


def test_what_is_not_known_is_said_to_be_unknown():
    assert said(*estimate(0.25, 0.0001, 400)).startswith("about 25.0% (95% interval 2")
    assert said(None, None, None).startswith("unknown")
