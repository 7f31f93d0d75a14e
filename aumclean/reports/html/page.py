"""What the page shows, gathered from a verdict and its run; no markup."""

import base64
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.dataset.pictures import pictures_of
from aumclean.errors import DataError, printable
from aumclean.margins.log import read_curves
from aumclean.reports.html import charts
from aumclean.run.tables import read_unreadable
from aumclean.verdict.judge import Verdict
from aumclean.verdict.summary import Estimated

THUMBNAIL = 112  # pixels; a thousand of them stay under 10 MB
MOST_CLASSES = 24  # of the heat map
MOST_GROUPS = 100  # of identical images
MOST_MEMBERS = 12  # of one group
MOST_FILES = 500  # of the unreadable ones

STATES = {
    "all": "flagged by every draw",
    "some": "flagged by some draws only",
    "conflict": "same image under another label",
    "duplicate": "copy of another image",
    "gone": "file gone or changed since the scan",
    "keep": "decided: keep",
    "relabel": "decided: relabel",
    "remove": "decided: remove",
    "unsure": "decided: unsure",
    "contradictory": "reviewers disagree",
    "open": "not decided",
}


@dataclass(frozen=True)
class Curve:
    """The margins of a sample in one draw: the path, the threshold's height, and the numbers behind them.

    Where there are no indicator samples, the margin of zero stands in place of the threshold.
    """

    path: str
    threshold_height: int
    aum: float
    threshold: float
    flagged: bool


@dataclass(frozen=True)
class Suspect:
    """A row of the gallery; `row` is the sample's row of the report, `picture` a JPEG in base64 or None."""

    row: dict[str, Any]
    picture: str | None
    curves: list[Curve | None]
    states: list[str]


@dataclass(frozen=True)
class Group:
    """Samples with the same image and different labels."""

    picture: str | None
    members: list[dict[str, Any]]
    more: int


@dataclass(frozen=True)
class HeatMap:
    """Flagged samples by label and suggested label; `counts[i][j]` for `names[i]` that look like `names[j]`."""

    names: list[str]
    counts: list[list[int]]
    left_out: int

    @property
    def highest(self) -> int:
        """The largest count."""
        return max((max(row) for row in self.counts), default=0)


def suspects(verdict: Verdict, pictures: dict[int, str | None], top: int) -> list[Suspect]:
    """The `top` most suspect of the flagged samples."""
    rows = flagged(verdict).slice(0, top).to_pylist()
    ids = np.array([row["sample_id"] for row in rows], np.int64)
    per_draw = []
    for about in verdict.summary.thresholds:
        draw, threshold = about.draw, about.threshold or 0.0
        paths, height = charts.curves(read_curves(verdict.run.margins, draw, range(about.epochs), ids), threshold)
        per_draw.append(
            [
                None
                if row[f"aum_draw_{draw}"] is None
                else Curve(path, height, row[f"aum_draw_{draw}"], threshold, bool(row[f"flagged_draw_{draw}"]))
                for row, path in zip(rows, paths, strict=True)
            ]
        )
    decided = any(row["decision"] for row in rows)
    return [
        Suspect(row, pictures.get(row["sample_id"]), list(drawn), list(_states(row, drawn, pictures, decided=decided)))
        for row, *drawn in zip(rows, *per_draw, strict=True)
    ]


def _states(
    row: dict[str, Any], drawn: Sequence[Curve | None], pictures: dict[int, str | None], *, decided: bool
) -> Iterator[str]:
    if drawn:
        yield "all" if all(curve is None or curve.flagged for curve in drawn) else "some"
    if row["conflict"]:
        yield "conflict"
    if row["duplicate_of"] is not None:
        yield "duplicate"
    if row["sample_id"] in pictures and pictures[row["sample_id"]] is None:
        yield "gone"
    if decided:
        yield row["decision"] if row["decision"] in STATES else "open"


def index(suspects: Sequence[Suspect], class_names: Sequence[str]) -> dict[str, Any]:
    """What the page's script filters and sorts by: `names` of the classes, and per suspect a row of plain values."""
    place = {name: number for number, name in enumerate(class_names)}
    rows = [
        [
            suspect.row["sample_id"],
            place[suspect.row["label"]],
            place.get(suspect.row["suggested_label"]),
            suspect.row["suggested_confidence"] or 0,
            suspect.states,
            printable(suspect.row["path"]),
        ]
        for suspect in suspects
    ]
    return {"names": [printable(name) for name in class_names], "rows": rows}


def flagged(verdict: Verdict) -> pa.Table:
    """The flagged rows of the report, most suspect first."""
    return verdict.report.filter(pc.fill_null(verdict.report["flagged"], False))


def thumbnails(verdict: Verdict, sample_ids: Sequence[int]) -> dict[int, str | None]:
    """A small JPEG in base64 of each sample, None where its file is gone or changed; of data without images none."""
    if not verdict.run.read().data.pictures:
        return {}
    unique = np.unique(np.array(sample_ids, np.int64))
    try:
        made = list(pictures_of(verdict.run).thumbnails(unique, THUMBNAIL))
    except (
        OSError,
        DataError,
        IndexError,
        KeyError,
        pa.ArrowException,
    ):  # a Parquet file with images that is gone or another
        made = [None] * len(unique)
    texts = (None if picture is None else base64.b64encode(picture).decode() for picture in made)
    return dict(zip(unique.tolist(), texts, strict=True))


