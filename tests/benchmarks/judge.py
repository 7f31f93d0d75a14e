"""Judged predictions against cleanlab on the same ones: order, and where the cut falls.

Probabilities come from cross-validated linear heads, on the pixels of scikit-learn's digits or on features in a file.

    uv run --group benchmark python tests/benchmarks/judge.py [--features features.npy --labels labels.npy]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

import aumclean
from aumclean.dataset.label_noise import flip_noise, uniform_noise
from aumclean.verdict.evaluate import ranking

NOISES = {
    "uniform 5 %": lambda labels, c, rng: uniform_noise(labels, c, 0.05, rng),
    "uniform 20 %": lambda labels, c, rng: uniform_noise(labels, c, 0.2, rng),
    "uniform 40 %": lambda labels, c, rng: uniform_noise(labels, c, 0.4, rng),
    "flip 20 %": lambda labels, c, rng: flip_noise(labels, c, 0.2, rng),
}


def f1(flagged: np.ndarray, wrong: np.ndarray) -> float:
    return 2 * float((flagged & wrong).sum()) / max(1, flagged.sum() + wrong.sum())


def best_f1(suspicion: np.ndarray, wrong: np.ndarray) -> float:
    hits = wrong[np.argsort(-suspicion, kind="stable")].cumsum()
    return float((2 * hits / (np.arange(1, len(wrong) + 1) + wrong.sum())).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--labels", type=Path)
    given = parser.parse_args()
    digits = load_digits()
    x = digits.data / 16 if given.features is None else np.load(given.features)
    true = digits.target if given.labels is None else np.load(given.labels)
    print("noise          AP ours  AP cleanlab   F1 ours  F1 cleanlab  best F1   estimated rate")
    for name, noisy in NOISES.items():
        labels = noisy(true, int(true.max()) + 1, np.random.default_rng(0))
        wrong = labels != true
        probs = cross_val_predict(LogisticRegression(max_iter=300), x, labels, method="predict_proba", cv=5)
        with tempfile.TemporaryDirectory() as folder:
            run = aumclean.judge(labels, pred_probs=probs, out=Path(folder) / "run")
            report, rate = run.report.sort_values("sample_id"), run.summary.noise_rate
        ours = report["wrong_probability"].to_numpy()
        theirs = 1 - get_label_quality_scores(labels, probs)
        print(
            f"{name:14} {ranking(ours, wrong)['average_precision']:8.4f} "
            f"{ranking(theirs, wrong)['average_precision']:11.4f} "
            f"{f1(report['flagged'].to_numpy(bool), wrong):10.4f} {f1(find_label_issues(labels, probs), wrong):12.4f} "
            f"{best_f1(ours, wrong):9.4f}   {rate.estimate:.3f} ({rate.low:.3f} to {rate.high:.3f}), "
            f"true {wrong.mean():.3f}"
        )


if __name__ == "__main__":
    main()
