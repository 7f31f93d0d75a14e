import numpy as np
import pytest
from scipy.special import expit

from aumclean.verdict.label_noise import NO_PEERS, Anchors, alike, fit
from tests.verdict.conftest import evidence, flipped, uniform


def of_held_out(found):
    return found.witness.log_probs[None], found.labels[found.witness.sample], found.wrong[found.witness.sample]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_the_rate_of_errors_on_any_class_is_found(rate):
    found = evidence(uniform(rate), n=6000, n_classes=6)
    log_probs, labels, wrong = of_held_out(found)
    noise = fit(log_probs, labels, found.witness.peers)
    assert expit(noise.log_odds(log_probs, labels)).mean() == pytest.approx(wrong.mean(), abs=0.04)


def test_errors_that_the_networks_learned_show_where_these_agree():
    """Calibrated networks say of every image that one label in five is that of the next class, and are right."""
    found = evidence(flipped(0.2), n=6000, n_classes=5, skill=30.0)
    log_probs, labels, wrong = of_held_out(found)
    expected = 0.2 * alike(5) + 0.8 * np.roll(np.eye(5), 1, axis=1)
    alone, together = (fit(log_probs, labels, peers, expected) for peers in (NO_PEERS, found.witness.peers))
    assert alone.scale[0] < together.scale[0]
    flagged = together.log_odds(log_probs, labels) > 0
    assert flagged[wrong].mean() > 0.95
    assert flagged[~wrong].mean() < 0.05
    next_class = together.transition[np.arange(5), (np.arange(5) + 1) % 5]
    assert next_class == pytest.approx(0.2, abs=0.07)


def test_how_sure_images_are_labeled_tells_what_the_doubts_of_a_network_are():
    """One network alone cannot tell its doubt from that of the labels; 300 images whose class is known can."""
    found = evidence(flipped(0.4), n=3000, n_classes=5, skill=30.0)
    log_probs, labels, wrong = of_held_out(found)
    count = np.zeros((5, 5))
    np.add.at(count, (found.true[:300], found.labels[:300]), 1)
    anchors = Anchors(count, np.ones((5, 5), bool))
    alone, anchored = (fit(log_probs, labels, anchors=known) for known in (None, anchors))
    said = [expit(noise.log_odds(log_probs, labels)) for noise in (alone, anchored)]
    assert said[0].mean() < 0.1
    assert said[1].mean() == pytest.approx(wrong.mean(), abs=0.05)
    assert (said[1] > 0.5)[wrong].mean() > 0.9
    assert (said[1] > 0.5)[~wrong].mean() < 0.1


def test_an_expected_error_is_believed_sooner():
    found = evidence(flipped(0.2), n=600, n_classes=5)
    log_probs, labels, _ = of_held_out(found)
    expected = 0.2 * alike(5) + 0.8 * np.roll(np.eye(5), 1, axis=1)
    plain, informed = (fit(log_probs, labels, found.witness.peers, prior) for prior in (None, expected))
    there = np.arange(5), (np.arange(5) + 1) % 5
    assert informed.transition[there].mean() > plain.transition[there].mean()


def test_the_label_is_never_suggested_and_rows_of_the_transition_sum_to_one():
    found = evidence(uniform(0.2))
    log_probs, labels, _ = of_held_out(found)
    noise = fit(log_probs, labels, found.witness.peers)
    suggested, confidence = noise.suggested(log_probs, labels)
    assert not (suggested == labels).any()
    assert ((confidence >= 0) & (confidence <= 1)).all()
    np.testing.assert_allclose(noise.transition.sum(1), 1)
    assert 0 < noise.information(log_probs, labels) <= 1


def test_labels_predicted_by_chance_gain_nothing():
    rng = np.random.default_rng(3)
    log_probs = np.log(rng.dirichlet(np.ones(4), 400))[None]
    assert fit(log_probs, rng.integers(0, 4, 400)).gain < 6
