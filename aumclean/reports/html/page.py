"""What the page shows, gathered from a verdict and its run; no markup."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from aumclean.dataset.pictures import pictures_of
from aumclean.errors import DataError, printable
from aumclean.margins.log import read_curves
from aumclean.reports.html import charts
from aumclean.run.record import ScanRecord
from aumclean.run.tables import read_unreadable
from aumclean.verdict.evidence import is_frozen
from aumclean.verdict.judge import Verdict
from aumclean.verdict.summary import Estimated
from aumclean.verdict.typical import typical

THUMBNAIL = 112  # pixels; a thousand of them stay under 10 MB
LEAST_SIDE = 96  # pixels that a tiny picture is enlarged to at least, and four times at most, as in review
WORST = 12
PAIRS = 6  # shown with pictures
OF_PAIR = 6  # suspects of a pair, and half as many typical images of either class
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
class Picture:
    """A small JPEG in base64; `side` is how large a tiny one is shown, in pixels, None for others."""

    base64: str
    side: int | None


Pictures = dict[int, Picture | None]
"""By sample id; None where the file is gone or changed."""


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
    """A row of the gallery; `row` is the sample's row of the report."""

    row: dict[str, Any]
    picture: Picture | None
    curves: list[Curve | None]
    states: list[str]


@dataclass(frozen=True)
class Group:
    """Samples with the same image and different labels."""

    picture: Picture | None
    members: list[dict[str, Any]]
    more: int


@dataclass(frozen=True)
class Pair:
    """Suspects of one class that look like another, with typical images of both; `suspects` has rows of the report."""

    label: str
    suggested_label: str
    flagged: int
    suspects: list[dict[str, Any]]
    of_label: list[int]
    of_suggested: list[int]

    @property
    def sample_ids(self) -> list[int]:
        """Whose pictures are wanted."""
        return [*(row["sample_id"] for row in self.suspects), *self.of_label, *self.of_suggested]


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


def suspects(verdict: Verdict, pictures: Pictures, top: int) -> list[Suspect]:
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


def _states(row: dict[str, Any], drawn: Sequence[Curve | None], pictures: Pictures, *, decided: bool) -> Iterator[str]:
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
            suspect.states,
            printable(suspect.row["path"]),
        ]
        for suspect in suspects
    ]
    return {"names": [printable(name) for name in class_names], "rows": rows}


def flagged(verdict: Verdict) -> pa.Table:
    """The flagged rows of the report, most suspect first."""
    return verdict.report.filter(pc.fill_null(verdict.report["flagged"], False))


def sentence(verdict: Verdict) -> str:
    """What a person wants to know first."""
    summary = verdict.summary
    if not summary.judged:
        return f"None of {summary.samples:,} labels could be judged."
    of = f"of {summary.judged:,} labels" if not summary.not_judged else f"of {summary.judged:,} judged labels"
    if not summary.flagged:
        return f"None {of} looks wrong."
    looks = f"{summary.flagged:,} {of} {'looks' if summary.flagged == 1 else 'look'} wrong"
    if not summary.flags:
        return f"{looks}."
    expected = round(summary.flagged * summary.flags["precision"].estimate)
    return f"{looks}; expected: {expected:,} of them {'is' if expected == 1 else 'are'}."


