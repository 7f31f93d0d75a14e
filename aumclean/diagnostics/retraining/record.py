"""What `train` found, as `results.json` says it."""

from typing import Annotated, Final, Literal

from pydantic import Field

from aumclean.config.recipe import Recipe
from aumclean.files.records import Count, Record, Seconds, Share, Text

SCHEMA_VERSION: Final = 1


class Facts(Record):
    """What is stored beside the predictions of one training."""

    images: Annotated[Count, Field(ge=2)]
    error: Share
    train_accuracy: Share
    seconds: Seconds | None


class Trained(Facts):
    """One training: a row of `results.csv`."""

    name: str
    order: str | None
    removed: Count
    seed: Count


class Difference(Record):
    """Of two shares, with its 95% interval."""

    estimate: float = Field(description="The difference.")
    low: float = Field(description="Lower end of its 95% interval over the test images, paired.")
    high: float = Field(description="Upper end.")


class Result(Record):
    """What was trained on, over all seeds."""

    name: Text = Field(
        description="Name of the manifest; `raw` is DATA; in a curve the order and how many were removed."
    )
    order: str | None = Field(description="In a removal curve the order of removal: a score, or `random`.")
    removed: Count = Field(description="Images removed in a removal curve.")
    images: Annotated[Count, Field(ge=2)] = Field(description="Images trained on.")
    error: Share = Field(
        description="Share of the test images that the network takes for another class, mean over the seeds."
    )
    deviation: Annotated[float, Field(ge=0)] | None = Field(
        description="Standard deviation of the error over the seeds; null with one."
    )
    train_accuracy: Share = Field(
        description="Share of its own labels that the network was right on in the last epoch, as trained on, mean over "
        "the seeds."
    )
    better_by: Difference | None = Field(description="Error of the first entry minus this one's; null for the first.")
    gap_closed: float | None = Field(
        description="Which part of the difference between the first entry and the one called `oracle` this one makes "
        "up; null for these two, without an oracle, or where it is no better."
    )


class Tested(Record):
    """A test set."""

    source: Text = Field(description="Where it is.")
    images: Annotated[Count, Field(ge=1)] = Field(description="Readable test images.")


class Comparison(Record):
    """Errors on a test set of networks that were trained on several manifests alike."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="Version of this form of file.")
    aumclean: str = Field(description="Version of aumclean.")
    torch: str = Field(description="Version of torch.")
    argv: list[str] = Field(description="Command line of the last call.")
    device: str = Field(description="What computed it.")
    recipe: Recipe = Field(description="How the networks were trained.")
    image_size: Annotated[Count, Field(ge=1)] = Field(
        description="Side of the images as the network sees them, in pixels."
    )
    classes: Annotated[Count, Field(ge=1)] = Field(
        description="Classes of all manifests together: the width of every network."
    )
    seeds: Annotated[list[Count], Field(min_length=1)] = Field(description="Seeds of the trainings.")
    test: Tested = Field(description="What was measured on.")
    results: Annotated[list[Result], Field(min_length=1)] = Field(
        description="One entry per manifest, or per point of the removal curve; the first is what the others are "
        "compared with."
    )
