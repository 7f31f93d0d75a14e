"""How well `aumclean score` judges images that came after a scan, and what a gate makes of it.

    python tests/benchmarks/new_images.py RUN TRUTH NEW [--batches 40]

RUN is a finished scan of a Parquet file with images; TRUTH that file, with a column `true_label`; NEW another Parquet
file with images of the same classes and right labels, such as CIFAR-10's test set. Labels of NEW are made wrong here,
uniformly. Prints the ranking of 2,000 new images, one in five wrong, beside that of the scan; and for batches of 50
images, ten of them wrong, how many of these a gate names, how many others, and what it does without the wrong ones.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from aumclean.config.gate import GateConfig
from aumclean.dataset.read import read_samples
from aumclean.gate.baseline import baseline_of
from aumclean.gate.check import check, suspects
from aumclean.gate.subject import read_subject
from aumclean.run.directory import Run
from aumclean.scanning.score import score

ALLOWED = 5  # --max-new


def with_wrong_labels(table: pa.Table, wrong: int, rng: np.random.Generator) -> pa.Table:
    """The table with string labels, the first `wrong` of them replaced by another class; `true_label` beside."""
    names = sorted(set(table["label"].to_pylist()))
    true = table["label"].to_pylist()
    given = [
        names[(names.index(label) + rng.integers(1, len(names))) % len(names)] if number < wrong else label
        for number, label in enumerate(true)
    ]
    return pa.table({"image": table["image"], "label": given, "true_label": pa.array(true, pa.string())})


def scored(run: Run, table: pa.Table, folder: Path, number: int):
    """Scores of a table, and the directory they lie in; whether each row of the report is wrong."""
    file = folder / f"new-{number}.parquet"
    pq.write_table(table, file)
    scores = score(run, read_samples(file, one_class=True), out=folder / f"scores-{number}")
    row = dict(zip(read_samples(file, one_class=True).paths.to_pylist(), range(len(table)), strict=True))
    wrong = np.array(table["label"].to_pylist()) != np.array(table["true_label"].to_pylist())
    return scores, np.array([wrong[row[path]] for path in scores.report["path"].to_pylist()])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run, rng = Run(arguments.run), np.random.default_rng(arguments.seed)
    images = pq.read_table(arguments.new, columns=["image", "label"]).combine_chunks()
    order = rng.permutation(len(images))

    report = pq.read_table(run.report("parquet")).sort_by("sample_id")
    rows = pq.read_table(run.samples, columns=["row"])["row"].to_numpy()
    true = pq.read_table(arguments.truth, columns=["true_label"])["true_label"].take(pa.array(rows)).to_pylist()
    is_wrong = np.array(report["label"].to_pylist()) != np.array(true)
    of_scan = roc_auc_score(is_wrong, -report["label_score"].to_numpy())
    print(f"scan: {len(report):,} images, {is_wrong.mean():.1%} wrong, AUROC {of_scan:.4f}")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        many = with_wrong_labels(images.take(pa.array(order[:2000])), 400, rng)
        scores, wrong = scored(run, many, folder, 0)
        suspicion, flagged = -scores.report["label_score"].to_numpy(), scores.report["flagged"].to_numpy()
        auroc = roc_auc_score(wrong, suspicion)
        print(f"new images: 2,000, 20.0% wrong, AUROC {auroc:.4f}, {of_scan - auroc:+.4f} under the scan")
        alarms = scores.summary.false_alarms
        print(
            f"  wrong labels flagged {flagged[wrong].mean():.1%}, stated {scores.summary.detected:.1%}; right ones "
            f"{flagged[~wrong].mean():.1%}, stated {alarms['rate']:.1%}, at most {alarms['rate_at_most']:.1%}"
        )

        subject = read_subject(run.path)
        baseline, budget = baseline_of(subject, suspects(subject)), GateConfig(max_new=ALLOWED)
        named, others, exits, clean_exits = [], [], [], []
        for batch in range(arguments.batches):
            chosen = images.take(pa.array(order[2000 + 50 * batch : 2050 + 50 * batch]))
            table = with_wrong_labels(chosen, 10, rng)
            scores, wrong = scored(run, table, folder, 2 * batch + 1)
            hits = scores.report["flagged"].to_numpy()
            named.append((hits & wrong).sum())
            others.append((hits & ~wrong).sum())
            exits.append(check(read_subject(scores.run.path), budget, baseline).passed)
            clean, _ = scored(run, table.slice(10), folder, 2 * batch + 2)
            clean_exits.append(check(read_subject(clean.run.path), budget, baseline).passed)
    named, others = np.array(named), np.array(others)
    good = (named >= 8) & (others <= 5)
    print(f"{len(named)} batches of 50 new images, 10 of them wrong, --baseline --max-new {ALLOWED}:")
    print(
        f"  wrong ones named: mean {named.mean():.1f}, least {named.min()}; others: {others.mean():.1f}, {others.max()}"
    )
    print(f"  at least 8 and at most 5: {good.mean():.0%} of the batches")
    print(f"  gate fails with them: {1 - np.mean(exits):.0%}; passes without them: {np.mean(clean_exits):.0%}")


if __name__ == "__main__":
    main()
