"""What `frequency test` found, as the tables of its `diagnostic.json` say it."""

from typing import Literal

from pydantic import Field

from aumclean.diagnostics.frequency.accuracy import BnEval
from aumclean.files.records import Count, Record, Share


class BandAccuracy(Record):
    """The share of right answers on each band: a row of `accuracy.csv`."""

    batch_norm: BnEval | Literal["none"] = Field(
        description="Statistics of batch norm: running (of the training) or batch (of 100 images); none without any."
    )
    radius: int | float = Field(description="Where the bands part, in bins.")
    original: Share = Field(description="Share of the images that are right as they are.")
    low: Share = Field(description="Share that is right on the low-pass image.")
    high: Share = Field(description="Share that is right on the high-pass image.")
    needs_high: Count = Field(
        description="Images that are right as they are and on the high-pass image, but wrong on the low-pass image."
    )
    needs_high_share: Share = Field(description="Their share.")


class NeedsHigh(Record):
    """An image that needs the high band: a row of `needs_high.csv`."""

    radius: int | float = Field(description="Where the bands part, in bins.")
    path: str = Field(description="The image.")
    label: str = Field(description="Its label.")
    low_says: str = Field(description="What the network takes the low-pass image for.")
    confidence_original: Share = Field(description="The network's greatest probability on the image as it is.")
    confidence_low: Share = Field(description="The same on the low-pass image.")
    confidence_high: Share = Field(description="The same on the high-pass image.")


class Tables(Record):
    """The tables of `frequency test`."""

    accuracy: list[BandAccuracy] = Field(description="A row per radius, and per way to take batch norm's statistics.")
    needs_high: list[NeedsHigh] = Field(
        default=[],
        description="The images that need the high band, by radius, the surest wrong answers on the low-pass image "
        "first; absent where there are none.",
    )
