"""`aumclean corrupt`: a manifest with known label noise."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aumclean.cli.console import give, say
from aumclean.cli.scan import option


def command(
    data: Annotated[Path, typer.Argument(help="Image folder or manifest.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Manifest to write: .csv or .parquet.", show_default=False)],
    noise: Annotated[
        Literal["uniform", "flip", "pairs", "instance"],
        typer.Option(
            help="uniform: any other class; flip: the next class; pairs: as --pair says; "
            "instance: by what the picture shows."
        ),
    ] = "uniform",
    rate: Annotated[float, typer.Option(help="Probability of a wrong label.")] = 0.2,
    pair: Annotated[list[str] | None, option("FROM=TO, for --noise pairs; repeatable.")] = None,
    imbalance: Annotated[
        float, typer.Option(help="Keep so few images that the first class is so many times as large as the last.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the choice.", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(help="At most so many images, evenly spaced.", min=1)] = None,
    path_column: Annotated[str | None, option("Manifest column with the paths.")] = None,
    label_column: Annotated[str | None, option("Manifest column with the labels.")] = None,
    root: Annotated[Path | None, option("Folder that manifest paths are relative to.")] = None,
    split: Annotated[str | None, option("Split to corrupt.")] = None,
    class_folder: Annotated[
        Literal["first", "last"] | None,
        option("Which of nested folders names the class."),
    ] = None,
    cache_dir: Annotated[
        Path | None, option("Folder of decoded images, for --noise instance. [default: the system's]")
    ] = None,
) -> None:
    """Write a manifest with known label noise, the true labels beside it.

    To measure how much of it a scan finds; the images are not touched.

    Example: `aumclean corrupt photos/ --rate 0.4 --out noisy.csv`
    """
    from aumclean.dataset.corrupt import corrupt
    from aumclean.dataset.read import read_samples

    samples = read_samples(
        data,
        path_column=path_column,
        label_column=label_column,
        root=root,
        split=split,
        class_folder=class_folder,
        limit=limit,
    )
    made = corrupt(
        samples,
        out,
        noise=noise,
        rate=rate,
        seed=seed,
        pairs=pair or (),
        imbalance=imbalance,
        cache_dir=cache_dir,
    )
    say(f"{made.wrong:,} of {made.samples:,} labels are wrong now: realised rate {made.wrong / made.samples:.4f}")
    say(f"scan it with: aumclean scan {made.file}" + (f" --root {made.root}" if made.root else ""))
    give(made.file)
