"""For cleaning: on which band each sample of a finished scan rests, joined to its report."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import open_scanned
from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.frequency.accuracy import BnEval, band_logits, networks_of
from aumclean.diagnostics.frequency.bands import Disc, Edge
from aumclean.diagnostics.frequency.presets import RADII_AT_32
from aumclean.diagnostics.frequency.record import ClassBands, HighOnly
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.store import Store, opened
from aumclean.diagnostics.write import write
from aumclean.errors import RunError, printable
from aumclean.files import parquet
from aumclean.margins import margins
from aumclean.margins.log import read_block
from aumclean.progress import Track, by_default, part_of
from aumclean.reports.write import write_reports
from aumclean.run.directory import Run
from aumclean.training.device import Device, describe, has_fast_bf16, make_accelerator
from aumclean.training.network import Network
from aumclean.verdict.judge import Verdict, judge
from aumclean.verdict.noise import wilson

SCHEMA_VERSION = 1

RELIANCE = ("both", "low", "high", "neither")
RIGHT_ENOUGH = 20  # samples of a class that are right as they are, below which nothing is said of it
MOST = 0.5  # of a class's samples that are right as they are: right on the high band alone
STANDS_OUT = 2.0  # times the share of all other classes, ...
AT_LEAST = 0.25  # ... and no less than this; textures alone carry up to a fifth of a class
LISTED = 1000
MOST_CLASSES = 20  # of the figure


@dataclass(frozen=True)
class Bands:
    """Margins of every sample's own label, float32 [n], mean over the draws that judge it.

    Attributes:
        original: of the image as it is.
        low: of its low-pass image.
        high: of its high-pass image, on the mean colour of the data.
    """

    original: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def reliance(self) -> np.ndarray:
        """Which band alone carries the label, object [n] of `RELIANCE`: a margin above 0 does."""
        low, high = self.low > 0, self.high > 0
        return np.select([low & high, low, high], RELIANCE[:3], RELIANCE[3]).astype(object)


def join(
    run: Run,
    *,
    radius: float | None = None,
    edge: Edge = "inside",
    bn_eval: BnEval = "running",
    device: Device = "auto",
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Judge every sample of a finished scan on its low-pass and its high-pass image, with the networks the scan keeps.

    Writes `frequency.parquet` and the folder `frequency/` into the run, and its reports anew with the columns
    `margin_original`, `margin_low`, `margin_high` and `reliance`. No flag changes.

    Args:
        run: a finished scan whose data are still there.
        radius: where to cut, in bins; by default the paper's 8 in proportion to the images' size.
        edge: whether frequencies at exactly the radius are in the low band.
        bn_eval: with which statistics batch normalisation judges.
        device: where to compute.
        track: for a progress display.

    Raises:
        RunError: when the run is not finished, keeps no network that sees pixels, or its data have changed since.
        ConfigError: for a radius outside the spectrum.
    """
    run.require_finished()
    networks = networks_of(run)
    dataset = open_scanned(run, track=track).dataset()
    size = dataset.images.shape[1]
    disc = Disc(max(1.0, float(round(RADII_AT_32[1] * size / 32))) if radius is None else radius, "bins", edge)
    disc.check(size, size)
    accelerator = make_accelerator(device)
    asked = {"kind": "frequency join", "data": run.read().data.fingerprint, **asdict(disc), "bn_eval": bn_eval}
    with run.lock(), opened(run.frequency.with_suffix(""), "", asked, overwrite=True) as store:
        bands = judge_bands(run, networks, dataset, disc, bn_eval, accelerator.device, track)
        parquet.save(run.frequency, _table(bands, asked))
        verdict = judge(run)
        report = _report(verdict, bands, dataset, disc)
        report.settings.update({**asdict(disc), "bn_eval": bn_eval, "device": describe(accelerator.device)})
        write(store, report)
        write_reports(run, verdict)
    return report, store


def judge_bands(
    run: Run,
    networks: Sequence[Network],
    dataset: Dataset,
    disc: Disc,
    bn_eval: BnEval,
    device: torch.device,
    track: Track,
) -> Bands:
    """The margins of all samples; a draw's network does not judge its own indicator samples.

    Raises:
        RunError: when a sample was an indicator sample of every draw.
    """
    n = len(dataset)
    total, judging = np.zeros((3, n)), np.zeros(n)
    for draw, network in enumerate(networks):
        mean, std = network.about.mean, network.about.std
        shown = part_of(track, f"draw {draw + 1}/{len(networks)}", draw * n, len(networks) * n)
        logits = band_logits(
            network.on(device), dataset.images, [disc], mean, std, device=device, bn_eval=bn_eval,
            bf16=has_fast_bf16(device), high_offset=mean, track=shown,
        )  # fmt: skip
        _, _, is_indicator = read_block(run.margins, draw, range(1), 0, n)
        for band, values in enumerate(logits.values()):
            margin, _ = margins(values[:, : len(dataset.class_names)], dataset.labels)
            total[band] += np.where(is_indicator, 0, margin)
        judging += ~is_indicator
    if not judging.all():
        raise RunError(f"{run.path}: sample {int(judging.argmin())} is an indicator sample of every draw; scan again")
    return Bands(*(total / judging).astype(np.float32))


def _table(bands: Bands, asked: dict[str, Any]) -> pa.Table:
    about = {"aumclean": json.dumps({"schema_version": SCHEMA_VERSION, **asked})}
    return pa.table(
        {
            "sample_id": pa.array(np.arange(len(bands.low), dtype=np.int32)),
            "margin_original": bands.original,
            "margin_low": bands.low,
            "margin_high": bands.high,
            "reliance": pa.array(bands.reliance(), pa.string()),
        }
    ).replace_schema_metadata(about)


