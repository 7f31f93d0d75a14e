import numpy as np
import pytest

from aumclean.verdict.held_out import HeldOut, held_out
from aumclean.verdict.noise import agreed_rate, contradicted_rate, noise_rate, per_class, per_pair, random_share, wilson
from tests.verdict.conftest import between_two

NAMES = ("a", "b", "c")


def apart(rate, *, n=3000, wrong_at=-3.0, given_wrong_at=-3.0, seed=3) -> tuple[HeldOut, np.ndarray]:
    """Margins of one draw's indicator samples, of whose labels `rate` are wrong."""
    rng = np.random.default_rng(seed)
    is_wrong = rng.random(n) < rate
    given = np.where(is_wrong, rng.normal(given_wrong_at, 1, n), rng.normal(3, 1, n))
    return between_two(given, rng.normal(wrong_at, 1, (n, 4))), is_wrong


def doubtful(noisy, *, n=4000, skill=2.5, seed=0) -> HeldOut:
    """A network that is often wrong (six of ten right), on samples of five classes whose labels `noisy` changes."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, n)
    logits = rng.normal(size=(n, 5))
    logits[np.arange(n), true] += skill * rng.random(n)
    return held_out(logits.astype(np.float32), noisy(true, rng), rng)


def at_random(share):
    return lambda true, rng: np.where(rng.random(len(true)) < share, (true + rng.integers(1, 5, len(true))) % 5, true)


def the_same_mistake(share):
    return lambda true, rng: np.where(rng.random(len(true)) < share, (true + 1) % 5, true)


def in_one_class(share):
    return lambda true, rng: np.where((true == 2) & (rng.random(len(true)) < share), 3, true)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_rate_is_estimated_within_its_interval(rate):
    draws = [apart(rate, seed=seed)[0] for seed in (3, 4)]
    found = noise_rate(draws, np.random.default_rng(0))
    assert found.low <= found.estimate <= found.high
    assert found.low - 0.01 <= rate <= found.high + 0.01
    assert found.high - found.low < 0.06
    assert random_share(draws) == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize(
    ("noisy", "rate"),
    [(at_random(0), 0), (at_random(0.2), 0.2), (at_random(0.4), 0.4), (the_same_mistake(0.2), 0.2),
     (the_same_mistake(0.4), 0.4), (in_one_class(0.4), 0.08)],
)  # fmt: skip
def test_rate_is_found_by_a_network_that_is_often_wrong(noisy, rate):
    found = noise_rate([doubtful(noisy, seed=seed) for seed in (1, 2)], np.random.default_rng(0))
    assert found.estimate == pytest.approx(rate, abs=0.08)
    assert found.low - 0.03 <= rate <= found.high + 0.02


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("draws", [2, 3])
def test_what_networks_contradict_each_other_on_is_their_own_mistake(rate, draws):
    rng = np.random.default_rng(5)
    n = 20_000
    true = rng.integers(0, 10, n)
    labels = np.where(rng.random(n) < rate, (true + rng.integers(1, 10, n)) % 10, true)
    # calibrated networks: an image looks like any of three classes alike, or like its own, and each says one of them
    unclear = rng.random(n) < 0.3
    among = (true + rng.integers(0, 3, n)) % 10  # so that the true one is any of the three
    predicted = np.stack([np.where(unclear, (among - rng.integers(0, 3, n)) % 10, true) for _ in range(draws)])
    is_indicator = rng.random((draws, n)) < 0.1
    predicted[:, is_indicator.any(0)] = labels[is_indicator.any(0)]  # not to be looked at
    found = agreed_rate(predicted, labels, is_indicator)
    taught = ~is_indicator.any(0)
    contradicted = [(draw != labels)[taught].mean() for draw in predicted]
    pairs = [(one, other) for one in range(draws) for other in range(one)]
    apart_by = np.mean([(predicted[one] != predicted[other])[taught].mean() for one, other in pairs])
    assert found == pytest.approx(max(0, (np.mean(contradicted) - apart_by) / (1 - apart_by)))
    assert found == pytest.approx(rate, abs=0.06)


def test_one_draw_has_none_to_agree_with():
    assert agreed_rate(np.zeros((1, 5), int), np.ones(5, int), np.zeros((1, 5), bool)) is None
    assert agreed_rate(np.array([[0, 1], [1, 0]]), np.zeros(2, int), np.zeros((2, 2), bool)) == 0.0


def test_agreement_counts_once_wrong_labels_are_proved_and_half_where_errors_have_a_direction():
    some, none = [doubtful(at_random(0.3), seed=seed) for seed in (1, 2)], [apart(0.0, seed=seed)[0] for seed in (1, 2)]
    rng = np.random.default_rng
    contradicted = contradicted_rate(some, rng(0)).estimate
    assert noise_rate(some, rng(0), 0.25).estimate == 0.25
    middle = noise_rate(some, rng(0), 0.1, directed=True)
    assert middle.estimate == pytest.approx((0.1 + contradicted) / 2, abs=0.01)
    assert middle.low <= 0.1 < contradicted <= middle.high
    assert noise_rate(none, rng(0), 0.2) == noise_rate(none, rng(0))


def test_rate_counts_the_surest_of_every_predicted_class():
    # class 0: one of ten labels wrong, all of them sure; class 1: of twenty the surer half right, the others wrong
    given = np.array([-9.0] + [9.0] * 9 + [1.0] * 10 + [-0.1] * 10)
    held = HeldOut(given, np.full((30, 1), -9.0), np.array([0] * 10 + [1] * 20), np.abs(given))
    found = contradicted_rate([held], np.random.default_rng(0))
    assert found.estimate == pytest.approx(1 / 15)


def test_random_share_is_not_overestimated_when_wrong_labels_look_worse_than_tried_ones():
    held, is_wrong = apart(0.1, given_wrong_at=-6)
    assert random_share([held]) == pytest.approx(is_wrong.mean(), abs=0.015)


def test_few_samples_do_not_bias_the_estimate():
    draws = [[apart(0.12, n=160, seed=seed)[0] for seed in (2 * s, 2 * s + 1)] for s in range(60)]
    random = [random_share(held) for held in draws]
    assert np.mean(random) == pytest.approx(0.12, abs=0.02)
    rates = [noise_rate(held, np.random.default_rng(0)).estimate for held in draws[:20]]
    assert np.mean(rates) == pytest.approx(np.mean(random[:20]), abs=0.015)


def test_the_interval_is_as_wide_as_samples_differ():
    few, many = (noise_rate([apart(0.3, n=n)[0]], np.random.default_rng(0)) for n in (200, 5000))
    assert few.high - few.low > 3 * (many.high - many.low)


def test_wilson_interval_matches_published_values():
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_classes_are_ordered_by_share_and_the_unjudged_come_last():
    labels = np.array([0] * 4 + [1] * 4 + [2])
    flagged = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0], bool)
    rows = per_class(labels, flagged, labels != 2, NAMES)
    assert [row["label"] for row in rows] == ["b", "a", "c"]
    assert [row["flagged_share"] for row in rows] == [0.5, 0.25, None]
    assert [row["judged"] for row in rows] == [True, True, False]


def test_pairs_count_flagged_samples_with_a_suggestion():
    labels, suggested = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 2, 0, -1])
    rows = per_pair(labels, suggested, np.array([1, 1, 0, 1, 1], bool), NAMES)
    assert rows == [
        {"label": "a", "suggested_label": "b", "flagged": 2},
        {"label": "b", "suggested_label": "a", "flagged": 1},
    ]