def pairs(verdict: Verdict) -> list[Pair]:
    """The most frequent confusions, the worst suspects of each, and what both classes usually look like."""
    best, rows = typical(verdict.report, OF_PAIR // 2), flagged(verdict)
    found = []
    for pair in verdict.summary.per_pair[:PAIRS]:
        of_pair = pc.and_(pc.equal(rows["label"], pair.label), pc.equal(rows["suggested_label"], pair.suggested_label))
        worst = rows.filter(pc.fill_null(of_pair, False)).slice(0, OF_PAIR).to_pylist()
        given, like = best.get(pair.label, []), best.get(pair.suggested_label, [])
        found.append(Pair(pair.label, pair.suggested_label, pair.flagged, worst, given, like))
    return found


def repeated(verdict: Verdict) -> list[str]:
    """What is known of images that occur more than once, in sentences."""
    report = verdict.report
    copies = len(report) - report["duplicate_of"].null_count
    said = [f"{copies:,} images are copies of another, byte for byte." if copies else "No image occurs twice."]
    if "near_group" in report.column_names:
        near = len(report) - report["near_group"].null_count
        shown = f"{near:,} images nearly repeat another; in review they are a group of their own."
        said.append(shown if near else "No image nearly repeats another.")
    record = verdict.run.read()
    if "leaked_from" in report.column_names and isinstance(record, ScanRecord) and record.config.against:
        leaked = len(report) - report["leaked_from"].null_count
        said.append(f"{leaked:,} images are in another split too." if leaked else "No image is in another split too.")
    return said


def thumbnails(verdict: Verdict, sample_ids: Sequence[int]) -> Pictures:
    """A small picture of each sample; of data without images none."""
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
    return dict(zip(unique.tolist(), map(_picture, made), strict=True))


def _picture(jpeg: bytes | None) -> Picture | None:
    if jpeg is None:
        return None
    with Image.open(io.BytesIO(jpeg)) as image:
        longest = max(image.size)
    enlarged = min(THUMBNAIL, max(LEAST_SIDE, 4 * longest))
    return Picture(base64.b64encode(jpeg).decode(), enlarged if 2 * longest <= enlarged else None)


def conflicts(verdict: Verdict) -> tuple[list[list[dict[str, Any]]], int]:
    """Groups of samples with the same image and different labels, the largest first; and how many are left out."""
    groups = defaultdict(list)
    columns = ["sample_id", "path", "label", "flagged", "content_hash"]
    for row in verdict.report.select(columns).filter(verdict.report["conflict"]).to_pylist():
        groups[row["content_hash"]].append(row)
    ordered = sorted(groups.values(), key=lambda members: (-len(members), members[0]["sample_id"]))
    return ordered[:MOST_GROUPS], max(0, len(ordered) - MOST_GROUPS)


def groups(found: list[list[dict[str, Any]]], pictures: Pictures) -> list[Group]:
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
        f"{about.threshold:.2f} in draw {about.draw + 1} (95% interval {about.low:.2f} to {about.high:.2f})"
        for about in summary.thresholds
        if about.threshold is not None and about.low is not None and about.high is not None
    ).replace("-", "\N{MINUS SIGN}")
    indicators = f"{summary.thresholds[0].indicator_samples:,} indicator samples" if thresholds else ""
    by_others = not thresholds or is_frozen(verdict.run.read())  # not by what networks of the scan learned
    if settings.threshold == "estimate" and summary.cut is not None and by_others:
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
            f"draw it rests on {indicators}, images whose label was made wrong on purpose; {settings.percentile:g}% "
            "of those lie at or below it."
        ]
    if flags := summary.flags:
        said.append(
            f"About {_with_interval(flags['precision'])} of the suspects should be mislabeled, and about "
            f"{_with_interval(flags['recall'])} of all mislabeled images should be among them. Mistakes between "
            "classes that look alike are the harder ones, so more of them are missed."
        )
    if summary.flagged and thresholds:
        said.append(f"{100 * _agreed(verdict):.0f}% of the suspects are flagged by every draw that could judge them.")
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
    share, low, high = (f"{100 * part:.0f}%" for part in (one.estimate, one.low, one.high))
    return f"{share} (95% interval {low} to {high})"


def _agreed(verdict: Verdict) -> float:
    rows = flagged(verdict)
    votes = [rows[f"flagged_draw_{about.draw}"] for about in verdict.summary.thresholds]
    agreed = np.logical_and.reduce([pc.fill_null(vote, True).to_numpy() for vote in votes])
    return float(agreed.mean())
