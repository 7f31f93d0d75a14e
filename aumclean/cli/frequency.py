"""`aumclean frequency`: which part of the labels rests on low and which on high frequencies."""

from typing import Annotated, Literal

import typer

from aumclean.cli.console import progress, say_notes
from aumclean.cli.diagnostic import Study, answer, group, numbers, show_report
from aumclean.cli.options import Data, FinishedRun, LimitedReading, OnDevice, Writing, option

ABOUT = "Which part of the labels rests on low and which on high frequencies of the images."

Radii = Annotated[str | None, option("Where to cut, in bins, such as 4,8. [default: by preset]")]
Edge = Annotated[
    Literal["inside", "outside"],
    typer.Option(help="Frequencies at exactly the radius are in the low band (the paper) or not (its code)."),
]


def _floats(text: str | None, name: str = "--radii") -> tuple[float, ...] | None:
    return None if text is None else numbers(text, name, float)


def split(
    data: Data,
    radius: Annotated[float, option("Where to cut, such as 8 (of images of 32 pixels), or 0.25 with --unit cycles.")],
    reading: LimitedReading,
    computing: OnDevice,
    writing: Writing,
    unit: Annotated[
        Literal["bins", "cycles"], typer.Option(help="bins of the transform, or cycles per pixel (0 to 0.71).")
    ] = "bins",
    edge: Edge = "inside",
    floats: Annotated[
        bool, typer.Option("--floats", help="Also write low.npy and high.npy, unscaled; images of one size only.")
    ] = False,
    pictures: Annotated[int, typer.Option(help="Number of images to write as PNG.", min=0)] = 100,
    look: Annotated[
        Literal["none", "offset", "gain", "image-max"], typer.Option(help="How PNGs of the high band are scaled.")
    ] = "offset",
    gain: Annotated[float, typer.Option(help="Factor for --look gain.", min=0.01)] = 4.0,
) -> None:
    """Split images into their low and their high frequencies.

    Writes a contact sheet, energies per radius, PNGs for looking and, on request, the bands as numbers.

    Example: `aumclean frequency split photos/ --radius 0.1 --unit cycles`
    """
    from aumclean.dataset.read import read_samples
    from aumclean.diagnostics.frequency.bands import Disc
    from aumclean.diagnostics.frequency.split import Looks
    from aumclean.diagnostics.frequency.split import split as split_images

    samples = read_samples(data, **reading.given(), one_class=True)
    say_notes(samples)
    with progress() as track:
        report, store = split_images(
            samples, Disc(radius, unit, edge), floats=floats, pictures=pictures, looks=Looks(look, gain), track=track,
            **writing.given(), **computing.given(),
        )  # fmt: skip
    show_report(report, store)


def test(
    study: Study,
    radii: Radii = None,
    edge: Edge = "inside",
    batch_norm: Annotated[
        bool,
        typer.Option("--batch-norm/--no-batch-norm", help="Whether a network that is trained here has batch norm."),
    ] = False,
) -> None:
    """Judge one network on original, low-pass and high-pass images; list those that need the high band.

    DATA is a run, whose networks judge its own images or those of --test; a trainings/*.safetensors of a diagnostic; or
    images to train on.

    Example: `aumclean frequency test runs/photos-1`
    """
    from aumclean.diagnostics.frequency.test import test as judge

    answer(judge, study, radii=_floats(radii), edge=edge, batch_norm=batch_norm)


def curves(study: Study, radii: Radii = None, edge: Edge = "inside") -> None:
    """Train on natural and on shuffled labels; show when each band is picked up.

    Example: `aumclean frequency curves photos/ --holdout 0.2`
    """
    from aumclean.diagnostics.frequency.curves import curves

    answer(curves, study, radii=_floats(radii), edge=edge)


def transfer(
    study: Study,
    radii: Radii = None,
    edge: Edge = "inside",
    scaling: Annotated[
        Literal["both", "image-max", "none"],
        typer.Option(
            help="How filtered training images are scaled: each by its own greatest value (the paper), or not at all."
        ),
    ] = "both",
    batch_norm: Annotated[
        bool, typer.Option("--batch-norm/--no-batch-norm", help="Also train on the low band with batch norm.")
    ] = True,
) -> None:
    """Train on one band, test on whole images and on the same band.

    Example: `aumclean frequency transfer photos/ --holdout 0.2`
    """
    from aumclean.diagnostics.frequency.transfer import SCALINGS, transfer

    scalings = SCALINGS if scaling == "both" else (scaling,)
    answer(transfer, study, radii=_floats(radii), edge=edge, scalings=scalings, batch_norm=batch_norm)


def heuristics(
    study: Study,
    variants: Annotated[
        str | None,
        option(
            "Which, such as vanilla,mix-up: also batch-4 to -500, dropout, batch-norm, adversarial, sgd and others."
        ),
    ] = None,
    radii: Radii = None,
    edge: Edge = "inside",
) -> None:
    """Train in several ways; show what each changes in the use of low and high frequencies.

    Example: `aumclean frequency heuristics photos/ --holdout 0.2 --variants vanilla,batch-norm`
    """
    from aumclean.diagnostics.frequency.heuristics import heuristics

    chosen = None if variants is None else tuple(dict.fromkeys(map(str.strip, variants.split(","))))
    answer(heuristics, study, variants=chosen, radii=_floats(radii), edge=edge)


def robustness(
    study: Study,
    epsilons: Annotated[
        str | None, option("Largest changes of a pixel, in 0..1, such as 0.03,0.06. [default: by preset]")
    ] = None,
    rhos: Annotated[
        str | None, option("Strengths of the smoothing of first-layer kernels, such as 0,1. [default: by preset]")
    ] = None,
    gain: Annotated[
        Literal["grow", "keep"],
        typer.Option(help="Whether smoothed kernels grow by 1 + 8 rho (the paper) or are divided by it."),
    ] = "grow",
) -> None:
    """Attack a plain and an adversarially trained network, with first-layer kernels as they are and smoothed.

    Example: `aumclean frequency robustness photos/ --holdout 0.2`
    """
    from aumclean.diagnostics.frequency.robustness import robustness

    answer(
        robustness, study,
        epsilons=_floats(epsilons, "--epsilons"), rhos=_floats(rhos, "--rhos"), keep_gain=gain == "keep",
    )  # fmt: skip


def join(
    run: FinishedRun,
    computing: OnDevice,
    radius: Annotated[
        float | None, option("Where to cut, in bins. [default: 8 at 32 pixels, in proportion at other sizes]")
    ] = None,
    edge: Edge = "inside",
    bn_eval: Annotated[
        Literal["running", "batch"],
        typer.Option(help="Statistics that batch norm uses: those of the training, or of the batch."),
    ] = "running",
) -> None:
    """Find which frequency band carries each sample's label, and which classes rest on high frequencies.

    Adds the columns margin_original, margin_low, margin_high and reliance to the run's reports; changes no flag.

    Example: `aumclean frequency join runs/photos-1`
    """
    from aumclean.diagnostics.frequency.join import join as join_bands
    from aumclean.run.directory import Run

    with progress() as track:
        report, store = join_bands(
            Run(run), radius=radius, edge=edge, bn_eval=bn_eval, **computing.given(), track=track
        )
    show_report(report, store)


app = group(ABOUT, split, test, curves, transfer, heuristics, robustness, join)
