"""`aumclean scan`: find the mislabeled images of a data set."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aumclean.cli.console import give, progress, say, say_notes, show, table
from aumclean.cli.help import JUDGE, READ, TRAIN
from aumclean.cli.options import (
    Computing,
    Judging,
    LimitedReading,
    Options,
    Workers,
    Writing,
    option,
    with_options,
)
from aumclean.cli.verdict import expected, most_suspect
from aumclean.errors import ConfigError, TrainingError, counted
from aumclean.files.json import to_json

if TYPE_CHECKING:
    from aumclean.config.scan import ScanConfig
    from aumclean.scanning.scan import Scan
    from aumclean.verdict.summary import Summary


@dataclass(frozen=True, kw_only=True)
class ScanReading(LimitedReading):
    """How DATA is read, and how much of it must be readable."""

    against: Annotated[
        Path | None,
        option("A test set or other data that should share no image with DATA; shared images are reported."),
    ] = None
    max_unreadable: Annotated[
        float | None, option("Stop when more than this percentage cannot be read. [default: 5]")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Training(Options, panel=TRAIN):
    """How the network is trained."""

    preset: Annotated[
        Literal["fast", "frozen", "thorough", "paper", "asapp"] | None,
        option(
            "fast: 12 epochs of a small net; frozen: no net, heads on the features alone; thorough: four times fast; "
            "paper: as published; asapp: as its code does. [default: fast]",
        ),
    ] = None
    features: Annotated[
        str | None,
        option(
            "A second witness: a pretrained backbone (auto, timm:NAME[@FILE], torchvision:NAME[@FILE]), pixels, "
            "features of your own (a .npy or .parquet), or none. [default: pixels of images below 32 pixels, else auto "
            "where it is installed]",
        ),
    ] = None
    epochs: Annotated[
        str | None,
        option("Passes over the data per draw; auto: until wrong labels begin to be memorised. [default: by preset]"),
    ] = None
    draws: Annotated[int | None, option("Trainings, each with other indicator samples. [default: by preset]")] = None
    arch: Annotated[
        str | None, option("resnet8-s2d, resnet9, resnet32, a torchvision name, or timm:NAME. [default: by image size]")
    ] = None
    pretrained: Annotated[
        bool | None,
        option(
            "Start from pretrained weights: --arch timm:NAME[@FILE], torchvision:NAME[@FILE] or auto.", "--pretrained"
        ),
    ] = None
    image_size: Annotated[
        int | None, option("Side in pixels. [default: median short side, at most 64 on a CPU, 160 elsewhere]")
    ] = None
    batch_size: Annotated[int | None, option("Images per step. [default: 64]")] = None
    learning_rate: Annotated[float | None, option("Constant rate. [default: by preset]")] = None
    weight_decay: Annotated[float | None, option("L2 penalty. [default: by preset]")] = None
    flip: Annotated[
        bool | None, option("Mirror half of the images; --no-flip for digits and text.", "--flip/--no-flip")
    ] = None
    seed: Annotated[int | None, option("Seed of all random choices. [default: 0]")] = None


@dataclass(frozen=True, kw_only=True)
class ScanComputing(Computing):
    """Where draws are trained, and how many at a time."""

    workers: Workers = None
    jobs: Annotated[
        int | None, option("Draws trained side by side. [default: as many as processors; all on a GPU]")
    ] = None
    parallel: Annotated[
        Literal["auto", "draws", "data"] | None,
        option("What each process of torchrun trains: draws of its own, or its share of every draw. [default: auto]"),
    ] = None
    only_draw: Annotated[
        int | None, option("Train only this draw, counted from 0, in a run at --out that several machines share.")
    ] = None
    cache_limit: Annotated[
        float | None,
        option("Largest size of all cached images and features together, in GiB. [default: 50]"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ScanJudging(Judging):
    """How margins become a verdict, and what is known of labels before."""

    ledger: Annotated[
        Path | None,
        option("Labels that reviewers confirmed, as written by clean --ledger; they are not flagged again."),
    ] = None
    horizon: Annotated[
        str | None,
        option("Warn of margins that are read after this epoch: a number, or a result of random-labels horizon."),
    ] = None


@partial(
    with_options,
    first=(
        "out", "overwrite", "resume", "dry_run", "preset", "features", "flip", "device", "path_column", "label_column",
    ),
)  # fmt: skip
def command(
    writing: Writing,
    reading: ScanReading,
    training: Training,
    computing: ScanComputing,
    judging: ScanJudging,
    data: Annotated[
        Path | None, typer.Argument(help="Image folder, manifest, archive, annotations, or a URL.", show_default=False)
    ] = None,
    resume: Annotated[
        Path | None, option("Continue this stopped run; takes no DATA and no other option but --frequency.")
    ] = None,
    dry_run: Annotated[bool, option("Print the plan as JSON (images, time, disk) and stop.", "--dry-run")] = False,
    frequency: Annotated[
        bool,
        option("Also find the band that carries each label, as `frequency join` does.", "--frequency", panel=JUDGE),
    ] = False,
    config: Annotated[
        Path | None, option("TOML file with a [scan] table. [default: nearest pyproject.toml]", panel=READ)
    ] = None,
) -> None:
    """Find the mislabeled images of a data set.

    Trains a small network on DATA with some labels made wrong on purpose, and flags the images that behave like those.
    Writes a run directory with a report, a cleaned manifest and everything they rest on, and prints its path.

    Example: `aumclean scan photos/ --out runs/photos`
    """
    given: dict[str, Any] = {}
    for group in (writing, reading, training, computing, judging):
        given |= group.given()
    if resume is not None:
        _refuse_beside_resume(data, {**given, "config": config, "dry_run": dry_run or None})
        _resume(resume, frequency)
        return
    if data is None:
        raise ConfigError("DATA: name an image folder or a manifest (or --resume RUN); see aumclean scan --help")

    from aumclean.config.reading import load
    from aumclean.dataset.read import read_samples  # before torch: a wrong path fails at once

    settled = load(given, file=config)
    _require_network(frequency, settled)
    samples = read_samples(data, **settled.reading())
    say_notes(samples)
    say(f"{len(samples):,} images in {len(samples.class_names)} classes")
    from aumclean.scanning import plan, scan

    if dry_run:
        give(to_json(plan.estimate(samples, plan.settle(samples, settled)), indent=2))
        return

    with resumable_when_told_to_stop(), progress() as track:
        finished = scan.scan(samples, settled, track=track)
    _end(finished, frequency)


def _end(finished: "Scan", frequency: bool) -> None:
    show_summary(finished)
    if frequency:
        _join_frequency(finished.run.path)
    give(finished.run.path)


def _refuse_beside_resume(data: Path | None, typed: dict[str, Any]) -> None:
    names = ("--" + name.replace("_", "-") for name, value in typed.items() if value is not None)
    what = "DATA" if data is not None else next(names, None)
    if what is not None:
        raise ConfigError(f"--resume: goes on with what the run was begun with; leave out {what}")


def _require_network(frequency: bool, config: "ScanConfig") -> None:
    from aumclean.config.scan import FROZEN

    if frequency and config.preset == FROZEN:
        raise ConfigError("--frequency: asks networks that see pixels, and --preset frozen trains none; leave out one")


def _join_frequency(path: Path) -> None:
    from aumclean.diagnostics.frequency.join import join
    from aumclean.run.directory import Run

    try:
        with progress() as track:
            report, store = join(Run(path), track=track)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"aumclean scan --resume {path} --frequency") from None
    for sentence in report.said:
        say(f"- {sentence}")
    say(f"{'frequencies:':<20}{store.page}")


class _ToldToStop(KeyboardInterrupt):
    """So that all that ends in an orderly way on Ctrl-C does so on SIGTERM too."""


@contextmanager
def resumable_when_told_to_stop() -> Iterator[None]:
    """End in an orderly way on SIGTERM, as a batch system and a launcher that lost another process send it."""

    told = False

    def stop(*_: object) -> None:
        nonlocal told
        if not told:  # once: what is being closed is not disturbed
            told = True
            raise _ToldToStop

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not told:
            raise
        why = " (as when another of its processes has ended)" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
        then = f"go on with: {stopped.args[0]}" if stopped.args else "no run was begun"
        raise TrainingError(f"the scan was told to stop{why}; {then}") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _resume(path: Path, frequency: bool) -> None:
    from aumclean.run.directory import Run
    from aumclean.scanning import scan

    run = Run(path)
    _require_network(frequency, run.read_scan().config)
    with resumable_when_told_to_stop(), progress() as track:
        finished = scan.resume(run, track=track)
    _end(finished, frequency)


def _near_facts(summary: "Summary") -> list[tuple[str, str]]:
    """What the backbone found beside labels."""
    said = (
        ("near copies", summary.near_duplicates, "nearly the same as another"),
        ("near conflicts", summary.near_conflicts, "with a near copy of another label"),
        ("leaked", summary.leaked, "nearly the same as one of --against"),
    )
    return [(name, f"{counted(count, 'image')} {what}") for name, count, what in said if count]


def show_summary(finished: "Scan") -> None:
    """What a person wants to know first: how much, where, which, and where the files are."""
    if finished.verdict is None:
        return
    from aumclean.verdict.estimate import said

    run, summary = finished.run, finished.verdict.summary
    record, rate = run.read_scan(), summary.noise_rate
    settings = summary.settings
    memorised = sum(draw.memorised for draw in summary.thresholds) / settings.draws
    seconds = sum(record.training_seconds)
    draws = counted(settings.draws, "draw")
    net = f"{record.recipe.arch} at {record.image_size} px"
    facts = [
        ("scanned", f"{summary.samples:,} images in {summary.classes} classes"),
        ("trained", f"{net}, {draws} of {counted(settings.epochs, 'epoch')}, {seconds:,.0f} s"),
        ("memorised", f"{memorised:.1%} of the indicator samples when the rate began to fall"),
        ("flagged", f"{summary.flagged:,} ({summary.flagged_share:.1%}), set {summary.flagged_digest}"),
        ("noise rate", said(rate.estimate, rate.low, rate.high)),
        *expected(summary.flags),
    ]
    if summary.unreadable:
        facts.append(("unreadable", f"{counted(summary.unreadable, 'file')}, listed in {run.unreadable}"))
    if summary.not_judged:
        facts.append(("not judged", f"{counted(summary.not_judged, 'image')} of which too little is known"))
    if summary.silenced:
        facts.append(("silenced", f"{summary.silenced:,} more would be flagged, but reviewers confirmed their labels"))
    if summary.conflicts:
        facts.append(("conflicts", f"{counted(summary.conflicts, 'image')} with an identical copy of another label"))
    facts += _near_facts(summary)
    parts = [table("", ("", ""), facts)]
    classes = [row for row in summary.per_class if row.flagged][:5]
    if classes:
        shares = [(row.label, f"{row.flagged:,}/{row.samples:,}", f"{row.flagged_share:.1%}") for row in classes]
        parts.append(table("Worst classes", ("class", "flagged", "share"), shares, right={"flagged", "share"}))
    pairs = [(row.label, row.suggested_label, f"{row.flagged:,}") for row in summary.per_pair[:5]]
    if pairs:
        parts.append(table("Top confusions", ("label", "looks like", "images"), pairs, right={"images"}))
    parts += most_suspect(finished.verdict.report)
    kept = run.cleaned("csv") if run.cleaned("csv").is_file() else run.cleaned("parquet")
    show(*parts)
    for what, path in (("all images, ranked", run.report("csv")), ("what stays", kept), ("what goes", run.removed)):
        say(f"{what + ':':<20}{path}")
