import numpy as np
import pytest

from aumclean.decisions.journal import Decision
from aumclean.review.agreement import agreements, kappa
from aumclean.review.estimate import share_wrong, spot_check_result
from aumclean.verdict.noise import wilson


def test_the_share_of_wrong_ones_counts_who_is_sure():
    low, high = map(float, wilson(2, 3))
    assert share_wrong(["relabel", "remove", "keep", "unsure", None, "contradictory"]) == {
        "wrong": 2, "decided": 3, "share": 2 / 3, "low": low, "high": high, "unsure": 1, "open": 1
    }  # fmt: skip


def test_a_spot_check_counts_each_half_for_itself():
    outcomes = ["relabel", "remove", "keep", "unsure", None, "keep", "keep", "remove", "unsure", None]
    result = spot_check_result(outcomes, [True] * 5 + [False] * 5, 40, 960)
    assert result["precision"] == share_wrong(outcomes[:5]) | {"of": 40}
    assert (result["missed"]["wrong"], result["missed"]["decided"], result["missed"]["of"]) == (1, 3, 960)


def test_without_decisions_the_interval_is_everything():
    part = spot_check_result([None], [True], 1, 0)["precision"]
    assert (part["share"], part["low"], part["high"]) == (None, 0.0, 1.0)


def test_intervals_of_a_spot_check_hold_the_truth():
    rng = np.random.default_rng(0)
    population = rng.random(2000) < 0.1
    inside = 0
    for _ in range(300):
        drawn = rng.choice(population, 60, replace=False)
        said = spot_check_result(["remove" if one else "keep" for one in drawn], [False] * 60, 0, 2000)["missed"]
        inside += said["low"] <= population.mean() <= said["high"]
    assert inside >= 0.93 * 300


def test_kappa_is_that_of_cohens_own_example():
    """Cohen (1960), table 2: po = .70, pc = .41, kappa = .492."""
    table = {("a", "a"): 88, ("a", "b"): 14, ("a", "c"): 18, ("b", "a"): 10, ("b", "b"): 40, ("b", "c"): 10,
             ("c", "a"): 2, ("c", "b"): 6, ("c", "c"): 12}  # fmt: skip
    said = kappa([pair for pair, count in table.items() for _ in range(count)])
    assert said["kappa"] == pytest.approx(0.492, abs=0.001)
    assert said["low"] < said["kappa"] < said["high"]


def test_the_interval_of_kappa_holds_the_truth_mostly():
    """Two reviewers who each flip a fifth of the true answers: agreement is .68, chance is .5."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        truth = rng.random(80) < 0.5
        first, second = ((truth ^ (rng.random(80) < 0.2)).astype(str).tolist() for _ in range(2))
        said = kappa(list(zip(first, second, strict=True)))
        inside += said["low"] <= 0.36 <= said["high"]
    assert inside >= 0.92 * 300


def test_few_answers_that_all_agree_still_have_an_interval():
    said = kappa([("keep", "keep"), ("remove", "remove")] * 3)
    assert said["kappa"] == 1
    assert said["low"] < 0.6
    assert kappa([("keep", "keep")] * 9)["kappa"] is None  # as chance would have it


def test_every_two_reviewers_are_compared_on_what_both_decided():
    keep, remove = (
        Decision(id="a", sample_id=0, content_hash="c", decision=word, reviewer="r") for word in ("keep", "remove")
    )
    found = agreements(
        [{"ann": keep, "bob": keep}, {"ann": keep, "bob": remove}, {"ann": remove}, {"bob": keep, "cy": keep}]
    )
    assert [(one["reviewers"], one["agreed"], one["both"]) for one in found] == [
        (["ann", "bob"], 1, 2),
        (["bob", "cy"], 1, 1),
    ]


def test_agreement_is_never_below_its_least():
    found = kappa([("keep", "remove"), ("remove", "keep"), ("keep", "keep"), ("keep", "keep")])
    assert found["low"] == -1.0 < found["kappa"] < found["high"]
