import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from aumclean.margins.final import final_margins, write_final
from aumclean.verdict.transitions import (
    NO_DIRECTION,
    Transitions,
    labels_of_surest,
    main_directions,
    read_corrected,
    read_predictions,
    taken_for,
    transitions,
)


def counted(predicted, labels, n_classes):
    pair, count = np.unique(predicted * n_classes + labels, return_counts=True)
    return pair, count.astype(float)


def drawn(rng, chance, n):
    """Predicted classes and labels, as often as the matrix of chances says, and what counting them gives."""
    n_classes = len(chance)
    predicted = rng.integers(0, n_classes, n)
    labels = np.array([rng.choice(n_classes, p=chance[true]) for true in predicted])
    return counted(predicted, labels, n_classes)


def symmetric(rng, n_classes):
    """Errors on any class alike, and two classes that look alike."""
    chance = np.full((n_classes, n_classes), 0.02)
    chance[0, 1] = chance[1, 0] = 0.15
    np.fill_diagonal(chance, 0)
    np.fill_diagonal(chance, 1 - chance.sum(1))
    return chance


def test_what_goes_both_ways_has_no_direction():
    rng = np.random.default_rng(0)
    chance = symmetric(rng, 6)
    directed = sum(len(transitions(*drawn(rng, chance, 900), 6).pair) > 0 for _ in range(200))
    assert directed <= 6  # the test's level is 1%


def test_what_goes_one_way_is_found_with_how_much_likelier_it_is():
    rng = np.random.default_rng(1)
    chance = symmetric(rng, 6)
    chance[4] = [0.02, 0.02, 0.3, 0.02, 0.62, 0.02]
    found = transitions(*drawn(rng, chance, 6000), 6)
    surely = found.pair[found.log_ratio > 1].tolist()
    assert surely == [4 * 6 + 2]
    others = chance[~np.eye(6, dtype=bool)].sum() - 0.28
    assert found.of(np.array([4]), np.array([2]))[0] == pytest.approx(np.log1p(0.28 / (others / 30)), abs=0.15)
    assert found.of(np.array([2, 6]), np.array([4, 2])).tolist() == [0, 0]  # back, and from the indicator class


def by_hand(table):
    """The rule, one pair of classes at a time; the table holds predicted class, label and how many."""
    n_classes, size = len(table), table.sum(1)
    statistic, pairs, left, ratios = 0.0, 0, 0.0, {}
    for a in range(n_classes):
        for b in range(n_classes):
            if a == b or not table[a, b]:
                continue
            there, back = table[a, b] / size[a], table[b, a] / max(size[b], 1)
            pooled = (table[a, b] + table[b, a]) / (size[a] + max(size[b], 1))
            variance = max(pooled * (1 - pooled) * (1 / size[a] + 1 / max(size[b], 1)), 1e-12)
            squared = (there - back) ** 2 / variance
            if a < b or not table[b, a]:
                statistic, pairs = statistic + squared, pairs + 1
            excess = max(there - back, 0) * (1 - 1 / max(squared, 1))
            left += there - excess
            ratios[a * n_classes + b] = excess
    base = max(left / (n_classes * (n_classes - 1)), 1 / size.sum())
    return statistic, pairs, {pair: np.log(1 + excess / base) for pair, excess in ratios.items() if excess > 0}


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 400))
def test_agrees_with_the_rule_written_pair_by_pair(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, max(n_classes - 1, 1), n)  # one class is never predicted
    labels = np.where(rng.random(n) < 0.5, (predicted + 1) % n_classes, predicted)
    pair, count = counted(predicted, labels, n_classes)
    found = transitions(pair, count, n_classes)
    table = np.zeros(n_classes**2)
    table[pair] = count
    statistic, pairs, ratios = by_hand(table.reshape(n_classes, n_classes))
    if found is NO_DIRECTION:
        draws = np.random.default_rng(0).chisquare(max(pairs, 1), 4000)
        assert (draws >= statistic).mean() > 0.003
    else:
        of_pair = dict(zip(found.pair.tolist(), found.log_ratio.tolist(), strict=True))
        for pair in of_pair.keys() | ratios.keys():  # rounding may leave an excess of 0 a little above it
            assert of_pair.get(pair, 0.0) == pytest.approx(ratios.get(pair, 0.0), rel=1e-5, abs=1e-9)


