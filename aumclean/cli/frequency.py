"""`aumclean frequency`: which part of the labels rests on low and which on high frequencies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aumclean.cli.console import progress, say, with_common_options
from aumclean.cli.diagnostic import numbers, show_report, with_study_options
from aumclean.cli.scan import option
from aumclean.errors import ConfigError

if TYPE_CHECKING:
    from aumclean.diagnostics.study import Options

CONTEXT = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="Which part of the labels rests on low and which on high frequencies of the images.",
    no_args_is_help=True,
    context_settings=CONTEXT,
    rich_markup_mode=None,
)

Radii = Annotated[str | None, option("Where to cut, in bins, such as 4,8. [default: by preset]")]
Edge = Annotated[
    Literal["inside", "outside"],
    typer.Option(help="Frequencies at exactly the radius are in the low band (the paper) or not (its code)."),
]


def _radii(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else numbers(text, "--radii", float)


def split(
    data: Annotated[Path, typer.Argument(help="Image folder or manifest.", show_default=False)],
    radius: Annotated[float, typer.Option(help="Where to cut.", show_default=False)],
    unit: Annotated[
        Literal["bins", "cycles"], typer.Option(help="bins of the transform, or cycles per pixel (0 to 0.71).")
    ] = "bins",
    edge: Edge = "inside",
    out: Annotated[Path | None, option("Directory. [default: runs/NAME-frequency-split-N]", "--out", "-o")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another answer that --out holds.")] = False,
    floats: Annotated[
        bool, typer.Option("--floats", help="Also write low.npy and high.npy, unscaled; images of one size only.")
    ] = False,
    pictures: Annotated[int, typer.Option(help="Of how many images to write PNGs.", min=0)] = 100,
    look: Annotated[
        Literal["none", "offset", "gain", "image-max"], typer.Option(help="How PNGs of the high band are scaled.")
    ] = "offset",
    gain: Annotated[float, typer.Option(help="Factor for --look gain.", min=0.01)] = 4.0,
    limit: Annotated[int | None, typer.Option(help="At most so many images, evenly spaced.", min=1)] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
    path_column: Annotated[str | None, option("Manifest column with the paths or the images.")] = None,
    label_column: Annotated[str | None, option("Manifest column with the labels.")] = None,
    root: Annotated[Path | None, option("Folder that manifest paths are relative to.")] = None,
    split: Annotated[str | None, option("Split to read.")] = None,
    class_folder: Annotated[Literal["first", "last"] | None, option("Which of nested folders names the class.")] = None,
) -> None:
    """Split images into their low and their high frequencies.

    Writes a contact sheet, energies per radius, PNGs for looking and, on request, the bands as numbers.

    Example: `aumclean frequency split photos/ --radius 0.1 --unit cycles`
    """
    from aumclean.dataset.read import read_samples
    from aumclean.diagnostics.frequency.bands import Disc
    from aumclean.diagnostics.frequency.split import Looks
    from aumclean.diagnostics.frequency.split import split as split_images

    samples = read_samples(
        data,
        path_column=path_column,
        label_column=label_column,
        root=root,
        split=split,
        class_folder=class_folder,
        limit=limit,
        one_class=True,
    )
    for note in samples.notes:
        say(note)
    with progress() as track:
        report, store = split_images(
            samples,
            Disc(radius, unit, edge),
            out=out,
            overwrite=overwrite,
            floats=floats,
            pictures=pictures,
            looks=Looks(look, gain),
            device=device,
            track=track,
        )
    show_report(report, store)
