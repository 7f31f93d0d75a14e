"""What `summary.json` says, of a run and of the scores of new images."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from aumclean.files.mapped import BLOCK, blocks
from aumclean.files.records import Count, Record, Share
from aumclean.run.record import Settings

SCHEMA_VERSION: Final = 1


class Estimated(Record):
    """An estimated share with its 95% interval."""

    estimate: Share = Field(description="The estimate.")
    low: Share = Field(description="Lower end of its 95% interval.")
    high: Share = Field(description="Upper end.")


class EstimatedOrUnknown(Record):
    """An estimated share with its 95% interval; nulls where the networks are not trained enough to say."""

    estimate: Share | None = Field(description="The estimate; null when the networks are not trained enough to say.")
    low: Share | None = Field(description="Lower end of its 95% interval, or null.")
    high: Share | None = Field(description="Upper end, or null.")


class CutAt(Record):
    """Where flags begin."""

    probability: Share = Field(description="Flagged is what is more probably wrong than this.")
    log_odds: float = Field(description="Natural logarithm of its odds.")
    why: str = Field(description="The rule, in words.")


class DrawThreshold(Record):
    """The threshold of one draw."""

    draw: Count = Field(description="Which draw, counted from 0.")
    threshold: float | None = Field(description="An AUM at or below it is suspect; null without indicator samples.")
    low: float | None = Field(description="Lower end of its 95% bootstrap interval, or null.")
    high: float | None = Field(description="Upper end, or null.")
    indicator_samples: Count = Field(description="How many indicator samples it rests on.")
    epochs: Count = Field(description="Epochs of the draw, the closing ones included.")
    memorised: Share = Field(
        description="Share of its indicator samples that were taken for the indicator class in the last epoch that is "
        "averaged: where it is high, wrong labels are being learned."
    )


class Histogram(Record):
    """The AUMs of one draw, counted in bins of equal width."""

    low: float = Field(description="Where the first bin begins; what lies below is counted in it.")
    high: float = Field(description="Where the last bin ends; what lies above is counted in it.")
    samples: list[Count] = Field(description="Samples that are judged, per bin.")
    indicator_samples: list[Count] = Field(description="Indicator samples, per bin.")


@dataclass(frozen=True, kw_only=True)
class JudgedBy(Settings):
    """How the samples were judged, and on what."""

    epochs: Annotated[Count, Field(description="Recorded epochs per draw.")]
    draws: Annotated[Count, Field(description="Draws.")]


class ClassFlags(Record):
    """The flagged samples of one class."""

    label: str = Field(description="The class.")
    samples: Count = Field(description="Its samples.")
    judged: bool = Field(description="Whether it is large enough to be judged.")
    flagged: Count | None = Field(description="Flagged samples; null when not judged.")
    flagged_share: Share | None = Field(description="Their share.")
    low: Share | None = Field(description="Lower end of its 95% interval.")
    high: Share | None = Field(description="Upper end.")


class PairFlags(Record):
    """The flagged samples of one class that look like another."""

    label: str = Field(description="Class they are labeled as.")
    suggested_label: str = Field(description="Class they look like.")
    flagged: Count = Field(description="How many.")


class Warned(Record):
    """A named warning."""

    code: str = Field(pattern="^[a-z-]+$", description="A stable name for programs.")
    message: str = Field(description="A sentence for people.")


class Summary(Record):
    """`summary.json` of a run: counts, thresholds, noise rate, per class, per pair."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="Version of this form of file.")
    samples: Count = Field(description="Readable samples.")
    unreadable: Count = Field(description="Files that could not be read.")
    classes: Count = Field(description="Classes.")
    judged: Count = Field(description="Samples that were judged.")
    not_judged: Count = Field(
        description="Samples that were not: the only one of its class, or the networks are not trained enough; by the "
        "published threshold, of a class below 20 samples, or an indicator sample of every draw."
    )
    flagged: Count = Field(description="Flagged samples.")
    flagged_share: Share = Field(description="Their share of the judged ones.")
    silenced: Count = Field(
        default=0,
        description="How many more would be flagged if reviewers had not confirmed their labels in the ledger.",
    )
    conflicts: Count = Field(description="Samples whose image occurs with another label.")
    near_duplicates: Count | None = Field(
        default=None, description="Samples that are nearly the same as another one; null where no backbone looked."
    )
    near_conflicts: Count | None = Field(default=None, description="Those of them with a near copy of another label.")
    leaked: Count | None = Field(
        default=None,
        description="Samples nearly the same as one of the data given with `--against`; null where none were given.",
    )
    noise_rate: EstimatedOrUnknown = Field(
        description="Share of the labels that is wrong: the mean of wrong_probability."
    )
    flags: dict[Literal["precision", "recall"], Estimated] = Field(
        default_factory=dict,
        description="How good the flags are expected to be: `precision`, the share of the flagged samples that is "
        "mislabeled, and `recall`, the share of the mislabeled samples that is flagged; empty when nothing is flagged.",
    )
    cut: CutAt | None = Field(
        default=None, description="Where flags begin; null where the indicator samples' threshold decides."
    )
    thresholds: list[DrawThreshold] = Field(description="The threshold of each draw; none without margins.")
    repeat_deviation: float = Field(
        ge=0,
        description="Standard deviation of what another scan of the same data adds to a sample's distance to the "
        "threshold.",
    )
    histograms: list[Histogram] = Field(
        default_factory=list, description="AUMs of each draw, counted in 60 bins of equal width."
    )
    settings: JudgedBy = Field(description="How the samples were judged.")
    per_class: list[ClassFlags] = Field(description="Flagged samples per class, the highest share first.")
    per_pair: list[PairFlags] = Field(description="Flagged samples per pair of classes, the most frequent first.")
    warnings: list[Warned] = Field(description="What limits the verdict.")
    flagged_digest: str = Field(
        pattern="^[0-9a-f]{16}$", description="Short name of the flagged set, equal for equal sets."
    )


