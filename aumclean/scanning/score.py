"""Judge images that came after a scan with the networks it keeps: seconds instead of a training."""

import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean import __version__, atomic, csv, parquet
from aumclean.dataset.open import Opened, content_hashes, open_samples
from aumclean.dataset.samples import Samples
from aumclean.margins import margins
from aumclean.progress import Track, untracked
from aumclean.run import Run, new_run
from aumclean.run_record import ScoresRecord
from aumclean.scanning.kept_networks import read_networks
from aumclean.training.device import Device, make_accelerator
from aumclean.verdict.calibration import Calibration, calibrate
from aumclean.verdict.combine import label_score
from aumclean.verdict.held_out import read_held_out
from aumclean.verdict.judge import FOR_THE_ANNOTATOR
from aumclean.verdict.noise import random_share
from aumclean.verdict.summary import SCHEMA_VERSION, FalseAlarms, NetworkCalibration, ScoreSummary


@dataclass(frozen=True)
class Scores:
    """New images, judged: one row per image (`report`, ascending label_score), the content of `summary.json`."""

    run: Run
    report: pa.Table
    summary: ScoreSummary


def score(
    run: Run,
    samples: Samples,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    device: Device = "auto",
    track: Track = untracked,
) -> Scores:
    """Judge the samples that the run does not know yet, and write a directory like a run's with the result.

    An image is new when the run has none of the same content with the same label; there may be no such image. How far
    its margin lies above the threshold of a draw, in units of the draw's deviation, is averaged over the draws; at or
    below zero it is flagged (`aumclean.verdict.calibration`). Images of a class that the run does not have are not
    judged.

    Args:
        run: a finished scan.
        samples: where new images are; the scanned ones may be among them.
        out: the directory to make, by default `runs/<name>-scores-<n>`.
        overwrite: whether to replace what an earlier call left there.
        device: where to compute.
        track: shows the progress.

    Raises:
        RunError: when the run is not finished, or its networks are missing.
        DataError: when images are new and none of them can be read.
    """
    run.require_finished()
    networks, record = read_networks(run), run.read()
    about, held = networks[0].about, [read_held_out(run.held_out(draw)) for draw in range(len(networks))]
    accelerator = make_accelerator(device)
    scanned = pq.read_table(run.samples, columns=["path", "label", "content_hash"])
    content = content_hashes(samples)
    keys = list(zip(content, samples.label_names().to_pylist(), strict=True))
    known = set(zip(scanned["content_hash"].to_pylist(), scanned["label"].to_pylist(), strict=True))
    is_new = np.array([key not in known for key in keys], bool)
    added = samples.take(np.flatnonzero(is_new))
    new = open_samples(added, about.image_size, cached=False, one_class=True, track=track)

    seed, noise_rate = record.config.seed, random_share(held)
    calibrations = [
        calibrate(of_draw, noise_rate, np.random.default_rng([seed, draw])) for draw, of_draw in enumerate(held)
    ]
    logits = np.stack([network.logits(new.images, accelerator.device) for network in networks])
    report = _report(new, logits, calibrations, about.class_names)
    others = scanned if is_new.all() else _rest(samples, content, ~is_new)
    report = _with_copies(report, others)
    summary = _summary(report, calibrations, int((~is_new).sum()), len(new.unreadable))
    made = new_run(out, f"{samples.name}-scores", overwrite=overwrite)
    with made.lock():
        _write(made, run, new, report, summary)
    return Scores(made, report, summary)


