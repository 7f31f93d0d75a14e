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
from aumclean.verdict.judge import Verdict
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
    curves: list[Curve | None]
    states: list[str]


@dataclass(frozen=True)
class Group:
    """Samples with the same image and different labels: the first of them, rows of the report, and how many more."""

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
        Suspect(row, list(drawn), list(_states(row, drawn, pictures, decided=decided)))
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


def thumbnails(verdict: Verdict, sample_ids: Sequence[int]) -> Pictures:
    """A small picture of each sample; of data without images none."""
    if not verdict.run.read().data.pictures:
        return {}
    unique = np.unique(np.array(sample_ids, np.int64))
    try:
        made = list(pictures_of(verdict.run).thumbnails(unique, THUMBNAIL))
    except (OSError, DataError, IndexError, KeyError, pa.ArrowException):  # a file with images that is gone or another
        made = [None] * len(unique)
    return dict(zip(unique.tolist(), map(_picture, made), strict=True))


def _picture(jpeg: bytes | None) -> Picture | None:
    if jpeg is None:
        return None
    with Image.open(io.BytesIO(jpeg)) as image:
        longest = max(image.size)
    enlarged = min(THUMBNAIL, max(LEAST_SIDE, 4 * longest))
    return Picture(base64.b64encode(jpeg).decode(), enlarged if 2 * longest <= enlarged else None)


def conflicts(verdict: Verdict) -> tuple[list[Group], int]:
    """The largest groups of samples with the same image and different labels; and how many groups are left out."""
    groups = defaultdict(list)
    columns = ["sample_id", "path", "label", "flagged", "content_hash"]
    for row in verdict.report.select(columns).filter(verdict.report["conflict"]).to_pylist():
        groups[row["content_hash"]].append(row)
    ordered = sorted(groups.values(), key=lambda members: (-len(members), members[0]["sample_id"]))
    shown = [Group(members[:MOST_MEMBERS], max(0, len(members) - MOST_MEMBERS)) for members in ordered[:MOST_GROUPS]]
    return shown, len(ordered) - len(shown)


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
