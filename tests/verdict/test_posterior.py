from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from aumclean.verdict.evidence import Evidence, ensemble_of
from aumclean.verdict.label_noise import Peers, alike
from aumclean.verdict.posterior import Witness, posterior, together
from aumclean.verdict.transitions import NO_DIRECTION
from tests.verdict.conftest import compared, evidence, flipped, uniform


def weighed(found, **changed):
    given = {"margins": found.margins, "taught": found.taught, **changed}
    return posterior(found.labels, found.witness.log_probs.shape[1], [compared(found.witness, found.labels)], **given)


def calibration_error(probability, wrong):
    tenth = np.minimum((probability * 10).astype(int), 9)
    return sum(abs(probability[tenth == k].sum() - wrong[tenth == k].sum()) for k in range(10)) / len(wrong)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 0.4])
@pytest.mark.parametrize("n_classes", [3, 10])
def test_probabilities_are_as_often_right_as_they_say(rate, n_classes):
    found = evidence(uniform(rate), n_classes=n_classes, seed=n_classes)
    result = weighed(found)
    assert calibration_error(result.wrong_probability, found.wrong) < 0.05
    assert result.trained


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_two_classes_are_enough(rate):
    found = evidence(uniform(rate), n_classes=2)
    assert calibration_error(weighed(found).wrong_probability, found.wrong) < 0.05


@pytest.mark.parametrize("n_classes", [3, 10])
def test_errors_with_a_direction_are_calibrated_once_it_is_known(n_classes):
    found = evidence(flipped(0.2), n_classes=n_classes, seed=n_classes)
    expected = 0.2 * alike(n_classes) + 0.8 * np.roll(np.eye(n_classes), 1, axis=1)
    result = weighed(found, expected=expected)
    assert calibration_error(result.wrong_probability, found.wrong) < 0.06


def test_intervals_hold_the_truth_as_often_as_they_say_and_have_a_width():
    inside = []
    for seed in range(40):
        found = evidence(uniform((0.0, 0.03, 0.1, 0.3)[seed % 4]), n=600, n_classes=4, seed=seed)
        share = weighed(found).share(np.ones(600, bool))
        assert share.low <= share.estimate <= share.high
        assert share.high - share.low > 0.002
        inside.append(share.low <= found.wrong.mean() <= share.high)
    assert np.mean(inside) >= 0.85


def test_a_few_wrong_labels_of_easy_images_are_flagged_and_no_others():
    for seed in range(10):
        found = evidence(uniform(0.05), n=240, n_classes=3, skill=30.0, seed=seed)
        easy = weighed(found).wrong_probability > 0.5
        assert 2 * (easy & found.wrong).sum() >= 0.9 * (easy.sum() + found.wrong.sum())


def test_nothing_wrong_flags_next_to_nothing():
    for seed in range(5):
        assert (weighed(evidence(uniform(0.0), seed=seed)).wrong_probability > 0.5).mean() < 0.01


def test_networks_that_know_nothing_say_so():
    found = evidence(uniform(0.1), n=300, skill=0.0)
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet(np.ones(5), len(found.witness.sample))).astype(np.float32)
    witness = Witness("network", found.witness.sample, log_probs, Peers([rng.integers(0, 5, len(log_probs))]))
    assert not posterior(found.labels, 5, [witness], found.margins, found.taught).trained


def test_held_out_probabilities_alone_are_enough():
    """Of all samples, as by cross-validation, without networks that were taught anything."""
    found = evidence(uniform(0.15), draws=6, n_classes=5)
    assert len(np.unique(found.witness.sample)) == 3000
    alone = posterior(found.labels, 5, [Witness("pred-probs", found.witness.sample, found.witness.log_probs)])
    assert calibration_error(alone.wrong_probability, found.wrong) < 0.05
    assert roc_auc_score(found.wrong, alone.log_odds) > 0.9


def said(found, skill):
    """What features say of the same samples, whose doubts are not those of the network: log-probabilities."""
    n = len(found.labels)
    seen = np.random.default_rng(9).normal(size=(n, 5))
    seen[np.arange(n), found.true] += skill
    return (seen - np.logaddexp.reduce(seen, axis=1, keepdims=True)).astype(np.float32)


