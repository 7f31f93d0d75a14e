"""What `run.json` and `scores.json` say: by what means labels were judged, and how new images were."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, WithJsonSchema, model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from aumclean.config.presets import Combine, Rule, Threshold
from aumclean.config.recipe import LINEAR, Recipe, closing_epochs
from aumclean.config.scan import MOST_DRAWS, MOST_PIXELS, ScanConfig
from aumclean.files.records import Count, Record, Seconds, Share, Time

SCHEMA_VERSION: Final = 1
BoxFormat = Literal["coco", "yolo", "voc", "label-studio", "cvat"]
"""The files that list boxes."""


@dataclass(frozen=True)
class Settings:
    """How to judge: everything that can change without training again.

    `threshold` says which order and which cut: by AUM at the indicator samples' percentile, as published; or by the
    estimated probability that a label is wrong, at one half or at a target.
    """

    percentile: Annotated[
        float, Field(gt=0, lt=100, description="Which percentile of the indicator samples' AUMs is the threshold.")
    ]
    combine: Annotated[Combine, Field(description="How the draws are combined.")]
    first_epoch: Annotated[Count, Field(description="The first epoch that is averaged, counted from 0.")]
    rule: Annotated[
        Rule, Field(description="How the threshold is found: as published, or as the published code does.")
    ] = "percentile"
    threshold: Annotated[
        Threshold,
        Field(
            description="What ranks and cuts: AUM and the indicator samples' percentile, or the estimated probability "
            "that a label is wrong."
        ),
    ] = "indicator"
    target_precision: Annotated[
        float | None, Field(gt=0, lt=1, description="The precision that the cut is expected to reach, or null.")
    ] = None
    target_recall: Annotated[
        float | None, Field(gt=0, lt=1, description="The recall that the cut is expected to reach, or null.")
    ] = None


class ComparedRecipe(Record):
    """The settings that a memorisation horizon depends on."""

    arch: str = Field(description="Network.")
    learning_rate: float = Field(description="The highest learning rate.")
    batch_size: int = Field(description="Images per step.")
    weight_decay: float = Field(description="Weight decay.")
    crop: bool = Field(description="Whether images are shifted at random.")
    flip: bool = Field(description="Whether images are mirrored at random.")


@pydantic_dataclass(frozen=True)
class Horizon:
    """The memorisation horizon: what `aumclean random-labels horizon` found, or what somebody said.

    Of a plain number only `epochs` is known, of a single repeat no interval.
    """

    epochs: float | None = Field(
        description="Epochs until half of planted wrong labels were learned; null when that was never seen."
    )
    low: float | None = Field(default=None, description="Lower end of its 95% interval over repeats, or null.")
    high: float | None = Field(default=None, description="Upper end, or null.")
    later_than: float | None = Field(default=None, description="Epochs that no repeat had reached it by, or null.")
    images: int | None = Field(default=None, description="Images it was measured on, or null.")
    recipe: ComparedRecipe | None = Field(default=None, description="Settings it was measured with, or null.")

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.epochs is None and self.later_than is None:
            raise ValueError("epochs or later_than must be a number")
        return self

    def __str__(self) -> str:
        if self.epochs is None:
            return f"later than {self.later_than:g} epochs"
        between = "" if self.low is None or self.high is None else f" ({self.low:.1f} to {self.high:.1f})"
        return f"{self.epochs:.1f} epochs{between}"


class Place(Record):
    """Where images are."""

    source: str = Field(description="DATA as given, absolute.")
    root: str = Field(description="Folder that paths are relative to, absolute.")
    name: str = Field(description="Name of the data set: that of the folder or file.")
    image_column: str | None = Field(
        default=None, description="Column of a Parquet file that holds the images; null when they are files."
    )
    is_files: bool = Field(
        default=True,
        description="Whether every image is a file or an object below `root`, unless there is an `image_column`.",
    )
    boxes: BoxFormat | None = Field(
        default=None, description="Form of the file that lists boxes, of which each is a sample; null without boxes."
    )
    value_range: tuple[float, float] | None = Field(
        default=None,
        description="What is black and what is white in its images of more than 8 bits; null when it has none.",
    )

    @property
    def near_files(self) -> bool:
        """Whether other programs of this machine can open every image by its path."""
        return self.image_column is None and self.is_files and "://" not in self.root


class Data(Place):
    """What was scanned."""

    pictures: bool = Field(default=True, description="Whether the samples are images; else tables, texts and so on.")
    source_bytes: Count = Field(description="Size of that file or folder entry in bytes.")
    source_changed_ns: int = Field(description="Its last change, in nanoseconds since 1970.")
    label_column: str = Field(default="label", description="Column of the manifest with the labels.")
    samples: Count = Field(description="Readable samples.")
    unreadable: Count = Field(description="Files that could not be read.")
    class_names: list[str] = Field(min_length=2, description="The classes, in the order of the network's outputs.")
    fingerprint: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 over every image's content and label, in order."
    )


class Options(ScanConfig, extra="allow"):
    """The options of a scan as they are recorded, perhaps by a later aumclean with more of them."""


class Progress(Record):
    """How far the training of a draw is, beside `run.json`: `checkpoints/draw=K.json`."""

    epochs_done: Count
    training_seconds: Seconds


class Common(Record):
    """What every `run.json` says, by whatever means the evidence was made."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="Version of this form of file.")
    made_by: Literal["scan", "recorder", "judge"] = Field(
        default="scan",
        description="Who made the evidence: a scan; a training of somebody's own, with the Recorder; or something "
        "else, whose outputs were judged.",
    )
    aumclean: str = Field(description="Version of aumclean.")
    versions: dict[str, str] = Field(description="Versions of what computed it.")
    argv: list[str] = Field(description="The command line.")
    started: Time = Field(description="When it began, UTC.")
    finished: Time | None = Field(default=None, description="When it ended, UTC; null before.")
    state: Literal["running", "interrupted", "done"] = Field(description="Whether it is done.")
    data: Data = Field(description="What was judged.")
    seed: int = Field(default=0, ge=0, description="Seed of everything drawn.")
    judge: Settings = Field(description="How the samples are judged.")
    draws: int = Field(
        ge=0, le=MOST_DRAWS, description="How many draws of indicator samples, or trainings without; 0 of predictions."
    )
    epochs_done: list[Count] = Field(description="Finished epochs of each draw.")
    training_seconds: list[Seconds] = Field(description="Time that each draw trained, in seconds.")

    @model_validator(mode="after")
    def _of_every_draw(self) -> Self:
        if not len(self.epochs_done) == len(self.training_seconds) == self.draws:
            raise ValueError(f"epochs_done and training_seconds must be of {self.draws} draws")
        return self

    @property
    def averaged_epochs(self) -> list[int]:
        """How many epochs of each draw there are for AUM to be read from."""
        return self.epochs_done

    @property
    def compared(self) -> bool:
        """Whether leaks were looked for: a scan with `--against`."""
        return False


