"""Judge images that came after a scan with the networks it keeps: seconds instead of a training."""

import json
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean import __version__
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import Opened, content_hashes, open_samples
from aumclean.dataset.samples import Decoding, Samples
from aumclean.features.neighbours import scaled
from aumclean.files import atomic, csv, parquet
from aumclean.files.records import read_record
from aumclean.margins import margins
from aumclean.margins.held_out import log_softmax
from aumclean.progress import Track, untracked
from aumclean.run.directory import Run, new_run
from aumclean.run.record import ScoresRecord
from aumclean.run.tables import read_samples
from aumclean.scanning.features import discriminant_of, looked_at
from aumclean.scanning.kept_networks import read_networks
from aumclean.training.device import Device, make_accelerator
from aumclean.verdict.combine import label_score
from aumclean.verdict.cut import Cut, find_cut
from aumclean.verdict.estimate import Estimate
from aumclean.verdict.evidence import Ensemble, ensemble_of, is_frozen, read_evidence
from aumclean.verdict.posterior import Posterior, posterior_of
from aumclean.verdict.summary import (
    SCHEMA_VERSION,
    CutAt,
    Estimated,
    EstimatedOrUnknown,
    FalseAlarms,
    ScoreSummary,
    Summary,
)
from aumclean.verdict.table import FOR_THE_ANNOTATOR


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

    An image is new when the run has none of the same content with the same label; there may be no such image. That its
    label is wrong is as probable as the scan's own likelihood makes it (`aumclean.verdict.label_noise`): no network was
    taught it. It is flagged above the cut of the scan. Images of a class that the run does not have are not judged,
    nor are any by networks that are not trained enough.

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
    run.read_scan()
    run.require_finished()
    networks = read_networks(run)
    about = networks[0].about
    accelerator = make_accelerator(device)
    scanned = read_samples(run, "path", "label", "content_hash")
    content = content_hashes(samples)
    keys = list(zip(content, samples.label_names().to_pylist(), strict=True))
    known = set(zip(scanned["content_hash"].to_pylist(), scanned["label"].to_pylist(), strict=True))
    is_new = np.array([key not in known for key in keys], bool)
    added = samples.take(np.flatnonzero(is_new))
    added = replace(added, decoding=_as_scanned(run, added.decoding))
    new = open_samples(added, run.read_scan().image_size, cached=False, one_class=True, track=track)

    judge = _judge_of(run, scanned, tuple(about.class_names))
    looked = looked_at(new, run, accelerator, track)
    inputs = looked.images if looked is not None and is_frozen(run.read()) else new.images
    logits = np.stack([network.logits(inputs, accelerator.device) for network in networks])
    report, found = _report(new, logits, None if looked is None else _by_features(run, looked), judge)
    others = scanned if is_new.all() else _rest(samples, content, ~is_new)
    report = _with_copies(report, others)
    summary = _summary(report, found, judge.cut, int((~is_new).sum()), len(new.unreadable))
    made = new_run(out, f"{samples.name}-scores", overwrite=overwrite)
    with made.lock():
        _write(made, run, new, report, summary)
    return Scores(made, report, summary)


def _as_scanned(run: Run, asked: Decoding) -> Decoding:
    """New images are as bright as the scanned ones were."""
    return asked if asked.values is not None else replace(asked, values=run.read().data.value_range)


@dataclass(frozen=True)
class _Judge:
    """What new images are judged by: the scan's likelihoods and cut, and whether its networks know anything."""

    ensemble: Ensemble
    cut: Cut
    trained: bool
    class_names: tuple[str, ...]
    frozen: bool


def _judge_of(run: Run, scanned: pa.Table, class_names: tuple[str, ...]) -> _Judge:
    labels = pc.index_in(scanned["label"], pa.array(class_names)).to_numpy()
    summary = read_record(run.summary, Summary)
    evidence = read_evidence(run, labels, len(class_names), run.read().draws)
    given, trained = summary.cut, summary.noise_rate.estimate is not None
    cut = find_cut(np.empty(0)) if given is None else Cut(given.probability, given.log_odds, given.why)
    return _Judge(ensemble_of(evidence, labels, len(class_names)), cut, trained, class_names, is_frozen(run.read()))


