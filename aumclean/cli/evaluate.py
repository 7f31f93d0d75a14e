"""`aumclean evaluate`: a report against known true labels."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from aumclean.cli.console import give, show, table
from aumclean.cli.options import FinishedRun, option, with_options

FLAGS = {"precision": "precision", "recall": "recall", "f1": "F1"}
RANKING = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "f1_at_true_count": "F1 at the true count",
    "lift_at_100": "lift at 100",
}
"""What measures are called in tables for people."""


@with_options
def command(
    run: FinishedRun,
    truth: Annotated[Path, option("Manifest with a path and a true label per row, such as noisy.csv.")],
    true_column: Annotated[str, typer.Option(help="Column of --truth with the true labels.")] = "true_label",
    path_column: Annotated[str | None, option("Column of --truth with the paths.")] = None,
    root: Annotated[Path | None, option("Folder that paths in --truth are relative to. [default: its own]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Measure a report against known true labels.

    Example: `aumclean evaluate runs/noisy-1 --truth noisy.csv`
    """
    from aumclean.dataset.manifest import read_manifest
    from aumclean.run.directory import Run
    from aumclean.verdict.evaluate import evaluate
    from aumclean.verdict.judge import judge

    opened = Run(run)
    opened.require_finished()
    known = read_manifest(truth, path_column=path_column, label_column=true_column, root=root)
    verdict = judge(opened)
    measured = evaluate(verdict.report, known.paths, known.label_names())
    measured["estimated_noise_rate"] = verdict.summary.noise_rate.model_dump()
    if as_json:
        give(json.dumps(measured, indent=2))
    else:
        show_measures(measured)


def show_measures(measured: dict[str, Any]) -> None:
    """The measures as two small tables: of the flags, and of the order."""
    from aumclean.verdict.estimate import said

    estimate = measured["estimated_noise_rate"]
    facts = [
        ("wrong labels", f"{measured['wrong']:,} of {measured['samples']:,} ({measured['noise_rate']:.1%})"),
        ("estimated", said(**estimate)),
        ("flagged", f"{measured['flagged']:,}"),
        *((word, _number(measured[name])) for name, word in FLAGS.items()),
    ]
    orders = [
        (score, *(_number(measured[name][measure]) for measure in RANKING))
        for name, score in {"aum": "AUM", "label_score": "label score"}.items()
    ]
    words = tuple(RANKING.values())
    show(table("Flags", ("", ""), facts), table("Ranking", ("ranked by", *words), orders, right=set(words)))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
