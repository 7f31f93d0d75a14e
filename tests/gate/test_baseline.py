import json

import pytest

from aumclean.errors import ConfigError, RunError
from aumclean.gate.baseline import baseline_of, read_baseline, render, write_baseline
from aumclean.gate.check import suspects

ROWS = [("a", "cat", True, 0.1), ("b", "cat", False, 0.9), ("c", 'it\'s "dog"', False, 0.8), ("d", "dog", None, 0.0)]


def test_what_was_written_is_read_back(subject, tmp_path):
    given = subject([*ROWS, ("b", "dog", False, 0.7)])
    written = baseline_of(given, suspects(given))
    write_baseline(tmp_path / "baseline.json", written)
    assert read_baseline(tmp_path / "baseline.json") == written
    assert len(written.suspects) == 3  # the flagged one and the two copies with different labels
    assert len(written.seen_keys) == 2


def test_one_more_image_is_one_more_line(subject):
    def lines(rows):
        given = subject(rows)
        return set(render(baseline_of(given, suspects(given))).splitlines())

    before, after = lines(ROWS), lines([*ROWS, ("e", "cat", True, 0.2)])
    assert len({line.rstrip(",") for line in after} - {line.rstrip(",") for line in before}) == 1


def test_the_order_of_the_data_changes_nothing(subject):
    first, second = subject(ROWS), subject(ROWS[::-1])
    assert render(baseline_of(first, suspects(first))) == render(baseline_of(second, suspects(second)))


def test_what_is_fixed_stays_seen(subject):
    given = subject(ROWS)
    before = baseline_of(given, suspects(given))
    after = before.without(before.suspects)
    assert after.suspects == []
    assert after.seen_keys == before.seen_keys | before.suspect_keys
    assert after.repeat_deviation == before.repeat_deviation == given.summary.repeat_deviation > 0


def test_a_baseline_of_an_earlier_version_does_not_say_what_another_scan_changes(tmp_path):
    (tmp_path / "b.json").write_text('{"schema_version": 1, "aumclean": "0.1.0", "suspects": [], "seen": {}}')
    assert read_baseline(tmp_path / "b.json").repeat_deviation == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "was not written by aumclean"),
        ('{"schema_version": 1}', "is damaged .suspects: field required.; write a new one"),
        (json.dumps({"schema_version": 99, "suspects": [], "seen": {}}), "schema version 99"),
        (json.dumps({"schema_version": 1, "aumclean": "1", "suspects": [], "seen": {"cat": ["0"]}}), "seen.cat.0"),
        (json.dumps({"schema_version": 1, "aumclean": "1", "suspects": [{"label": 1}], "seen": {}}), "suspects.0"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path, text, says):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(RunError, match=says):
        read_baseline(tmp_path / "b.json")


def test_a_missing_baseline_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="make it with --write-baseline"):
        read_baseline(tmp_path / "none.json")
