"""`aumclean train`: plain training and a test set, to see whether cleaning helped."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aumclean.cli.console import give, progress, say, say_notes, show, table
from aumclean.cli.help import READ, TRAIN, WRITE
from aumclean.cli.options import Computing, LimitedReading, Options, Workers, option, with_options
from aumclean.errors import ConfigError, counted

if TYPE_CHECKING:
    from aumclean.diagnostics.retraining.options import Options as TrainOptions
    from aumclean.diagnostics.retraining.record import Comparison

ORDERS = {"aum": "lowest AUM removed", "label_score": "lowest label score removed", "random": "as many at random"}
"""What the lines of a removal curve are called."""


@dataclass(frozen=True, kw_only=True)
class TrainComputing(Computing):
    """Where the networks are trained."""

    workers: Workers = None


@dataclass(frozen=True, kw_only=True)
class Training(Options, panel=TRAIN):
    """How the networks are trained: by default as in the paper."""

    epochs: Annotated[int | None, option("Passes over the data. [default: 300]", min=1)] = None
    seeds: Annotated[int | None, option("Number of trainings on each, with different seeds. [default: 1]", min=1)] = (
        None
    )
    seed: Annotated[int | None, option("The first seed. [default: 0]", min=0)] = None
    arch: Annotated[
        str | None, option("resnet9, resnet32, a torchvision name, or timm:NAME. [default: resnet32 up to 64 px]")
    ] = None
    image_size: Annotated[int | None, option("Side in pixels.", min=8, max=1024)] = None
    batch_size: Annotated[int | None, option("Images per step. [default: 256]", min=2)] = None
    learning_rate: Annotated[float | None, option("Rate before the first drop. [default: 0.1]", min=1e-9)] = None
    weight_decay: Annotated[float | None, option("L2 penalty. [default: 0.0001]", min=0)] = None
    drop: Annotated[
        list[float] | None,
        option("Fraction of the training after which the rate falls to a tenth; repeatable. [default: 0.5, 0.75]"),
    ] = None
    warmup: Annotated[
        int | None, option("Epochs over which the rate rises; resnet9 needs one. [default: 0]", min=0)
    ] = None
    flip: Annotated[
        bool | None, option("Mirror half of the images; --no-flip for digits and text.", "--flip/--no-flip")
    ] = None

    def __post_init__(self) -> None:
        for part in self.drop or ():
            if not 0 < part <= 1:
                raise ConfigError(f"--drop: {part:g} is not a part of the training, above 0 and at most 1 (1: no drop)")

    def options(self, computing: Computing) -> "TrainOptions":
        """The options as the library takes them."""
        from aumclean.diagnostics.retraining.options import Options as TrainOptions

        given = {**self.given(), **computing.given()}
        if drops := given.pop("drop", None):
            given["drops"] = tuple(drops)
        return TrainOptions(**given)


@dataclass(frozen=True, kw_only=True)
class Curve(Options):
    """Removal from a run, in place of DATA."""

    removal_curve: Annotated[
        Path | None, option("Run whose images are removed, the most suspect first and at random; takes no DATA.")
    ] = None
    remove: Annotated[
        list[float] | None, option("Percentage to remove; repeatable. [default: 10, 20, 30, 40, 50, 60]")
    ] = None
    by: Annotated[
        Literal["aum", "label_score"] | None,
        option("Score that decides what --removal-curve removes first. [default: aum]"),
    ] = None

    def __post_init__(self) -> None:
        for name, value in (("--remove", self.remove), ("--by", self.by)):
            if value and self.removal_curve is None:
                raise ConfigError(f"{name}: goes with --removal-curve RUN")
        for percentage in self.remove or ():
            if not 0 < percentage < 100:
                raise ConfigError(f"--remove: {percentage:g} is not a percentage above 0 and below 100")

    def points(self) -> dict[str, Any]:
        """What is removed, as the library takes it."""
        points = {"percentages": self.remove, "by": self.by}
        return {name: value for name, value in points.items() if value}


@partial(with_options, first=("test", "compare", "oracle", "out", "epochs", "seeds", "flip", "device"))
def command(
    reading: LimitedReading,
    training: Training,
    computing: TrainComputing,
    curve: Curve,
    data: Annotated[
        Path | None,
        typer.Argument(help="What to train on: image folder or manifest, such as RUN/cleaned.csv.", show_default=False),
    ] = None,
    test: Annotated[Path | None, option("Test set, with right labels. [default: split test of DATA]")] = None,
    test_split: Annotated[str | None, option("Split of the test set to measure on.", panel=READ)] = None,
    compare: Annotated[
        list[str] | None, option("NAME=DATA to train on in the same way and compare with DATA; repeatable.")
    ] = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Also train on only those images of DATA whose label is the true one.")
    ] = False,
    true_column: Annotated[
        str, typer.Option(help="Column of DATA with true labels, for --oracle.", rich_help_panel=READ)
    ] = "true_label",
    out: Annotated[
        Path | None, option("Directory to write. [default: runs/NAME-train]", "--out", "-o", panel=WRITE)
    ] = None,
) -> None:
    """Train a network in the usual way, and print its error on a test set.

    Compares trainings on DATA, on its cleaned manifest and on the right labels, to show whether cleaning helped. The
    recipe is the paper's: 300 epochs, and a rate that falls to a tenth after a half and after three quarters of them.
    Finished trainings are kept in --out and not repeated when the command is run again, also with more to compare.

    Example: `aumclean train noisy.csv --test test/ --compare cleaned=runs/noisy-1/cleaned.csv --oracle`
    """
    from aumclean.diagnostics.retraining.manifests import RAW, read_manifests, read_test

    _refuse(data, curve, bool(compare or oracle or reading.limit), test)
    common = {name: value for name, value in reading.given().items() if name not in {"limit", "root", "split"}}
    trained = {}
    if data is not None:
        sources = {**common, "root": reading.root, "split": reading.split}
        trained = read_manifests(data, compare or (), sources, reading.limit)
    tested = read_test(data, test, test_split, common)
    say_notes(*trained.values(), tested)

    from aumclean.diagnostics.retraining import compare as retraining  # torch: what is wrong with the data is said
    from aumclean.run.directory import Run

    options = training.options(computing)
    if oracle:
        trained = retraining.with_oracle(trained, true_column)
    with progress() as track:
        if curve.removal_curve is not None:
            target = out or Path("runs") / f"{curve.removal_curve.resolve().name}-removal"
            run = Run(curve.removal_curve)
            found = retraining.removal_curve(run, tested, options, target, track=track, **curve.points())
        else:
            target = out or Path("runs") / f"{trained[RAW].name}-train"
            found = retraining.compare(trained, tested, options, target, track=track)
    show_results(found)
    say(f"every training: {target / 'results.csv'}, summary: {target / 'results.json'}")
    give(target)


def _refuse(data: Path | None, curve: Curve, compared: bool, test: Path | None) -> None:
    """What does not go together."""
    if curve.removal_curve is None:
        if data is None:
            raise ConfigError(
                "DATA: name an image folder or a manifest (or --removal-curve RUN); see aumclean train --help"
            )
        return
    if data is not None or compared:
        raise ConfigError(
            "--removal-curve: trains on what the run scanned; leave out DATA, --compare, --oracle, --limit"
        )
    if test is None:
        raise ConfigError("--test: name the test set")


def show_results(summary: "Comparison") -> None:
    """The error of each, how much better than the first, and how much of the way to the oracle that is."""
    rows = []
    for row in summary.results:
        deviation = "" if row.deviation is None else f" ± {row.deviation:.1%}"
        better = row.better_by
        said = f"{better.estimate:+.1%} ({better.low:+.1%} to {better.high:+.1%})" if better else ""
        closed = "" if row.gap_closed is None else f"{row.gap_closed:.0%}"
        name = ORDERS[row.order] if row.order else row.name
        rows.append((name, f"{row.removed:,}", f"{row.images:,}", f"{row.error:.1%}{deviation}", said, closed))
    head = ("trained on", "removed", "images", "test error", "better by (95%)", "gap closed")
    told = {"removed": any(row.removed for row in summary.results), "gap closed": any(closed for *_, closed in rows)}
    kept = [index for index, name in enumerate(head) if told.get(name, True)]
    header = tuple(head[index] for index in kept)
    recipe, test, seeds = summary.recipe, summary.test, len(summary.seeds)
    times = "one seed" if seeds == 1 else f"{seeds} seeds"
    show(
        table("", header, [tuple(row[index] for index in kept) for row in rows], right=set(header[1:])),
        f"{recipe.arch} at {summary.image_size} px, {counted(recipe.epochs, 'epoch')} each, {times}, "
        f"{counted(test.images, 'test image')}",
    )
