import math
from dataclasses import replace

import pytest

from aumclean.config.gate import GateConfig
from aumclean.errors import ConfigError
from aumclean.gate.baseline import baseline_of
from aumclean.gate.check import HYSTERESIS, check, suspects

ROWS = [
    ("a", "cat", True, 0.10),
    ("b", "cat", True, 0.30),
    ("c", "cat", False, 0.80),
    ("d", "dog", True, 0.20),
    ("e", "dog", False, 0.70),
    ("f", "dog", False, 0.90),
    ("g", "emu", None, 0.0),
]


def outcome(subject, **budgets):
    return check(subject, GateConfig(**{"max_unjudged": "100%"} | budgets))


def failing(found):
    return [finding.path for finding in found.findings if finding.failing]


def score_at(distance):
    return 1 / (1 + math.exp(-distance))


@pytest.mark.parametrize(
    ("limit", "passes"), [("3", True), ("2", False), ("50%", True), ("49.9%", False), ("0", False), ("100%", True)]
)
def test_a_budget_holds_up_to_its_limit_over_the_judged_samples(subject, limit, passes):
    found = outcome(subject(ROWS), max_flagged=limit)
    assert found.passed is passes
    assert found.checks[0].measured == "3 of 6 (50.0%)"
    assert failing(found) == ([] if passes else ["cat/a.png", "dog/d.png", "cat/b.png"])


def test_class_budgets_name_the_classes_they_fail_in(subject):
    found = outcome(subject(ROWS), max_class_flagged="40%", classes={"emu": "0"})
    assert [(c.name, c.passed, c.measured) for c in found.checks] == [
        ("max-class-flagged cat", False, "2 of 3 (66.7%)"),
        ("max-class-flagged emu", True, "0 of 0 (0.0%)"),
        ("max-unjudged", True, "1 of 7 (14.3%)"),
    ]
    assert failing(found) == ["cat/a.png", "cat/b.png"]


def test_the_budget_of_a_class_replaces_the_common_one(subject):
    assert outcome(subject(ROWS), max_class_flagged="40%", classes={"cat": "70%"}).passed
    assert not outcome(subject(ROWS), max_class_flagged="70%", classes={"cat": "1"}).passed


def test_budgets_of_what_nobody_looked_for_are_refused(subject):
    by_network = subject(ROWS)
    looked = by_network.report.append_column("near_conflict", [[False] * len(ROWS)])
    by_backbone = replace(by_network, report=looked)
    with pytest.raises(ConfigError, match="--max-near-conflicts: .* does not know near-duplicates"):
        outcome(by_network, max_near_conflicts=0)
    assert outcome(by_backbone, max_near_conflicts=0).passed
    with pytest.raises(ConfigError, match="--max-leaked: .* compared with no other data; scan with --against TEST"):
        outcome(by_backbone, max_leaked=0)
    compared = replace(by_network, report=looked.append_column("leaked_from", [[*[None] * 6, "test/x.png"]]))
    assert outcome(compared, max_leaked=1).passed and not outcome(compared, max_leaked=0).passed


def test_a_budget_for_a_class_that_does_not_exist_is_a_mistake(subject):
    with pytest.raises(ConfigError, match="no class 'dogs'.*did you mean 'dog'"):
        outcome(subject(ROWS), classes={"dogs": "5"})


def test_conflicts_and_unreadable_files_have_budgets_of_their_own(subject):
    rows = [*ROWS, ("c", "dog", False, 0.6)]
    found = outcome(subject(rows, unreadable=[("cat/x.png", "truncated")]), max_conflicts=1, max_unreadable="5%")
    assert [(c.name, c.passed, c.measured) for c in found.checks] == [
        ("max-conflicts", False, "2"),
        ("max-unreadable", False, "1 of 9 (11.1%)"),
        ("max-unjudged", True, "1 of 8 (12.5%)"),
    ]
    assert failing(found) == ["dog/c.png", "cat/c.png", "cat/x.png"]
    assert found.findings[2].message == "cat/x.png cannot be read: truncated"


def test_no_score_below_the_minimum(subject):
    found = outcome(subject(ROWS), min_score=0.25)
    assert failing(found) == ["cat/a.png", "dog/d.png"]
    assert outcome(subject(ROWS), min_score=0.1).passed
    assert failing(outcome(subject(ROWS), min_score=0.75))[-1] == "dog/e.png"


