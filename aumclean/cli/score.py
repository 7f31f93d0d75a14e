"""`aumclean score`: judge images that came after a scan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aumclean.cli.console import give, progress, say_notes, show, table
from aumclean.cli.options import FinishedRun, OnDevice, Reading, Writing, with_options
from aumclean.cli.verdict import most_suspect
from aumclean.errors import counted

if TYPE_CHECKING:
    from aumclean.scanning.score import Scores


@with_options
def command(
    run: FinishedRun,
    data: Annotated[
        Path,
        typer.Argument(
            help="Source of the new images, such as photos/; those already scanned are skipped.", show_default=False
        ),
    ],
    reading: Reading,
    computing: OnDevice,
    writing: Writing,
) -> None:
    """Judge images that were added after a scan, in seconds, with the networks that the scan kept.

    Writes a directory with a report that `aumclean gate` accepts, and prints its path.

    Example: `aumclean score runs/photos-1 photos/`
    """
    from aumclean.dataset.read import read_samples
    from aumclean.run.directory import Run

    opened = Run(run)
    opened.require_finished()
    samples = read_samples(data, **reading.given(), one_class=True)
    say_notes(samples)

    from aumclean.scanning.score import score

    with progress() as track:
        scores = score(opened, samples, **writing.given(), **computing.given(), track=track)
    show_scores(scores)
    give(scores.run.path)


def show_scores(scores: "Scores") -> None:
    """How many are new, how many suspect, how far to trust that, and which."""
    summary = scores.summary
    from aumclean.verdict.estimate import said

    alarms, rate = summary.false_alarms, summary.noise_rate
    facts = [("new", f"{counted(summary.samples, 'image')}; {summary.known:,} known to the run passed over")]
    facts += [
        ("flagged", f"{summary.flagged:,} ({summary.flagged_share:.1%})"),
        ("noise rate", said(rate.estimate, rate.low, rate.high)),
        ("false alarms", f"about {alarms.expected:.1f} expected, at most {alarms.expected_at_most:.1f}"),
    ] * bool(summary.samples)
    for name, noun, what in (
        ("unreadable", "file", f"listed in {scores.run.unreadable}"),
        ("not_judged", "image", "of classes the run does not have, or of too little training"),
        ("conflicts", "image", "with an identical copy of another label"),
    ):
        if count := getattr(summary, name):
            facts.append((name.replace("_", " "), f"{counted(count, noun)} {what}"))
    show(table("", ("", ""), facts), *most_suspect(scores.report))