def _report(new: Opened, logits: np.ndarray, calibrations: list[Calibration], class_names: tuple[str, ...]) -> pa.Table:
    """One row per readable new image.

    Args:
        new: the images.
        logits: float32 [draws, n, classes].
        calibrations: one per draw.
        class_names: of the run.
    """
    names = new.samples.label_names()
    position = {name: index for index, name in enumerate(class_names)}
    labels = np.array([position.get(name, -1) for name in names.to_pylist()], np.int64)
    unjudged = labels < 0
    label = np.maximum(labels, 0)
    margin, _ = zip(*(margins(draw, label) for draw in logits), strict=True)
    thresholds, scales = (np.array([getattr(c, name) for c in calibrations]) for name in ("threshold", "scale"))
    distances = (np.stack(margin) - thresholds[:, None]) / scales[:, None]
    distance = distances.mean(0)
    probability = np.exp(logits - logits.max(2, keepdims=True))
    probability = (probability / probability.sum(2, keepdims=True)).mean(0)
    others = probability.copy()
    others[np.arange(len(label))[~unjudged], label[~unjudged]] = -1
    suggested = others.argmax(1)
    n = len(label)
    columns: dict[str, Any] = {
        "sample_id": pa.array(np.arange(n, dtype=np.int32)),
        "path": new.samples.paths,
        "label": names,
        "suggested_label": pa.array(class_names).take(pa.array(suggested)),
        "suggested_confidence": pa.array(probability[np.arange(n), suggested].astype(np.float64)),
        "flagged": pa.array(distance <= 0, mask=unjudged),
        "label_score": pa.array(label_score(distance), mask=unjudged),
    }
    for draw, values in enumerate(margin):
        columns[f"margin_draw_{draw}"] = pa.array(values.astype(np.float64), mask=unjudged)
        columns[f"flagged_draw_{draw}"] = pa.array(distances[draw] <= 0, mask=unjudged)
    columns["content_hash"] = new.files["content_hash"].combine_chunks()
    order = np.lexsort((np.arange(n), distance, unjudged))
    ranked = pa.table(columns).take(pa.array(order))
    return ranked.add_column(0, "rank", pa.array(np.arange(1, n + 1, dtype=np.int32)))


def _rest(samples: Samples, content: list[str | None], chosen: np.ndarray) -> pa.Table:
    rows = pa.array(chosen)
    return pa.table(
        {
            "path": samples.paths.filter(rows),
            "label": samples.label_names().filter(rows),
            "content_hash": pa.array(content, pa.string()).filter(rows),
        }
    )


def _with_copies(report: pa.Table, others: pa.Table) -> pa.Table:
    """The report with the columns duplicate_of and conflict, and those for the annotator.

    The other images are those of DATA that the run knows; where DATA holds new images alone, those of the run. So an
    image that was relabeled is not in conflict with what it was.
    """
    first: dict[str, str] = {}
    labels: dict[str, set[str]] = {}
    for table in (others, report.sort_by("sample_id")):
        for path, label, content in zip(
            *(table[name].to_pylist() for name in ("path", "label", "content_hash")), strict=True
        ):
            first.setdefault(content, path)
            labels.setdefault(content, set()).add(label)
    pairs = zip(report["path"].to_pylist(), report["content_hash"].to_pylist(), strict=True)
    duplicate_of = [None if first[content] == path else first[content] for path, content in pairs]
    conflict = [len(labels[content]) > 1 for content in report["content_hash"].to_pylist()]
    report = report.append_column("duplicate_of", pa.array(duplicate_of, pa.string()))
    report = report.append_column("conflict", pa.array(conflict, pa.bool_()))
    for name in FOR_THE_ANNOTATOR:
        report = report.append_column(name, pa.nulls(len(report), pa.string()))
    about = {"aumclean": json.dumps({"schema_version": SCHEMA_VERSION})}
    return report.replace_schema_metadata(about)


def _summary(report: pa.Table, calibrations: list[Calibration], known: int, unreadable: int) -> ScoreSummary:
    judged = len(report) - report["flagged"].null_count
    flagged = sum(value is True for value in report["flagged"].to_pylist())
    at_most, estimate, detected = (
        float(np.mean([getattr(calibration, name) for calibration in calibrations]))
        for name in ("false_alarms_at_most", "false_alarms", "detected")
    )
    return ScoreSummary(
        samples=len(report),
        known=known,
        unreadable=unreadable,
        judged=judged,
        not_judged=len(report) - judged,
        flagged=flagged,
        flagged_share=flagged / max(judged, 1),
        conflicts=sum(report["conflict"].to_pylist()),
        detected=detected,
        false_alarms=FalseAlarms(
            rate=estimate, rate_at_most=at_most, expected=estimate * judged, expected_at_most=at_most * judged
        ),
        draws=[NetworkCalibration(**asdict(calibration)) for calibration in calibrations],
    )


def _write(made: Run, run: Run, new: Opened, report: pa.Table, summary: ScoreSummary) -> None:
    new.write(made)
    atomic.write_bytes(made.report("parquet"), parquet.to_parquet(report))
    atomic.write_text(made.report("csv"), csv.to_csv(csv.guarded(report)))
    atomic.write_json(made.summary, summary.model_dump(mode="json"))
    made.write_scores(
        ScoresRecord(
            aumclean=__version__,
            argv=sys.argv,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            run=str(run.path.absolute()),
            data=new.place(),
        )
    )