def _by_features(run: Run, looked: Dataset) -> np.ndarray:
    """Log-probabilities of the classes by the features of new images, float32 [n, classes]."""
    discriminant, mean, std = discriminant_of(run)
    return discriminant.log_probs(scaled(looked, mean, std))


def _report(
    new: Opened, logits: np.ndarray, by_features: np.ndarray | None, judge: _Judge
) -> tuple[pa.Table, Posterior]:
    """One row per readable new image, and what is known of them, in their own order.

    Args:
        new: the images.
        logits: float32 [draws, n, classes].
        by_features: log-probabilities, float32 [n, classes], where the run has features.
        judge: of the run.
    """
    names = new.samples.label_names()
    position = {name: index for index, name in enumerate(judge.class_names)}
    labels = np.array([position.get(name, -1) for name in names.to_pylist()], np.int64)
    unjudged = (labels < 0) | (not judge.trained)
    label, n = np.maximum(labels, 0), len(labels)
    said = log_softmax(logits)

    def voices(network: np.ndarray) -> list[np.ndarray]:
        """In the order of the scan's witnesses; heads on features are none beside the discriminant."""
        return [one for one in (None if judge.frozen else network, by_features) if one is not None]

    log_odds = np.where(unjudged, np.nan, judge.ensemble.log_odds(voices(said.mean(0)), label))
    distance = judge.cut.log_odds - log_odds
    suggested, confidence = judge.ensemble.suggested(voices(said.mean(0)), label)
    found = posterior_of(log_odds)
    columns: dict[str, Any] = {
        "sample_id": pa.array(np.arange(n, dtype=np.int32)),
        "path": new.samples.paths,
        "label": names,
        "suggested_label": pa.array(judge.class_names).take(pa.array(suggested)),
        "suggested_confidence": pa.array(confidence),
        "flagged": pa.array(distance < 0, mask=unjudged),
        "label_score": pa.array(label_score(distance), mask=unjudged),
        "wrong_probability": pa.array(found.wrong_probability, mask=unjudged),
    }
    for draw, of_draw in enumerate(said):
        margin, _ = margins(logits[draw], label)
        vote = judge.ensemble.log_odds(voices(of_draw), label) > judge.cut.log_odds
        columns[f"margin_draw_{draw}"] = pa.array(margin.astype(np.float64), mask=labels < 0)
        columns[f"flagged_draw_{draw}"] = pa.array(vote, mask=unjudged)
    columns["content_hash"] = new.content_hash().cast(pa.string())
    order = np.lexsort((np.arange(n), distance, unjudged))
    ranked = pa.table(columns).take(pa.array(order))
    return ranked.add_column(0, "rank", pa.array(np.arange(1, n + 1, dtype=np.int32))), found


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


def _summary(report: pa.Table, found: Posterior, cut: Cut, known: int, unreadable: int) -> ScoreSummary:
    judged, is_flagged = ~np.isnan(found.log_odds), found.log_odds > cut.log_odds
    count, flagged = int(judged.sum()), int(is_flagged.sum())
    precision = found.share(is_flagged)
    flags = {"recall": found.recall(is_flagged), "precision": precision} if flagged else {}
    rate = found.share(judged)._asdict() if count else dict.fromkeys(Estimate._fields)
    return ScoreSummary(
        samples=len(report),
        known=known,
        unreadable=unreadable,
        judged=count,
        not_judged=len(report) - count,
        flagged=flagged,
        flagged_share=flagged / max(count, 1),
        conflicts=sum(report["conflict"].to_pylist()),
        noise_rate=EstimatedOrUnknown(**rate),
        flags={name: Estimated(**one._asdict()) for name, one in flags.items()},  # type: ignore[misc]
        cut=CutAt(**asdict(cut)),
        false_alarms=FalseAlarms(
            expected=(1 - precision.estimate) * flagged, expected_at_most=(1 - precision.low) * flagged
        ),
    )


def _write(made: Run, run: Run, new: Opened, report: pa.Table, summary: ScoreSummary) -> None:
    new.write(made)
    parquet.save(made.report("parquet"), report)
    csv.save(made.report("csv"), report)
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
