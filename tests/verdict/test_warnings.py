import numpy as np
import pytest

from aumclean.verdict.warnings import flag_warnings, indicator_warnings, label_warnings


def codes(cautions):
    return [caution.code for caution in cautions]


def test_odd_and_small_classes_are_named():
    names = ("Cat", "cat ", "dog", "emu")
    labels = np.repeat([0, 1, 2, 3], [30, 25, 1, 19])
    found = label_warnings(labels, names)
    assert codes(found) == ["similar-labels", "single-sample-class", "small-class"]
    assert "'Cat', 'cat '" in found[0].message
    assert "'dog'" in found[1].message
    assert "'emu'" in found[2].message


@pytest.mark.parametrize(
    "names", [("0", "0.0"), ("1", "01"), ("-1", "-1."), ("é", "e\u0301"), ("ﬁr", "fir"), ("a  b", "A b")]
)
def test_labels_that_differ_only_in_how_they_are_written_are_named(names):
    (found,) = label_warnings(np.repeat(np.arange(3), 50), (*names, "other"))
    assert found.code == "similar-labels"
    assert all(repr(name) in found.message for name in names)


def test_two_classes_are_called_out_and_ordinary_data_are_not():
    assert codes(label_warnings(np.repeat([0, 1], 50), ("a", "b"))) == ["two-classes"]
    assert label_warnings(np.repeat([0, 1, 2], 50), ("a", "b", "c")) == []


def test_long_lists_of_classes_are_cut():
    names = tuple(f"class{index:03d}" for index in range(100))
    (found,) = label_warnings(np.repeat(np.arange(100), 5), names)
    assert "and 90 more" in found.message


def test_few_indicators_and_many_flags_are_said():
    assert codes(indicator_warnings(99)) == ["few-indicator-samples"]
    assert indicator_warnings(100) == []
    assert codes(flag_warnings(0.51)) == ["mostly-flagged"]
    assert flag_warnings(0.5) == []