def class_rows(dataset: Dataset, bands: Bands, flagged: np.ndarray) -> list[ClassBands]:
    """One row per class: how its samples divide among the bands; the class that rests most on the high band first.

    Args:
        dataset: labels and class names.
        bands: margins of its samples.
        flagged: bool [n].
    """
    reliance, right = bands.reliance(), bands.original > 0
    stands_out = _stands_out(dataset.labels[right], reliance[right] == "high", len(dataset.class_names))
    rows = []
    for label, name in enumerate(dataset.class_names):
        here = dataset.labels == label
        known = here & right
        shares = {
            f"right_{kind}": float((reliance[known] == kind).mean()) if known.any() else None for kind in RELIANCE
        }
        rows.append(
            ClassBands(
                label=name,
                samples=int(here.sum()),
                right=float(right[here].mean()) if here.any() else None,
                **shares,
                median_margin_low=float(np.median(bands.low[here])) if here.any() else None,
                median_margin_high=float(np.median(bands.high[here])) if here.any() else None,
                flagged=int((here & flagged).sum()),
                flagged_high_only=int((here & flagged & (reliance == "high")).sum()),
                hint=bool(known.sum() >= RIGHT_ENOUGH and stands_out[label]),
            )
        )
    return sorted(rows, key=lambda row: -(row.right_high or 0))


def _stands_out(labels: np.ndarray, high: np.ndarray, n_classes: int) -> np.ndarray:
    """Whether most of a class rests on the high band alone, or surely twice as much as of all others: bool [classes].

    Args:
        labels: int [k], of the samples that are right as they are.
        high: bool [k], whether the high band alone is right.
        n_classes: number of classes.
    """
    count, hits = np.bincount(labels, minlength=n_classes), np.bincount(labels[high], minlength=n_classes)
    others = (hits.sum() - hits) / np.maximum(count.sum() - count, 1)
    at_least, _ = wilson(hits, count)
    found: np.ndarray = (hits >= MOST * np.maximum(count, 1)) | (at_least >= np.maximum(STANDS_OUT * others, AT_LEAST))
    return found


def high_only(verdict: Verdict, bands: Bands) -> list[HighOnly]:
    """Samples whose label the high band carries and the low band contradicts, the most contradicted first."""
    rows = verdict.report.select(["sample_id", "path", "label", "flagged", "aum", "label_score"]).to_pylist()
    of = {row["sample_id"]: row for row in rows}
    chosen = np.flatnonzero(bands.reliance() == "high")
    chosen = chosen[np.argsort(bands.low[chosen], kind="stable")]
    return [
        HighOnly(**of[sample], margin_low=float(bands.low[sample]), margin_high=float(bands.high[sample]))
        for sample in chosen[:LISTED].tolist()
    ]


def _named(hints: list[str]) -> str:
    names = ", ".join(map(printable, hints))
    return f"Class {names} is" if len(hints) == 1 else f"The classes {names} are"


def _report(verdict: Verdict, bands: Bands, dataset: Dataset, disc: Disc) -> Report:
    n, reliance = len(dataset), bands.reliance()
    flagged = np.zeros(n, bool)
    flagged[verdict.report["sample_id"].to_numpy()] = verdict.report["flagged"].fill_null(False).to_numpy()
    classes, listed = class_rows(dataset, bands, flagged), high_only(verdict, bands)
    hints = [row.label for row in classes if row.hint]
    counts = {kind: int((reliance == kind).sum()) for kind in RELIANCE}
    suspects = int((flagged & (reliance == "high")).sum())
    said = [
        f"Of {n:,} labels {counts['both']:,} are carried by both bands, {counts['low']:,} by the low band alone, "
        f"{counts['high']:,} by the high band alone, {counts['neither']:,} by neither.",
        (
            f"{_named(hints)} learned from high frequencies alone, for the most part or far more than others. That "
            "can be a mark of the camera, the compression or the source of the images rather than of what they "
            "show: look at some of each."
            if hints
            else "No class stands out by resting on high frequencies alone."
        ),
        f"{suspects:,} flagged samples are supported by the high band only; high_only.csv lists these and the others "
        "whose label the low band contradicts.",
        "The networks learned the samples that they judge here, and never saw filtered images: compare classes and "
        "samples with each other, and do not read a single margin as a verdict. No flag was changed.",
    ]
    note = f"The first {LISTED:,}." if len(listed) == LISTED else ""
    return Report(
        title=f"{verdict.run.read().data.name}: which band carries each label",
        lead=f"{n:,} samples of {verdict.run.path}, judged on both bands at a radius of {disc.radius:g} bins.",
        said=said,
        tables=[
            Table("classes", "Classes", classes),
            Table("high_only", "Labels that the high band alone carries", listed, note=note, kind=HighOnly),
        ],
        figures=[_figure(classes)],
        facts={"reliance": counts, "hints": hints, "flagged_high_only": suspects},
    )


def _figure(classes: list[ClassBands]) -> Figure:
    shown = classes[:MOST_CLASSES]
    places = list(range(len(shown)))
    lines = [Line(kind, places, [getattr(row, f"right_{kind}") for row in shown], points=True) for kind in RELIANCE]
    ticks = [printable(row.label) for row in shown]
    caption = "Of the samples that are right as they are, which band alone is right; the first classes of the table."
    panel = Panel("Samples right as they are", "", "share", lines, ticks=ticks)
    return Figure("classes", "Classes by the band that carries them", caption, [panel])
