"""What `features.json` says: how the features of a run were made. They are in the cache, not in the run."""

from typing import Final, Literal

from pydantic import Field

from aumclean.files.records import Count, Record

SCHEMA_VERSION: Final = 1


class FeaturesRecord(Record):
    """`features.json`: the backbone of a run, the file that its features were read from, or pixels."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="Version of this form of file.")
    name: str = Field(
        description="As it was asked for: auto, timm:NAME, torchvision:NAME, pixels, or a file of features."
    )
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="Of the backbone's weights, or of the features themselves."
    )
    licence: str | None = Field(default=None, description="Of the weights, as their publisher says; null when unknown.")
    image_size: Count | None = Field(
        default=None, description="Side in pixels of what the backbone looks at; null where there is none."
    )
    width: Count = Field(description="How many features an image has.")
    shrinkage: float | None = Field(
        default=None, ge=0, le=1, description="Of the covariance of the linear discriminant; null before it is chosen."
    )
