"""`aumclean score`: judge images that came after a scan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aumclean.cli.console import give, say, show, table

if TYPE_CHECKING:
    from aumclean.scanning.score import Scores


def command(
    run: Annotated[Path, typer.Argument(help="Run directory of a finished scan.", show_default=False)],
    data: Annotated[
        Path, typer.Argument(help="Where new images are; those already scanned are passed over.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Directory. [default: runs/NAME-scores-N]", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
    path_column: Annotated[
        str | None, typer.Option(help="Manifest column with the paths or the images.", show_default=False)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Manifest column with the labels.", show_default=False)
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of its paths. [default: its own]")] = None,
    split: Annotated[str | None, typer.Option(help="Split to read.", show_default=False)] = None,
    class_folder: Annotated[
        Literal["first", "last"] | None,
        typer.Option(help="Which of nested folders names the class.", show_default=False),
    ] = None,
) -> None:
    """Judge images that were added after a scan, in seconds, with the networks that the scan keeps.

    Writes a directory with a report that `aumclean gate` takes, and prints its path.

    Example: `aumclean score runs/photos-1 photos/`
    """
    from aumclean.dataset.read import read_samples
    from aumclean.run import Run

    opened = Run(run)
    opened.require_finished()
    samples = read_samples(
        data,
        path_column=path_column,
        label_column=label_column,
        root=root,
        split=split,
        class_folder=class_folder,
        one_class=True,
    )
    for note in samples.notes:
        say(note)

    from aumclean.scanning.score import score

    scores = score(opened, samples, out=out, overwrite=overwrite, device=device)
    show_scores(scores)
    give(scores.run.path)


def show_scores(scores: "Scores") -> None:
    """How many are new, how many suspect, how far to trust that, and which."""
    summary = scores.summary
    alarms = summary["false_alarms"]
    facts = [
        ("new", f"{summary['samples']:,} images; {summary['known']:,} known to the run passed over"),
        ("flagged", f"{summary['flagged']:,} ({summary['flagged_share']:.1%})"),
        ("right labels", f"about {alarms['rate']:.1%} of them flagged, at most {alarms['rate_at_most']:.1%}"),
        ("wrong labels", f"about {summary['detected']:.1%} of them flagged"),
    ]
    for name, what in (
        ("unreadable", f"files, listed in {scores.run.unreadable}"),
        ("not_judged", "images of classes the run does not have"),
        ("conflicts", "images have an identical copy with another label"),
    ):
        if summary[name]:
            facts.append((name.replace("_", " "), f"{summary[name]:,} {what}"))
    parts = [table("", ("", ""), facts)]
    suspects = [row for row in scores.report.slice(0, 10).to_pylist() if row["flagged"]]
    if suspects:
        rows = [
            (row["rank"], row["path"], row["label"], row["suggested_label"], f"{row['label_score']:.3f}")
            for row in suspects
        ]
        header = ("rank", "path", "label", "suggested", "score")
        parts.append(table("Most suspect", header, rows, right={"rank", "score"}))
    show(*parts)