def conflicts(verdict: Verdict) -> tuple[list[list[dict[str, Any]]], int]:
    """Groups of samples with the same image and different labels, the largest first; and how many are left out."""
    groups = defaultdict(list)
    columns = ["sample_id", "path", "label", "flagged", "content_hash"]
    for row in verdict.report.filter(verdict.report["conflict"]).select(columns).to_pylist():
        groups[row["content_hash"]].append(row)
    ordered = sorted(groups.values(), key=lambda members: (-len(members), members[0]["sample_id"]))
    return ordered[:MOST_GROUPS], max(0, len(ordered) - MOST_GROUPS)


def groups(found: list[list[dict[str, Any]]], pictures: dict[int, str | None]) -> list[Group]:
    """Each group with its picture."""
    return [
        Group(pictures.get(members[0]["sample_id"]), members[:MOST_MEMBERS], max(0, len(members) - MOST_MEMBERS))
        for members in found
    ]


def heat_map(verdict: Verdict) -> HeatMap:
    """Counts of the classes with the most confusions, in the order of the alphabet."""
    pairs = verdict.summary.per_pair
    weight: dict[str, int] = defaultdict(int)
    for pair in pairs:
        weight[pair.label] += pair.flagged
        weight[pair.suggested_label] += pair.flagged
    chosen = sorted(weight, key=lambda name: (-weight[name], name))[:MOST_CLASSES]
    names = sorted(chosen)
    place = {name: index for index, name in enumerate(names)}
    counts = [[0] * len(names) for _ in names]
    for pair in pairs:
        if pair.label in place and pair.suggested_label in place:
            counts[place[pair.label]][place[pair.suggested_label]] = pair.flagged
    return HeatMap(names, counts, len(weight) - len(names))


def unreadable(verdict: Verdict) -> tuple[list[dict[str, str]], int]:
    """The first files that could not be read, and how many there are."""
    rows = [{"path": path, "reason": reason} for path, reason in read_unreadable(verdict.run)]
    return rows[:MOST_FILES], len(rows)


def trust(verdict: Verdict) -> list[str]:
    """What the figures rest on and where they end, as sentences."""
    summary, settings = verdict.summary, verdict.settings
    thresholds = ", ".join(
        f"{about.threshold:.2f} in draw {about.draw + 1} (95 % interval {about.low:.2f} to {about.high:.2f})"
        for about in summary.thresholds
        if about.threshold is not None and about.low is not None and about.high is not None
    ).replace("-", "\N{MINUS SIGN}")
    indicators = f"{summary.thresholds[0].indicator_samples:,} indicator samples" if thresholds else ""
    if settings.threshold == "estimate" and summary.cut is not None and not thresholds:
        said = [
            "Images are ranked by how probable it is that their label is wrong, and suspect above "
            f"{summary.cut.probability:.2f} ({summary.cut.why}). The probability rests on what was not taught their "
            "labels."
            if summary.noise_rate.estimate is not None
            else "Images are ranked by their area under the margin alone; nothing says where suspicion begins."
        ]
    elif settings.threshold == "estimate" and summary.cut is not None:
        said = [
            "Images are ranked by how probable it is that their label is wrong, and suspect above "
            f"{summary.cut.probability:.2f} ({summary.cut.why}). The probability rests on {indicators} per "
            "draw, whose own labels that draw's network was never taught: there it is fitted, and what margins mean is "
            "learned. The pictures below show the area under the margin, with the threshold "
            f"of the published method: {thresholds}."
        ]
    else:
        said = [
            f"An image is suspect when its area under the margin is at or below the threshold: {thresholds}. In each "
            f"draw it rests on {indicators}, images whose label was made wrong on purpose; {settings.percentile:g} % "
            "of those lie at or below it."
        ]
    if flags := summary.flags:
        said.append(
            f"About {_with_interval(flags['precision'])} of the suspects should be mislabeled, and about "
            f"{_with_interval(flags['recall'])} of all mislabeled images should be among them. Mistakes between "
            "classes that look alike are the harder ones, so more of them are missed."
        )
    if summary.flagged and thresholds:
        said.append(f"{100 * _agreed(verdict):.0f} % of the suspects are flagged by every draw that could judge them.")
    said.append(
        "Noise rate, precision and recall are sums of these probabilities. Their intervals hold the error of sampling "
        "and of the fit; images that the networks have not learned can count as noise too, and labels that are wrong "
        "on doubtful images only are hardly seen."
    )
    said.append(
        "A suspect is a question, not a proof: rare views and unusual pictures behave like wrong labels. Look before "
        "you remove."
    )
    if summary.not_judged:
        said.append(f"{summary.not_judged:,} images are not judged (see the classes below); they are not clean.")
    if summary.unreadable:
        said.append(f"{summary.unreadable:,} files could not be read and are in none of the figures.")
    return said


def _with_interval(one: Estimated) -> str:
    share, low, high = (f"{100 * part:.0f} %" for part in (one.estimate, one.low, one.high))
    return f"{share} (95 % interval {low} to {high})"


def _agreed(verdict: Verdict) -> float:
    rows = flagged(verdict)
    votes = [rows[f"flagged_draw_{about.draw}"] for about in verdict.summary.thresholds]
    agreed = np.logical_and.reduce([pc.fill_null(vote, True).to_numpy() for vote in votes])
    return float(agreed.mean())
