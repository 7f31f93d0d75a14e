"""Judged predictions against cleanlab on the same ones: order, and where the cut falls.

Probabilities come from cross-validated linear heads, on the pixels of scikit-learn's digits or on features in a file
([n, width] or [n, views, width]), which are scaled first. cleanlab has the best of its three scores and of its five
filters, by the true labels, which favours it.

    uv run --group benchmark python tests/benchmarks/judge.py [--features features.npy --labels labels.npy]
        [--seeds 0,1,2] [--strength C]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import aumclean
from aumclean.dataset.label_noise import flip_noise, pair_noise, uniform_noise
from aumclean.verdict.evaluate import ranking

NOISES = {
    "none": lambda labels, c, rng: labels,
    "uniform 5%": lambda labels, c, rng: uniform_noise(labels, c, 0.05, rng),
    "uniform 10%": lambda labels, c, rng: uniform_noise(labels, c, 0.1, rng),
    "uniform 20%": lambda labels, c, rng: uniform_noise(labels, c, 0.2, rng),
    "uniform 30%": lambda labels, c, rng: uniform_noise(labels, c, 0.3, rng),
    "uniform 40%": lambda labels, c, rng: uniform_noise(labels, c, 0.4, rng),
    "flip 20%": lambda labels, c, rng: flip_noise(labels, c, 0.2, rng),
    "pairs 20%": lambda labels, c, rng: pair_noise(labels, np.arange(c) ^ 1, 0.2, rng),
}
SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
FILTERS = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")


def f1(flagged: np.ndarray, wrong: np.ndarray) -> float:
    return 2 * float((flagged & wrong).sum()) / max(1, flagged.sum() + wrong.sum())


def best_f1(suspicion: np.ndarray, wrong: np.ndarray) -> float:
    hits = wrong[np.argsort(-suspicion, kind="stable")].cumsum()
    return float((2 * hits / (np.arange(1, len(wrong) + 1) + wrong.sum())).max())


def measured(labels: np.ndarray, probs: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = aumclean.judge(labels, pred_probs=probs, out=Path(folder) / "run")
        report, rate = run.report.sort_values("sample_id"), run.summary.noise_rate
    ours, flagged = report["wrong_probability"].to_numpy(), report["flagged"].to_numpy(bool)
    filters = [find_label_issues(labels, probs, filter_by=one) for one in FILTERS]
    if not wrong.any():
        return {"flagged": flagged.mean(), "flagged cleanlab": filters[0].mean(), "rate": rate.estimate, "true": 0.0}
    scores = [1 - get_label_quality_scores(labels, probs, method=one, adjust_pred_probs=False) for one in SCORES]
    return {
        "AP": ranking(ours, wrong)["average_precision"],
        "AP cleanlab": ranking(scores[0], wrong)["average_precision"],
        "AP cleanlab best": max(ranking(one, wrong)["average_precision"] for one in scores),
        "F1": f1(flagged, wrong),
        "F1 cleanlab": f1(filters[0], wrong),
        "F1 cleanlab best": max(f1(one, wrong) for one in filters),
        "best F1": best_f1(ours, wrong),
        "rate": rate.estimate,
        "low": rate.low,
        "high": rate.high,
        "true": wrong.mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--strength", type=float, default=1.0)
    given = parser.parse_args()
    if given.features is None:
        x, true = load_digits().data / 16, load_digits().target
    else:
        x, true = np.load(given.features).astype(np.float32), np.load(given.labels)
        x = x.mean(1) if x.ndim == 3 else x
        x = (x - x.mean(0)) / x.std(0).clip(1e-6)
    head = LogisticRegression(C=given.strength, max_iter=300)
    for name, noisy in NOISES.items():
        found = []
        for seed in map(int, given.seeds.split(",")):
            labels = noisy(true, int(true.max()) + 1, np.random.default_rng(seed))
            folds = StratifiedKFold(5, shuffle=True, random_state=seed)
            probs = cross_val_predict(head, x, labels, method="predict_proba", cv=folds)
            found.append(measured(labels, probs, labels != true))
        means = {measure: np.mean([one[measure] for one in found]) for measure in found[0]}
        print(f"{name:14}", "  ".join(f"{measure} {value:.4f}" for measure, value in means.items()), flush=True)


if __name__ == "__main__":
    main()
