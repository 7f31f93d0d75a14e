"""`aumclean train`: plain training and a test set, to see whether cleaning helped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aumclean.cli.console import give, progress, say, show, table
from aumclean.cli.scan import option
from aumclean.errors import ConfigError

if TYPE_CHECKING:
    from aumclean.dataset.samples import Samples


def command(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(help="What to train on: image folder or manifest, such as RUN/cleaned.csv.", show_default=False),
    ] = None,
    test: Annotated[Path | None, option("Test set, with right labels. [default: split test of DATA]")] = None,
    compare: Annotated[
        list[str] | None, option("NAME=DATA to train on likewise, and compare with DATA; repeatable.")
    ] = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Compare with the images of DATA whose label is the true one.")
    ] = False,
    true_column: Annotated[str, typer.Option(help="Column of DATA with true labels, for --oracle.")] = "true_label",
    removal_curve: Annotated[
        Path | None, option("Run whose images are removed, the most suspect first and at random; takes no DATA.")
    ] = None,
    remove: Annotated[
        list[float] | None, option("Percentage to remove; repeatable. [default: 10, 20, 30, 40, 50, 60]")
    ] = None,
    by: Annotated[Literal["aum", "label_score"], typer.Option(help="Score by which --removal-curve removes.")] = "aum",
    out: Annotated[Path | None, option("Folder of results. [default: runs/NAME-train]", "--out", "-o")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each, with different seeds.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the data.", min=1)] = 300,
    batch_size: Annotated[int, typer.Option(help="Images per step.", min=2)] = 256,
    learning_rate: Annotated[float, typer.Option(help="Rate before the first drop.", min=1e-9)] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty.", min=0)] = 1e-4,
    drop: Annotated[
        list[float] | None, option("Part of the training after which the rate falls to a tenth. [default: 0.5, 0.75]")
    ] = None,
    warmup: Annotated[int, typer.Option(help="Epochs over which the rate rises; resnet9 needs one.", min=0)] = 0,
    arch: Annotated[
        str, typer.Option(help="resnet9, resnet32, a torchvision name, or timm:NAME; auto: resnet32 up to 64 px.")
    ] = "auto",
    image_size: Annotated[int | None, typer.Option(help="Side in pixels.", min=8, max=1024, show_default=False)] = None,
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Mirror half of the images; --no-flip for digits and text.")
    ] = True,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to train.")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="Number format; auto: bf16 where it is fast.")
    ] = "auto",
    workers: Annotated[int | None, typer.Option(help="Decoding processes.", min=1, show_default=False)] = None,
    path_column: Annotated[str | None, option("Manifest column with the paths or the images.")] = None,
    label_column: Annotated[str | None, option("Manifest column with the labels.")] = None,
    root: Annotated[
        Path | None, option("Folder that paths of DATA and --compare are relative to. [default: the manifest's]")
    ] = None,
    split: Annotated[str | None, option("Split to train on. [default: train, where there are splits]")] = None,
    test_split: Annotated[str | None, option("Split of the test set to measure on.")] = None,
    class_folder: Annotated[Literal["first", "last"] | None, option("Which of nested folders names the class.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many images of DATA, evenly spaced.", min=1, show_default=False)
    ] = None,
    cache_dir: Annotated[Path | None, option("Folder of decoded images. [default: the system's]")] = None,
) -> None:
    """Train as one would, and print the error on a test set: of DATA, of its cleaned manifest, of the right labels.

    The recipe is the paper's: 300 epochs, the rate falling to a tenth after a half and three quarters. What has been
    trained is stored in --out, and not repeated when the command is given again or with more to compare.

    Example: `aumclean train noisy.csv --test test/ --compare cleaned=runs/noisy-1/cleaned.csv --oracle`
    """
    from aumclean.dataset.read import read_samples

    _refuse(data, removal_curve, compare, remove, oracle, limit, drop, test, test_split)
    reading: dict[str, Any] = {"path_column": path_column, "label_column": label_column, "class_folder": class_folder}
    trained: dict[str, Samples] = {}
    if data is not None:
        trained["raw"] = read_samples(data, root=root, split=split, limit=limit, **reading)
        for entry in compare or ():
            name, where = _named(entry)
            if name in trained:
                raise ConfigError(f"--compare {entry}: there are two called '{name}'; say NAME=DATA with another name")
            trained[name] = read_samples(where, root=root, split=split, **reading)
    measured = test if test is not None else data
    assert measured is not None, "refused before"
    wanted_split = test_split or (None if test is not None else "test")
    tested = read_samples(measured, split=wanted_split, one_class=True, **reading)
    for samples in (*trained.values(), tested):
        for note in samples.notes:
            say(note)

    # Only now, since it loads torch: what is wrong with the data has been said.
    from aumclean.diagnostics.retraining import compare as retraining
    from aumclean.diagnostics.retraining.training_sets import ORACLE, RAW
    from aumclean.run import Run

    fields = retraining.Options.__dataclass_fields__
    chosen = {name: value for name, value in context.params.items() if name in fields}
    if drop:
        chosen["drops"] = tuple(drop)
    options = retraining.Options(**chosen)
    if oracle:
        if ORACLE in trained:
            raise ConfigError("--oracle: there is a --compare oracle=... already; give one of them")
        trained[ORACLE] = retraining.oracle(trained[RAW], true_column)
    with _resumable(), progress() as track:
        if removal_curve is not None:
            target = out or Path("runs") / f"{removal_curve.resolve().name}-removal"
            points = {"percentages": tuple(remove)} if remove else {}
            outcome = retraining.removal_curve(
                Run(removal_curve), tested, options, target, by=by, track=track, **points
            )
        else:
            target = out or Path("runs") / f"{trained[RAW].name}-train"
            outcome = retraining.compare(trained, tested, options, target, track=track)
    show_results(outcome.summary)
    say(f"every training: {outcome.path / 'results.csv'}, summary: {outcome.path / 'results.json'}")
    give(outcome.path)


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("what has been trained is kept: the same command goes on")
        raise


def _refuse(
    data: Path | None,
    removal_curve: Path | None,
    compare: list[str] | None,
    remove: list[float] | None,
    oracle: bool,
    limit: int | None,
    drop: list[float] | None,
    test: Path | None,
    test_split: str | None,
) -> None:
    """What does not go together, or makes no sense."""
    if removal_curve is None and data is None:
        raise ConfigError(
            "DATA: name an image folder or a manifest (or --removal-curve RUN); see aumclean train --help"
        )
    if removal_curve is not None and (data is not None or compare or oracle or limit):
        raise ConfigError(
            "--removal-curve: trains on what the run scanned; leave out DATA, --compare, --oracle, --limit"
        )
    if removal_curve is not None and test is None:
        raise ConfigError("--test: name the test set")
    if remove and removal_curve is None:
        raise ConfigError("--remove: goes with --removal-curve RUN")
    for percentage in remove or ():
        if not 0 < percentage < 100:
            raise ConfigError(f"--remove: {percentage:g} is not a percentage above 0 and below 100")
    for part in drop or ():
        if not 0 < part <= 1:
            raise ConfigError(f"--drop: {part:g} is not a part of the training, above 0 and at most 1 (1: no drop)")


def _named(entry: str) -> tuple[str, Path]:
    """NAME=DATA, or DATA alone, which is called as its file or folder is."""
    name, _, where = entry.partition("=")
    if where and not Path(entry).exists():
        return name, Path(where)
    return Path(entry).stem, Path(entry)


def show_results(summary: dict[str, Any]) -> None:
    """The error of each, how much better than the first, and how much of the way to the oracle that is."""
    curve = any(row["order"] for row in summary["results"])
    rows = []
    for row in summary["results"]:
        deviation = "" if row["deviation"] is None else f" ± {row['deviation']:.1%}"
        better = row["better_by"]
        said = f"{better['estimate']:+.1%} ({better['low']:+.1%} to {better['high']:+.1%})" if better else ""
        closed = "" if row["gap_closed"] is None else f"{row['gap_closed']:.0%}"
        name = row["order"] or row["name"]
        rows.append((name, f"{row['removed']:,}", f"{row['images']:,}", f"{row['error']:.1%}{deviation}", said, closed))
    head = ("trained on", "removed", "images", "test error", "better by (95 %)", "gap closed")
    kept = [index for index, name in enumerate(head) if not (name == "gap closed" if curve else name == "removed")]
    if not any(row["gap_closed"] is not None for row in summary["results"]):
        kept = [index for index in kept if head[index] != "gap closed"]
    header = tuple(head[index] for index in kept)
    recipe, test, seeds = summary["recipe"], summary["test"], len(summary["seeds"])
    times = "one seed" if seeds == 1 else f"{seeds} seeds"
    show(
        table("", header, [tuple(row[index] for index in kept) for row in rows], right=set(header[1:])),
        f"{recipe['arch']} at {summary['image_size']} px, {recipe['epochs']} epochs each, {times}, "
        f"{test['images']:,} test images",
    )
