import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from aumclean.errors import DataError
from aumclean.verdict.evaluate import evaluate, ranking


def report(aum, flagged, label="a"):
    n = len(aum)
    return pa.table(
        {
            "path": [f"{i}.png" for i in range(n)],
            "label": [label] * n,
            "flagged": pa.array(flagged, pa.bool_()),
            "aum": np.array(aum, float),
            "label_score": np.array(aum, float),
        }
    )


def test_an_oracle_scores_one_whatever_the_order_of_the_truth():
    wrong = np.arange(50) % 5 == 0
    found = evaluate(
        report(np.where(wrong, -1.0, 1.0), wrong),
        pa.array([f"{i}.png" for i in reversed(range(50))]),
        pa.array(["b" if bad else "a" for bad in reversed(wrong)]),
    )
    assert (found["precision"], found["recall"], found["f1"]) == (1, 1, 1)
    assert found["aum"] == {"auroc": 1, "average_precision": 1, "f1_at_true_count": 1, "lift_at_100": 1}
    assert found["noise_rate"] == 0.2


def test_flagging_nothing_looks_bad():
    wrong = np.arange(50) % 5 == 0
    paths = pa.array([f"{i}.png" for i in range(50)])
    found = evaluate(report(np.zeros(50), np.zeros(50, bool)), paths, pa.array(np.where(wrong, "b", "a")))
    assert (found["precision"], found["recall"], found["f1"]) == (None, 0, 0)
    assert found["aum"]["auroc"] == 0.5


def test_samples_not_judged_or_of_unknown_truth_do_not_count():
    table = report([0, 1, 2], [True, None, False])
    found = evaluate(table, pa.array(["0.png", "1.png"]), pa.array(["b", "b"]))
    assert (found["samples"], found["wrong"], found["flagged"]) == (1, 1, 1)
    with pytest.raises(DataError, match="--truth"):
        evaluate(table, pa.array(["elsewhere.png"]), pa.array(["b"]))


def test_lift_is_relative_to_the_base_rate():
    suspicion = np.arange(1000, 0, -1.0)
    wrong = np.zeros(1000, bool)
    wrong[:50] = wrong[500:550] = True
    assert ranking(suspicion, wrong)["lift_at_100"] == pytest.approx(0.5 / 0.1)


def test_without_wrong_labels_a_ranking_has_no_measure():
    assert set(ranking(np.arange(5.0), np.zeros(5, bool)).values()) == {None}


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=60))
def test_the_areas_are_those_of_scikit_learn_also_where_scores_are_equal(samples):
    suspicion, wrong = (np.array(values) for values in zip(*samples, strict=True))
    found = ranking(suspicion.astype(float), wrong)
    if 0 < wrong.sum() < len(wrong):
        assert found["auroc"] == pytest.approx(roc_auc_score(wrong, suspicion))
        assert found["average_precision"] == pytest.approx(average_precision_score(wrong, suspicion))