class ScanRecord(Common):
    """`run.json` of a scan: what was asked of it and what came of it."""

    made_by: Literal["scan"] = Field(default="scan", description="That a scan made the evidence.")
    config: Annotated[Options, WithJsonSchema({"type": "object"})] = Field(
        description="The options of the scan, every one, by its name with underscores; null means by the preset or "
        "found from the data."
    )
    device: str = Field(description="What computed it.")
    image_size: int = Field(ge=1, le=MOST_PIXELS, description="Side of the images as the network sees them, in pixels.")
    recipe: Recipe = Field(description="How the network is trained, or heads on the features.")
    features: str | None = Field(
        default=None,
        description="The backbone that looked at the images, the file of features, or pixels; null for none.",
    )
    horizon: Horizon | None = Field(
        default=None, description="The memorisation horizon that `--horizon` named, or null."
    )
    draws: int = Field(ge=2, le=MOST_DRAWS, description="How many draws of indicator samples.")

    @model_validator(mode="before")
    @classmethod
    def _seed_of_config(cls, found: Any) -> Any:
        """The seed was in the options alone."""
        config = found.get("config") if isinstance(found, dict) else None
        seed = config.get("seed", 0) if isinstance(config, dict) else getattr(config, "seed", 0)
        return {"seed": seed, **found} if config is not None else found

    @model_validator(mode="after")
    def _within_recipe(self) -> Self:
        if max(self.epochs_done) > self.recipe.epochs:
            raise ValueError(f"epochs_done must be at most the recipe's {self.recipe.epochs}")
        return self

    @property
    def averaged_epochs(self) -> list[int]:
        """Those before the learning rate begins to fall."""
        return [done - closing_epochs(done, self.recipe.closing) for done in self.epochs_done]

    @property
    def compared(self) -> bool:
        """As the options say; the tables of older scans have an empty column `leaked_from` also without."""
        return self.config.against is not None

    @property
    def how(self) -> str:
        """Network, size and trainings."""
        trained = (
            "a head on features"
            if self.recipe.arch == LINEAR
            else f"{self.recipe.arch} at {self.image_size} pixels" + (" and features" if self.features else "")
        )
        return f"scanned {self.started[:10]} with {trained}: {self.draws} draws of {max(self.epochs_done)} epochs"


class Evidence(Record):
    """Something that says something of labels, and was made elsewhere."""

    kind: Literal["margins", "aum", "logits", "pred-probs", "features"] = Field(
        description="Margins of a training, AUMs of the package `aum`, logits or probabilities of the classes, or "
        "features."
    )
    source: str = Field(description="The file or folder, absolute; or what it was made with.")
    samples: Count = Field(description="How many samples it speaks of.")
    agreement: Share | None = Field(
        default=None,
        description="Share of these whose likeliest class is the given label; null of margins and features.",
    )


class JudgedRecord(Common):
    """`run.json` of a run whose evidence was made by a training or by networks of somebody's own."""

    made_by: Literal["recorder", "judge"] = Field(description="Whether the Recorder or files brought the evidence.")
    evidence: list[Evidence] = Field(description="What the verdict rests on.")
    indicators: bool = Field(default=False, description="Whether there were indicator samples.")
    repeated: Count = Field(default=0, description="How often a sample was seen again in an epoch of a training.")

    @property
    def how(self) -> str:
        """What evidence there is, and how many trainings."""
        kinds = {"aum": "AUMs", "pred-probs": "probabilities"}
        named = " and ".join(dict.fromkeys(kinds.get(one.kind, one.kind) for one in self.evidence))
        trained = f": {self.draws} trainings of {max(self.epochs_done)} epochs" if self.draws else ""
        return f"judged {self.started[:10]} by {named} of networks of your own{trained}"


RunRecord = ScanRecord | JudgedRecord
"""`run.json`."""


class ScoresRecord(Record):
    """`scores.json`: stands in place of `run.json` where `aumclean score` judged new images."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="Version of this form of file.")
    aumclean: str = Field(description="Version of aumclean.")
    argv: list[str] = Field(description="The command line.")
    finished: Time = Field(description="When it was written, UTC.")
    run: str = Field(description="The run whose networks judged, absolute.")
    data: Place = Field(description="Where the images are.")
