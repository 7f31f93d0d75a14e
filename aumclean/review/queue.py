"""What there is to review: samples in order, and what a reviewer wants to see beside each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean import chance
from aumclean.margins.log import read_curves
from aumclean.run.directory import Run
from aumclean.verdict.judge import Verdict, judge
from aumclean.verdict.neighbours import read_near
from aumclean.verdict.typical import typical

EXAMPLES = 6
NEAREST = 6
TWINS = "near_group"
NEAR_CONFLICT = "near_conflict"
OUTLIER = "outlier"
LEAK = "leaked_from"
WITNESSES = {"wrong_by_network": "the network", "wrong_by_features": "the features"}
"""Columns of the report that testify against a label each by its own lights, where a run has them."""


@dataclass(frozen=True)
class Queue:
    """Samples to review.

    Attributes:
        rows: one dictionary per position, with the columns of the report.
        blind: whether flagged and unflagged samples are mixed, and the page must not tell which is which.
        curves: per draw float32 [positions, epochs], the margins; none when blind.
        thresholds: per draw, the threshold; 0 where there are no indicator samples.
        first_epoch: the first epoch that counts.
        examples: for every class the sample ids that fit it best, the highest AUM first.
        copies: sample ids and labels of the other samples with the same file, by content hash, where there are any.
        flagged, unflagged: how many samples of the run are, of those that were judged.
        unseen: how many `samples` are outside, where nobody is going to look, and how many wrong labels are `expected`
            among them, from `low` to `high`; None when blind, or when the networks know nothing.
        nearest: per position sample ids and labels of the images that are most like it by features; [] without these.
    """

    rows: list[dict[str, Any]]
    blind: bool
    curves: list[np.ndarray]
    thresholds: list[float]
    first_epoch: int
    examples: dict[str, list[int]]
    copies: dict[str, list[tuple[int, str]]]
    flagged: int
    unflagged: int
    unseen: dict[str, float] | None
    nearest: list[list[tuple[int, str]]]

    def __len__(self) -> int:
        return len(self.rows)

    def kind(self, position: int) -> str:
        """Why a sample is in the queue: conflict, leak, suspect, twin or, where all are asked for, other."""
        row = self.rows[position]
        if (row["conflict"] or row.get(NEAR_CONFLICT)) and row["decision"] is None:
            return "conflict"
        if row.get(LEAK) is not None:
            return "leak"
        if row["flagged"]:
            return "suspect"
        return "twin" if row.get(TWINS) is not None else "other"

    def witnesses(self) -> dict[str, str]:
        """The columns of witnesses that this run has, with their names for people; none when blind."""
        there = self.rows[0] if self.rows and not self.blind else {}
        return {column: name for column, name in WITNESSES.items() if column in there}

    def columns(self, class_names: list[str]) -> dict[str, list[Any]]:
        """What a page lists, sorts and filters by: a list per column; of a blind queue only what gives nothing away."""
        place = {name: index for index, name in enumerate(class_names)}
        told = {
            "sample_id": [row["sample_id"] for row in self.rows],
            "label": [place[row["label"]] for row in self.rows],
            "suggested": [place.get(row["suggested_label"]) for row in self.rows],
            "path": [row["path"] for row in self.rows],
        }
        if self.blind:
            return told
        together = [_together(row) for row in self.rows]
        number = {name: index for index, name in enumerate(dict.fromkeys(together))}
        return {
            **told,
            "wrong": [_rounded(row["wrong_probability"]) for row in self.rows],
            "kind": [self.kind(position) for position in range(len(self.rows))],
            "together": [None if name is None else number[name] for name in together],
            **{
                column: [_rounded(row[column]) for row in self.rows]
                for column in (*self.witnesses(), *(name for name in (OUTLIER,) if self.rows and name in self.rows[0]))
            },
        }

    def curve(self, position: int) -> dict[str, Any] | None:
        """The margins of one sample over the epochs, in the draws that judged it; None where no draw did."""
        row = self.rows[position]
        draws = [
            {"draw": draw, "margin": [round(float(value), 3) for value in margins[position]], "threshold": threshold}
            for draw, (margins, threshold) in enumerate(zip(self.curves, self.thresholds, strict=True))
            if row[f"aum_draw_{draw}"] is not None
        ]
        return {"draws": draws, "first_epoch": self.first_epoch, "aum": row["aum"]} if draws else None


def suspects(run: Run, *, everything: bool = False) -> Queue:
    """What there is to decide, the most suspect first.

    That is the flagged samples, those whose file has another label elsewhere, and where the run knows them images that
    nearly repeat another or are in another split too.

    Args:
        run: a finished run.
        everything: all samples instead.
    """
    verdict = judge(run)
    report = verdict.report
    if not everything:
        wanted = pc.fill_null(report["flagged"], False)
        wanted = pc.or_(wanted, pc.and_(report["conflict"], pc.is_null(report["decision"])))
        for finding in {TWINS, LEAK} & set(report.column_names):
            wanted = pc.or_(wanted, pc.is_valid(report[finding]))
        report = report.filter(wanted)
    ids = report["sample_id"].to_numpy()
    draws = verdict.summary.thresholds
    curves = [read_curves(run.margins, draw.draw, range(draw.epochs), ids) for draw in draws]
    return _queue(verdict, report, blind=False, curves=curves, nearest=_nearest(verdict, ids))


def spot_check(run: Run, size: int) -> Queue:
    """Flagged and unflagged samples, half of each, drawn and mixed at random; the same ones whenever it is asked.

    Args:
        run: a finished run.
        size: how many samples in all; fewer where the run has fewer.
    """
    verdict = judge(run)
    report = verdict.report
    rng = chance.generator(run.read().seed, "spot check", size)
    flagged, unflagged = (
        np.sort(np.flatnonzero(pc.fill_null(pc.equal(report["flagged"], value), False).to_numpy()))
        for value in (True, False)
    )
    chosen = np.concatenate(
        [
            rng.choice(flagged, min(size // 2, len(flagged)), replace=False),
            rng.choice(unflagged, min(size - size // 2, len(unflagged)), replace=False),
        ]
    )
    return _queue(verdict, report.take(pa.array(rng.permutation(chosen))), blind=True, curves=[], nearest=[])


def _nearest(verdict: Verdict, ids: np.ndarray) -> list[list[tuple[int, str]]]:
    """The nearest others of each sample, where a backbone looked."""
    if not verdict.run.neighbours.is_file():
        return []
    near = read_near(verdict.run.neighbours, len(verdict.report)).sample[ids, :NEAREST]
    columns = (verdict.report[name].to_pylist() for name in ("sample_id", "label"))
    label = dict(zip(*columns, strict=True))
    return [[(sample, label[sample]) for sample in samples] for samples in near.tolist()]


def _queue(
    verdict: Verdict,
    report: pa.Table,
    *,
    blind: bool,
    curves: list[np.ndarray],
    nearest: list[list[tuple[int, str]]],
) -> Queue:
    judged = verdict.report["flagged"]
    return Queue(
        rows=report.to_pylist(),
        blind=blind,
        curves=curves,
        thresholds=[one.threshold or 0.0 for one in verdict.summary.thresholds],
        first_epoch=verdict.summary.settings.first_epoch,
        examples=typical(verdict.report, EXAMPLES),
        copies=_copies(verdict.report),
        flagged=pc.sum(judged).as_py() or 0,
        unflagged=pc.sum(pc.invert(judged)).as_py() or 0,
        unseen=None if blind else _unseen(verdict, report),
        nearest=nearest,
    )


def _unseen(verdict: Verdict, queue: pa.Table) -> dict[str, float] | None:
    """The wrong labels outside the queue; their interval is that of the noise rate, less what is in it."""
    noise, wrong = verdict.summary.noise_rate, verdict.report["wrong_probability"]
    if noise.low is None or noise.high is None:
        return None
    known, inside = len(wrong) - wrong.null_count, pc.sum(queue["wrong_probability"]).as_py() or 0.0
    expected = max(0.0, (pc.sum(wrong).as_py() or 0.0) - inside)
    low, high = (max(0.0, share * known - inside) for share in (noise.low, noise.high))
    interval = {"low": min(low, expected), "high": max(high, expected)}
    return {"samples": len(wrong) - len(queue), "expected": expected, **interval}


def _together(row: dict[str, Any]) -> str | None:
    """What the samples of one group of twins have in common."""
    if row.get(TWINS) is not None:
        return f"near {row[TWINS]}"
    return row["content_hash"] if row["conflict"] or row["duplicate_of"] is not None else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _copies(report: pa.Table) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for row in report.filter(report["conflict"]).select(["content_hash", "sample_id", "label"]).to_pylist():
        found.setdefault(row["content_hash"], []).append((row["sample_id"], row["label"]))
    return found