def test_a_sample_is_taken_for_the_largest_logit_and_the_surer_one_has_the_larger_probability():
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(50, 6)).astype(np.float32) * 3, rng.integers(0, 6, 50)
    predicted, sureness = taken_for(final_margins(logits, labels), labels)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_array_equal(predicted, logits.argmax(1))
    np.testing.assert_array_equal(sureness.argsort(), probability.max(1).argsort())


def test_margins_are_lowered_by_the_likeliest_error(tmp_path):
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(2, 40, 4)).astype(np.float32), rng.integers(0, 4, 40)
    files = [tmp_path / f"{draw}.parquet" for draw in range(2)]
    for file, of_draw in zip(files, logits, strict=True):
        write_final(file, final_margins(of_draw, labels))
    ratio = np.zeros((4, 4), np.float32)
    ratio[0, 1], ratio[3, 2] = 0.7, 2.0
    pair = np.flatnonzero(ratio)
    found = read_corrected(files, labels, Transitions(4, pair, ratio.ravel()[pair]))
    for draw in range(2):
        for sample, label in enumerate(labels):
            row = logits[draw, sample]
            lowest = min(row[label] - row[other] - ratio[other, label] for other in range(4) if other != label)
            assert found[draw, sample] == pytest.approx(lowest, abs=1e-6)
    final = [final_margins(of_draw, labels).margins[:, 0] for of_draw in logits]
    np.testing.assert_array_equal(read_corrected(files, labels, NO_DIRECTION), final)


def test_the_surest_of_every_predicted_class_count_by_their_labels():
    predicted = np.repeat([[0, 1], [1, 0]], 10, axis=1)
    labels = np.tile([0, 1], 10)
    sureness = np.stack([-np.arange(20.0), np.arange(20.0)])
    pair, count = labels_of_surest(predicted, sureness, labels, 2)
    assert pair.tolist() == [0, 1, 2, 3]
    # draw 1 is surest of samples 0, 1, 2 (taken for 0) and 10, 11, 12 (for 1), draw 2 of 7, 8, 9 and 17, 18, 19
    assert count.tolist() == [1.5, 1.5, 1.5, 1.5]


def test_errors_with_a_direction_are_told_from_their_victims(tmp_path):
    """Every third image of a class is labeled as the next one: networks that know so doubt all labels of both."""
    rng = np.random.default_rng(4)
    true = rng.integers(0, 5, 5000)
    is_wrong = rng.random(5000) < 0.35
    labels = np.where(is_wrong, (true + 1) % 5, true)
    posterior = np.full((5, 5), 0.01) + 0.6 * np.eye(5) + 0.35 * np.roll(np.eye(5), 1, axis=1)
    files = [tmp_path / f"{draw}.parquet" for draw in range(2)]
    for file in files:
        write_final(file, final_margins(np.log(posterior[true]) + rng.normal(0, 1, (5000, 5)), labels))
    final = read_corrected(files, labels, NO_DIRECTION)
    corrected = read_corrected(
        files, labels, transitions(*labels_of_surest(*read_predictions(files, labels), labels, 5), 5)
    )
    without, found = (roc_auc_score(is_wrong, -margins.mean(0)) for margins in (final, corrected))
    assert found > without + 0.1


def test_the_main_direction_of_a_class_has_most_of_its_errors():
    transition = np.array([[0.7, 0.28, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01], [0, 0, 1, 0], [0.15, 0.0, 0.15, 0.7]])
    anywhere = np.ones((4, 4), bool)
    found = main_directions(transition, anywhere)
    assert found.pair.tolist() == [1]
    base = (transition.sum() - np.diag(transition).sum() - 0.28) / 12
    np.testing.assert_allclose(found.log_ratio, [np.log1p(0.28 / base)], rtol=1e-6)
    assert not len(main_directions(transition, ~anywhere).pair)
    assert not len(main_directions(np.array([[0.8, 0.2], [0.1, 0.9]]), np.ones((2, 2), bool)).pair)