def by_features(found, skill):
    witness = Witness("features", np.arange(len(found.labels)), said(found, skill))
    return posterior(found.labels, 5, [compared(witness, found.labels)])


def test_a_second_kind_of_witness_helps_and_has_a_word_of_its_own():
    found = evidence(uniform(0.15), skill=3.0)
    network, features = weighed(found), by_features(found, 2.0)
    both = together([network, features])
    assert set(both.by) == {"network", "features"}
    alone = [roc_auc_score(found.wrong, one.log_odds) for one in (network, features)]
    assert roc_auc_score(found.wrong, both.log_odds) > max(alone) + 0.005
    assert calibration_error(both.wrong_probability, found.wrong) < 0.05
    share = both.share(np.ones(3000, bool))
    assert share.low <= found.wrong.mean() <= share.high


def test_new_images_are_judged_by_both_kinds():
    """Of the same network and features, a likelihood each: new images are others of the same classes."""
    known, new = (evidence(uniform(0.15), draws=6, skill=3.0, seed=seed) for seed in (1, 2))
    voices = [[one.witness.log_probs[np.argsort(one.witness.sample)], said(one, 2.0)] for one in (known, new)]
    names = ("network", "features")
    witnesses = [Witness(name, np.arange(3000), voice) for name, voice in zip(names, voices[0], strict=True)]
    witnesses = [compared(one, known.labels) for one in witnesses]
    ensemble = ensemble_of(Evidence([], witnesses, NO_DIRECTION), known.labels, 5)
    assert ensemble.counts.sum() == pytest.approx(1)
    log_odds = ensemble.log_odds(voices[1], new.labels)
    alone = [noise.log_odds(one[None], new.labels) for noise, one in zip(ensemble.noises, voices[1], strict=True)]
    assert roc_auc_score(new.wrong, log_odds) > max(roc_auc_score(new.wrong, one) for one in alone)
    assert calibration_error(1 / (1 + np.exp(-log_odds)), new.wrong) < 0.05
    suggested, share = ensemble.suggested(voices[1], new.labels)
    assert (suggested == new.true)[new.wrong].mean() > 0.7
    assert (suggested != new.labels).all() and (share <= 1).all()


def test_features_that_tell_nothing_take_next_to_nothing_away():
    found = evidence(uniform(0.15), skill=3.0)
    network = weighed(found)
    both = together([network, by_features(found, 0.0)])
    assert roc_auc_score(found.wrong, both.log_odds) > roc_auc_score(found.wrong, network.log_odds) - 0.002
    flagged = [((one.wrong_probability > 0.5) & found.wrong).sum() for one in (network, both)]
    assert flagged[1] >= 0.98 * flagged[0]


def test_where_one_kind_is_silent_the_other_decides_and_where_both_are_nothing_is_known():
    found = evidence(uniform(0.15), skill=3.0)
    network, features = weighed(found), by_features(found, 2.0)
    silent = np.arange(3000) < 100
    partly = replace(features, log_odds=np.where(silent, np.nan, features.log_odds))
    np.testing.assert_allclose(together([network, partly]).log_odds[silent], network.log_odds[silent])
    neither = together([partly, replace(network, log_odds=partly.log_odds)])
    np.testing.assert_array_equal(np.isnan(neither.log_odds), silent)
    assert 0 < neither.share(~silent).low < neither.share(~silent).high < 1


def test_what_one_witness_says_of_some_samples_only_is_taken_where_it_says_it():
    found = evidence(uniform(0.1), n=400, draws=2)
    result = posterior(found.labels, 5, [found.witness])
    assert np.isnan(result.log_odds).sum() == 400 - len(found.witness.sample)
    assert np.isfinite(weighed(found).log_odds).all()


def test_expected_recall_and_precision_are_near_the_true_ones():
    found = evidence(uniform(0.2), n=6000, n_classes=5)
    result = weighed(found)
    flagged = result.wrong_probability > 0.5
    precision, recall = result.share(flagged), result.recall(flagged)
    assert precision.low - 0.02 <= found.wrong[flagged].mean() <= precision.high + 0.02
    assert recall.low - 0.02 <= flagged[found.wrong].mean() <= recall.high + 0.02
    nothing = result.share(np.zeros(6000, bool))
    assert (nothing.low, nothing.high) == (0, 1)