@pytest.mark.parametrize(
    ("unjudged", "limit", "passes"),
    [(1, None, True), (2, None, False), (2, "2", True), (20, "100%", True), (20, None, False)],
)
def test_what_was_not_judged_counts_too(subject, unjudged, limit, passes):
    rows = [(f"u{k}", "cat", None, 0.0) for k in range(unjudged)]
    rows += [(f"j{k}", "cat", False, 0.9) for k in range(20 - unjudged)]
    found = check(subject(rows), GateConfig(max_flagged="50%", **({"max_unjudged": limit} if limit else {})))
    assert found.passed is passes
    assert (found.checks[-1].name, found.checks[-1].measured) == (
        "max-unjudged",
        f"{unjudged} of 20 ({unjudged / 20:.1%})",
    )


def test_without_a_budget_there_is_nothing_to_check(subject):
    with pytest.raises(ConfigError, match="give a budget"):
        outcome(subject(ROWS))
    with pytest.raises(ConfigError, match="--baseline"):
        outcome(subject(ROWS), max_new=3)


def against(before, after, **options):
    return check(after, GateConfig(max_unjudged="100%", **options), baseline_of(before, suspects(before)))


def test_what_the_baseline_accepts_is_not_new(subject):
    found = against(subject(ROWS), subject(ROWS))
    assert found.passed
    assert found.new == 0
    assert found.notes == ("3 suspects known to the baseline",)
    assert [finding.is_new for finding in found.findings] == [False, False, False]


def test_a_new_image_and_a_relabeled_one_are_new_and_a_renamed_one_is_not(subject):
    before = subject(ROWS)
    relabeled = [("z", "dog", True, 0.4), ("c", "emu", True, 0.2), *ROWS[:2], *ROWS[3:]]
    found = against(before, subject(relabeled))
    assert not found.passed
    assert failing(found) == ["emu/c.png", "dog/z.png"]
    assert against(before, subject(relabeled), max_new=2).passed


def test_reviewed_samples_are_not_suspect(subject):
    given = subject(ROWS)
    names = given.keys
    kept = {name for name in names if name.endswith("cat")}
    found = check(given, GateConfig(max_flagged="1", min_score=0.15, max_unjudged="100%"), accepted=kept)
    assert found.passed
    assert "2 flagged samples that reviewers decided to keep not counted" in found.notes


@pytest.mark.parametrize(("distance", "is_new"), [(-0.01, False), (-0.39, False), (-0.41, True), (-3.0, True)])
@pytest.mark.parametrize(("of_baseline", "own"), [(0.0, 0.4), (0.4, 0.0), (0.2, 0.4), (0.4, 0.2)])
def test_a_sample_seen_unflagged_is_new_only_beyond_the_hysteresis(subject, distance, is_new, of_baseline, own):
    before = subject([*ROWS, ("near", "cat", False, score_at(0.01))], repeat_deviation=of_baseline / HYSTERESIS)
    after = subject([*ROWS, ("near", "cat", True, score_at(distance))], repeat_deviation=own / HYSTERESIS)
    found = against(before, after)
    assert found.passed is not is_new
    assert ("near the threshold" in " ".join(found.notes)) is not is_new


@pytest.mark.parametrize(("distance", "is_fixed"), [(0.01, False), (0.39, False), (0.41, True), (None, False)])
def test_a_suspect_is_fixed_only_beyond_the_hysteresis(subject, distance, is_fixed):
    before = subject([*ROWS, ("near", "cat", True, score_at(-0.01))], repeat_deviation=0.0)
    row = ("near", "cat", None, 0.0) if distance is None else ("near", "cat", False, score_at(distance))
    found = against(before, subject([*ROWS, row], repeat_deviation=0.4 / HYSTERESIS))
    assert [suspect.path for suspect in found.fixed] == (["cat/near.png"] if is_fixed else [])


def test_a_suspect_that_is_gone_or_relabeled_is_fixed(subject):
    found = against(subject(ROWS), subject([("a", "dog", False, 0.9), *ROWS[2:]]))
    assert sorted(suspect.path for suspect in found.fixed) == ["cat/a.png", "cat/b.png"]


def test_scores_of_new_images_cannot_tell_what_is_fixed(subject):
    found = against(subject(ROWS), subject([("z", "dog", False, 0.9)], is_scan=False))
    assert found.fixed == ()


def test_names_cannot_end_a_line_or_give_a_command(subject):
    found = outcome(subject([("x\n::error::owned", "##[error]cat", True, 0.1), *ROWS]), max_flagged="0")
    assert found.findings[0].message == (
        r"## [error]cat/x\n::error::owned.png is labeled '## [error]cat', looks like 'dog' (label score 0.100)"
    )
