"""What the frequency diagnostics found: the rows of their tables."""

from typing import Annotated, Literal

from pydantic import Field

from aumclean.diagnostics.rows import Averaged, Number, Positive
from aumclean.files.records import Count, Record, Share

Radius = Annotated[Number, Field(description="Where the bands part, in bins.")]


class Energy(Record):
    """What lies within a radius, mean over images: a row of `energy.csv`."""

    radius: Number = Field(description="Where the bands part, in the unit that was asked for.")
    coefficients_kept: Share = Field(description="Share of the coefficients in the low band.")
    energy_low: Share = Field(description="Share of the energy in the low band.")
    energy_low_without_mean: float = Field(description="Share of the energy around the mean in the low band.")
    energy_high_without_mean: float = Field(description="Share of the energy around the mean in the high band.")


class Unreadable(Record):
    """An image that cannot be read: a row of `unreadable.csv`."""

    path: str = Field(description="The file.")
    reason: str = Field(description="Why.")


class BandAccuracy(Record):
    """The share of right answers on each band: a row of `accuracy.csv`."""

    batch_norm: Literal["running", "batch", "none"] = Field(
        description="Statistics of batch norm: running (of the training) or batch (of 100 images); none without any."
    )
    radius: Radius
    original: Share = Field(description="Share of the images that are right as they are.")
    low: Share = Field(description="Share that is right on the low-pass image.")
    high: Share = Field(description="Share that is right on the high-pass image.")
    needs_high: Count = Field(
        description="Images that are right as they are and on the high-pass image, but wrong on the low-pass image."
    )
    needs_high_share: Share = Field(description="Their share.")


class NeedsHigh(Record):
    """An image that needs the high band: a row of `needs_high.csv`."""

    radius: Radius
    path: str = Field(description="The image.")
    label: str = Field(description="Its label.")
    low_says: str = Field(description="What the network takes the low-pass image for.")
    confidence_original: Share = Field(description="The network's greatest probability on the image as it is.")
    confidence_low: Share = Field(description="The same on the low-pass image.")
    confidence_high: Share = Field(description="The same on the high-pass image.")


class BandCurve(Averaged):
    """Accuracy on one band of training images over the epochs: a row of `bands.csv`."""

    labels: str = Field(description="Which labels were trained on: natural or shuffled.")
    band: str = Field(description="original, or a band and its radius, such as low-4.")
    first_epoch: Share = Field(description="Accuracy after the first epoch.")
    picked_up_at_epoch: Positive | None = Field(
        description="First epoch a quarter of the way from chance to 1; null: none."
    )
    highest: Share = Field(description="Accuracy in the best epoch.")
    last_epoch: Share = Field(description="Accuracy after the last epoch.")


class Transferred(Averaged):
    """Accuracy after training on one band: a row of `transfer.csv`."""

    trained_on: Literal["low", "high"] = Field(description="The band.")
    radius: Radius
    scaling: str = Field(description="How training images were scaled.")
    batch_norm: bool = Field(description="Whether the network had batch normalisation.")
    train: Share = Field(description="Accuracy of the training pass, last epoch.")
    test_original: Share = Field(description="Accuracy on test images as they are.")
    test_same: Share = Field(description="Accuracy on the same band of test images.")


class Heuristic(Averaged):
    """Accuracy of a way to train; a further column for each band, such as `low-4`: a row of `heuristics.csv`."""

    variant: str = Field(description="The way to train, and how batch norm judged where there are two ways.")
    train: Share = Field(
        description="Accuracy of the training pass: with mix-up of mixed, in adversarial training of attacked images."
    )
    test: Share = Field(description="Accuracy on test images as they are.")
    gap: float = Field(description="The first minus the second.")


class Robustness(Averaged):
    """Accuracy under attacks, each a further column, such as `pgd-0.03`: a row of `robustness.csv`."""

    model: str = Field(description="How the network was trained: natural or adversarial.")
    rho: float = Field(description="How much its first layer was smoothed; 0 not at all.")
    clean: Share = Field(description="Accuracy without attack.")
    roughness: Positive = Field(description="Roughness of the first layer: 0 flat, about 2 random.")


class ClassBands(Record):
    """How the samples of a class divide among the bands: a row of `classes.csv`."""

    label: str = Field(description="The class.")
    samples: Count = Field(description="Samples with this label.")
    right: Share | None = Field(description="Share of them that is right on the image as it is.")
    right_both: Share | None = Field(description="Share of these that is right on both bands.")
    right_low: Share | None = Field(description="Share that is right on the low band alone.")
    right_high: Share | None = Field(description="Share that is right on the high band alone.")
    right_neither: Share | None = Field(description="Share that is right on neither.")
    median_margin_low: float | None = Field(description="Median margin on the low-pass images.")
    median_margin_high: float | None = Field(description="Median margin on the high-pass images.")
    flagged: Count = Field(description="Flagged samples.")
    flagged_high_only: Count = Field(description="Flagged samples whose label the high band alone carries.")
    hint: bool = Field(description="Whether the class stands out by resting on the high band.")


class HighOnly(Record):
    """A sample whose label the high band alone carries: a row of `high_only.csv`."""

    sample_id: Count = Field(description="Row in samples.parquet.")
    path: str = Field(description="The image.")
    label: str = Field(description="Its label.")
    flagged: bool | None = Field(description="Whether the scan flags it; null: not judged.")
    aum: float | None = Field(description="Area under the margin.")
    label_score: float | None = Field(description="From 0 (suspect) to 1.")
    margin_low: float = Field(description="Margin of the label on the low-pass image.")
    margin_high: float = Field(description="Margin of the label on the high-pass image.")
