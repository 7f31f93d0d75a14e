"""How the frequency diagnostics train: the paper's settings, and small ones that end within minutes."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aumclean.config.recipe import Recipe
from aumclean.diagnostics.frequency.bands import Disc, Edge
from aumclean.diagnostics.study import Options, Preset

Command = Literal["test", "curves", "transfer", "heuristics", "robustness"]

# Wang et al. 2020, section 4.2: Adam, Xavier, pixels in [0, 1]; their code has neither augmentation nor batch norm, and
# a network of the form of ResNet-32.
PAPER = Recipe(
    arch="resnet32",
    epochs=100,
    learning_rate=1e-4,
    batch_size=100,
    weight_decay=0.0,
    crop=False,
    flip=False,
    optimizer="adam",
    batch_norm=False,
    xavier=True,
    pixels="unit",
)
QUICK = replace(
    PAPER, arch="resnet8", epochs=8, learning_rate=2e-3, batch_size=25
)  # small batches: more steps for the time

RADII_AT_32 = (4, 8, 12, 16)


@dataclass(frozen=True)
class Setting:
    """A preset for one command.

    Attributes:
        recipe: of the plain training.
        limit, test_limit: how many images at most; None for all.
        watched: of how many images accuracy is followed over the epochs.
    """

    recipe: Recipe
    limit: int | None
    test_limit: int | None
    watched: int


SETTINGS: dict[Preset, dict[Command, Setting]] = {
    "quick": {
        "test": Setting(QUICK, 4000, 1000, 1000),
        "curves": Setting(QUICK, 1000, 500, 300),
        "transfer": Setting(QUICK, 1000, 500, 300),
        "heuristics": Setting(QUICK, 800, 300, 200),
        "robustness": Setting(QUICK, 1500, 100, 100),
    },
    "paper": {
        **dict.fromkeys(("test", "curves", "transfer", "heuristics"), Setting(PAPER, None, None, 10_000)),
        "robustness": Setting(PAPER, None, None, 1000),
    },
}


def discs_for(radii: tuple[float, ...] | None, edge: Edge, size: int) -> list[Disc]:
    """The discs at the radii asked for, or at the paper's 4, 8, 12 and 16 bins in proportion to the images' size.

    Raises:
        ConfigError: when a radius lies outside the spectrum.
    """
    by_size = sorted({max(1.0, float(round(radius * size / 32))) for radius in RADII_AT_32})
    discs = [Disc(radius, "bins", edge) for radius in radii or by_size]
    for disc in discs:
        disc.check(size, size, "--radii")
    return discs


def limits(options: Options, studied: list[str]) -> list[str]:
    """What the quick preset cannot show, as a paragraph; none for `paper`."""
    if options.preset == "paper":
        return []
    unseen = f" It cannot show {' nor '.join(studied)}; --preset paper can, in hours." if studied else ""
    return [
        "The quick preset trains a small network briefly on a part of the data: orderings may show, figures are not "
        f"the paper's.{unseen}"
    ]


def evenly(most: int, of: int) -> np.ndarray:
    """Evenly spaced positions, at most so many, int64."""
    count = min(most, of)
    return np.arange(count) * of // max(count, 1)
