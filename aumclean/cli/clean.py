"""`aumclean clean`: the cleaned manifest, from decisions and a policy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aumclean.cli.console import give, say
from aumclean.cli.options import FinishedRun, MovedData, option, with_options
from aumclean.cli.review import list_problems
from aumclean.errors import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from aumclean.decisions.clean import Cleaning
    from aumclean.run.directory import Run


@with_options
def command(
    run: FinishedRun,
    out: Annotated[
        Path | None, option("Manifest to write: .csv or .parquet. [default: RUN/cleaned.*]", "--out", "-o")
    ] = None,
    decisions: Annotated[
        list[Path] | None, option("File of decisions to use in place of those made in review; repeatable.")
    ] = None,
    policy: Annotated[
        Literal["drop", "relabel", "weight"],
        typer.Option(
            help="What happens to flagged images that nobody reviewed: they go, get the suggested label, or weigh less."
        ),
    ] = "drop",
    partial: Annotated[
        bool, typer.Option("--partial", help="Apply the valid decisions even if others are not.")
    ] = False,
    copy_to: Annotated[
        Path | None, option("Also copy the images that stay to a new folder, one folder per class.")
    ] = None,
    data: MovedData = None,
    ledger: Annotated[Path | None, option("Add the confirmed labels to this file, for scan --ledger.")] = None,
) -> None:
    """Write the cleaned manifest, and every change with its reason; the images are never touched.

    Reviewers decide about the images they reviewed, the policy about the others. The list of changes is written next to
    the manifest.

    Example: `aumclean clean runs/photos-1 --policy relabel -o clean.csv`
    """
    from aumclean.decisions import recorded
    from aumclean.decisions.cleaned import clean_run
    from aumclean.run.directory import Run
    from aumclean.verdict.judge import judge

    opened = Run(run, data)
    opened.require_finished()
    found = recorded.of_files(decisions, opened) if decisions else recorded.of_run(opened)
    list_problems(found.problems, partial=partial, undone="nothing was written")
    done = clean_run(opened, judge(opened).report, found.decided, policy, out, copy_to)
    if copy_to is not None:
        say(f"{copy_to}: {counted(done.copied, 'image')}")
    show_changes(done.cleaning, done.changes)
    _confirm(ledger, opened, found.decided)
    _say_how_to_scan(opened, done.manifests[0])
    give(done.manifests[0])


def _confirm(ledger: Path | None, run: "Run", decided: "pa.Table") -> None:
    from aumclean.decisions import ledger as confirmed

    if ledger is not None:
        say(f"{ledger}: {counted(confirmed.add(ledger, run, decided), 'confirmed label')} more")
    elif len(confirmed.confirmed(run, decided)[0]):
        say("--ledger FILE, here and for scan, keeps the confirmed labels from being flagged again")


def _say_how_to_scan(run: "Run", cleaned: Path) -> None:
    """The command, with the root of relative paths where the manifest is not in the run any more; or what else to do.

    Boxes were written back into the form they came in; what is in an archive has to be taken out by name.
    """
    data = run.place()
    if data.boxes == "coco":
        corrected = cleaned.with_suffix(".json")
        say(f"the corrected boxes are in {corrected}; scan them with: aumclean scan {corrected} --root {data.root}")
        return
    if data.boxes in {"yolo", "voc"}:
        corrected = cleaned.with_name(f"{cleaned.stem}-labels.zip")
        folder = data.root if data.boxes == "yolo" else data.source
        say(f"the corrected label files are in {corrected}; unpack it in {folder}")
        return
    if data.image_column is None and not data.is_files:
        say(f"{cleaned} lists what stays by its names in {data.source}")
        return
    found = cleaned.parent.resolve() == run.path.resolve() and run.moved is None
    rooted = data.image_column is None and not found
    say(f"scan it with: aumclean scan {cleaned}" + (f" --root {data.root}" if rooted else ""))


def show_changes(cleaning: "Cleaning", changes: Path) -> None:
    """How many images were changed, by whom."""
    rows = cleaning.changes.select(["action", "reviewer"]).to_pylist()
    said = []
    for action, word in (("remove", "removed"), ("relabel", "relabeled"), ("weight", "weighed below 1")):
        by_hand = sum(row["action"] == action and row["reviewer"] is not None for row in rows)
        count = sum(row["action"] == action for row in rows)
        if count:
            said.append(f"{count:,} {word} ({by_hand:,} by reviewers)")
    say(f"{len(cleaning.kept):,} of {cleaning.samples:,} images stay; " + (", ".join(said) or "nothing was changed"))
    say(f"every change and its reason: {changes}")
