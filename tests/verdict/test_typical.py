import pyarrow as pa

from aumclean.verdict.typical import typical


def test_the_best_of_every_class_that_are_judged_not_flagged_and_no_copy():
    rows = [
        ("b", 1.0, 0, False, None),
        ("a", 2.0, 1, False, None),
        ("a", 5.0, 2, True, None),
        ("a", 6.0, 3, None, None),
        ("a", 7.0, 4, False, "a/4.png"),
        ("a", None, 5, False, None),
        ("a", 3.0, 7, False, None),
        ("a", 3.0, 6, False, None),
        ("c", 9.0, 8, True, None),
    ]
    columns = zip(*rows, strict=True)
    report = pa.table(list(map(pa.array, columns)), ["label", "aum", "sample_id", "flagged", "duplicate_of"])
    assert typical(report, 3) == {"a": [6, 7, 1], "b": [0]}
    assert typical(report, 9) == {"a": [6, 7, 1, 5], "b": [0]}
    assert typical(report.slice(0, 0), 3) == {}