def digest_of_flagged(report: pa.Table) -> str:
    """A short name for the flagged set: equal for equal sets of files and labels, wherever they are.

    Args:
        report: one row per sample, with path, label and flagged.
    """
    text = pa.large_string()
    lines = [pa.nulls(0, text)]
    for block in report.select(["path", "label", "flagged"]).to_batches(max_chunksize=BLOCK):
        flagged = block.filter(block["flagged"])  # nulls are left out, too
        n = len(flagged)
        # an array of tabs, for a scalar of Arrow would load pandas
        tabs = pa.LargeStringArray.from_buffers(n, pa.py_buffer(np.arange(n + 1)), pa.py_buffer(b"\t" * n))
        lines.append(pc.binary_join_element_wise(flagged["path"].cast(text), flagged["label"].cast(text), tabs))
    whole = pa.concat_arrays(lines)
    ordered, digest = pc.array_sort_indices(whole), hashlib.sha256()  # by code points, as bytes of UTF-8 have it
    for here in blocks(len(whole)):
        digest.update("\n".join(["", *whole.take(ordered[here]).to_pylist()][not here.start :]).encode())
    return digest.hexdigest()[:16]


class FalseAlarms(Record):
    """Right labels that are flagged among new images."""

    expected: Annotated[float, Field(ge=0)] = Field(description="How many among the flagged images.")
    expected_at_most: Annotated[float, Field(ge=0)] = Field(description="How many at most.")


class ScoreSummary(Record):
    """`summary.json` of the scores of new images: counts, and how far to trust them."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="Version of this form of file.")
    samples: Count = Field(description="Readable new images.")
    known: Count = Field(description="Images of DATA that the run knows and that were passed over.")
    unreadable: Count = Field(description="New files that could not be read.")
    judged: Count = Field(description="Images that were judged.")
    not_judged: Count = Field(
        description="Images that were not: of a class that the run does not have, or by networks not trained enough."
    )
    flagged: Count = Field(description="Flagged images.")
    flagged_share: Share = Field(description="Their share of the judged ones.")
    conflicts: Count = Field(description="Images that occur with another label.")
    noise_rate: EstimatedOrUnknown = Field(description="Share of the judged labels that is wrong.")
    flags: dict[Literal["precision", "recall"], Estimated] = Field(
        default_factory=dict,
        description="How good the flags are expected to be, as in a run; empty when none are.",
    )
    cut: CutAt = Field(description="Where flags begin: that of the scan.")
    false_alarms: FalseAlarms = Field(description="Right labels that are flagged.")
    repeat_deviation: Literal[0] = Field(
        default=0, description="0: networks that are not trained again give the same scores again."
    )
