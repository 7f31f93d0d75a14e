"""`aumclean corrupt`: a manifest with known label noise."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aumclean.cli.console import give, progress, say
from aumclean.cli.options import Caching, Data, LimitedReading, option, with_options


@with_options
def command(
    data: Data,
    out: Annotated[Path, option("Manifest to write: .csv or .parquet, such as noisy.csv.", "--out", "-o")],
    reading: LimitedReading,
    caching: Caching,
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
        float, typer.Option(help="Thin out the classes until the first is this many times as large as the last.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the choice.", min=0)] = 0,
) -> None:
    """Write a manifest with known label noise and the true labels.

    Use it to measure how much of the noise a scan finds. The images are not touched.

    Example: `aumclean corrupt photos/ --rate 0.4 --out noisy.csv`
    """
    from aumclean.dataset.corrupt import corrupt
    from aumclean.dataset.read import read_samples

    with progress() as track:
        made = corrupt(
            read_samples(data, **reading.given()),
            out,
            noise=noise,
            rate=rate,
            seed=seed,
            pairs=pair or (),
            imbalance=imbalance,
            track=track,
            **caching.given(),
        )
    say(f"{made.wrong:,} of {made.samples:,} labels are wrong now: realised rate {made.wrong / made.samples:.4f}")
    say(f"scan it with: aumclean scan {made.file}" + (f" --root {made.root}" if made.root else ""))
    give(made.file)
