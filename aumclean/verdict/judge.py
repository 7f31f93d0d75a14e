"""Judge a finished run: margin log in, one table and a summary out. No training, no images."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import ConfigError, RunError
from aumclean.files import mapped, parquet
from aumclean.files.records import read_record
from aumclean.run.directory import Run
from aumclean.run.features import FeaturesRecord
from aumclean.run.record import RunRecord, Settings
from aumclean.run.tables import read_column, texts_of
from aumclean.verdict import warnings
from aumclean.verdict.aum import Areas
from aumclean.verdict.combine import Combined, combine_draws, standing
from aumclean.verdict.cut import Cut, find_cut
from aumclean.verdict.duplicates import duplicates
from aumclean.verdict.evidence import read_evidence, weigh
from aumclean.verdict.judged import Judged
from aumclean.verdict.neighbours import Near, read_near
from aumclean.verdict.posterior import Posterior
from aumclean.verdict.summarise import summary_of
from aumclean.verdict.summary import Summary
from aumclean.verdict.table import report_of
from aumclean.verdict.threshold import indicator_threshold

INDICATOR_SETTINGS = {"percentile", "combine"}
TARGETS = {"target_precision", "target_recall"}

CONFIRMED = pa.schema([pa.field("sample_id", pa.int32(), nullable=False), ("reviewer", pa.string())])
BANDS = pa.schema(
    [
        ("sample_id", pa.int32()),
        ("margin_original", pa.float32()),
        ("margin_low", pa.float32()),
        ("margin_high", pa.float32()),
        ("reliance", pa.string()),
    ]
)


def settings_of(run: Run, **changed: Any) -> Settings:
    """How a run was asked to be judged, with the given (not None) settings changed.

    A percentile or a rule of combination says how to cut at the indicator samples: giving one asks for that threshold.

    Raises:
        ConfigError: for a setting out of range.
    """
    record = run.read()
    given = {name: value for name, value in changed.items() if value is not None}
    if given.keys() & INDICATOR_SETTINGS:
        given.setdefault("threshold", "indicator")
    if given.keys() & TARGETS:
        given = {**dict.fromkeys(TARGETS), "threshold": "estimate", **given}
    settings = Settings(**{**asdict(record.judge), **given})
    require_targets(settings.threshold, settings.target_precision, settings.target_recall)
    if settings.threshold == "indicator" and not record.draws:
        raise ConfigError("--threshold indicator: this run has no margins, so no threshold of indicator samples either")
    if not 0 < settings.percentile < 100:
        raise ConfigError(f"--percentile: {settings.percentile:g} is not between 0 and 100")
    epochs = min(record.averaged_epochs, default=1)
    if not 0 <= settings.first_epoch < epochs and not run.awaits_network():
        raise ConfigError(
            f"--first-epoch: {settings.first_epoch} is not among the epochs that AUM is read from, 0 to {epochs - 1}"
        )
    return settings


def require_targets(threshold: str, precision: float | None, recall: float | None) -> None:
    """Refuse targets that contradict each other, or the rule.

    Raises:
        ConfigError: with the option to leave out.
    """
    if precision is not None and recall is not None:
        raise ConfigError("--target-recall: a cut can reach one target; leave out --target-precision, or this")
    for name, target in (("precision", precision), ("recall", recall)):
        if target is not None and threshold == "indicator":
            raise ConfigError(f"--target-{name}: moves the cut of --threshold estimate; the published one has none")
        if target is not None and not 0 < target < 1:
            raise ConfigError(f"--target-{name}: {target:g} is not between 0 and 1")


@dataclass(frozen=True)
class Verdict:
    """One row per sample (`report`, ascending label_score), the content of `summary.json`, how and of what run."""

    report: pa.Table
    summary: Summary
    settings: Settings
    run: Run


def judge(run: Run, settings: Settings | None = None) -> Verdict:
    """Judge all samples of a run whose draws are done; while they are not, by what a backbone says.

    Args:
        run: the run.
        settings: how to judge; by default as the run was asked to, see `settings_of`.

    Raises:
        RunError: when the margin log has a gap.
    """
    record = run.read()
    settings = settings or settings_of(run)
    class_names = tuple(record.data.class_names)
    known = pa.array(class_names, pa.string())
    labels = np.concatenate([pc.index_in(some, known).to_numpy() for some in read_column(run, "label")])

    draws = 0 if run.awaits_network() else record.draws
    epochs = [range(settings.first_epoch, stop) for stop in record.averaged_epochs[:draws]]
    evidence = read_evidence(run, labels, len(class_names), draws)
    area, posterior = weigh(evidence, run, labels, len(class_names), epochs, record.epochs_done)
    del evidence  # of millions of samples as large as what is made of it
    thresholds = np.array(
        [
            indicator_threshold(aum[indicator], settings.percentile, settings.rule) if indicator.any() else np.nan
            for aum, indicator in zip(area.aum, area.is_indicator & (area.seen > 0), strict=True)
        ]
    )
    judged, cut, combined = _decide(labels, area, posterior, thresholds, settings)
    content_hash = texts_of(run, "content_hash")
    first, conflict = duplicates(content_hash, labels)
    found = Judged(
        run=run,
        path=texts_of(run, "path"),
        content_hash=content_hash,
        labels=labels,
        class_names=class_names,
        area=area,
        thresholds=thresholds,
        combined=combined,
        judged=judged,
        conflict=conflict,
        first_of_content=first,
        bands=_read_bands(run, len(labels)) if run.frequency.is_file() else None,
        confirmed=_read_confirmed(run),
        posterior=posterior,
        cut=cut,
        near=_read_near(run, record, len(labels)),
    )
    report = report_of(found, settings)
    return Verdict(report, summary_of(found, settings, record, report), settings, run)


def _read_near(run: Run, record: RunRecord, n: int) -> Near | None:
    """Where a backbone looked; nobody measured how near others' features, or pixels, of copies are."""
    if not run.features.is_file() or read_record(run.features, FeaturesRecord).image_size is None:
        return None
    near = read_near(run.neighbours, n)
    return near if record.compared else replace(near, leaked_from=None)


def _decide(
    labels: np.ndarray, area: Areas, posterior: Posterior, thresholds: np.ndarray, settings: Settings
) -> tuple[np.ndarray, Cut, Combined]:
    """Which samples are judged at all (bool [n]), the cut, and how far each is from it, by the rule asked for."""
    of_class = np.bincount(labels)
    if settings.threshold == "estimate":
        judged = (of_class > 1)[labels] & ~np.isnan(posterior.log_odds) & posterior.trained
        cut = find_cut(mapped.taken(posterior.log_odds, judged), settings.target_precision, settings.target_recall)
        distance = mapped.empty(labels.shape, np.float64)
        if posterior.by:
            np.subtract(cut.log_odds, posterior.log_odds, out=distance)
        else:
            distance[:] = standing(area.aum, area.judges)
        return judged, cut, Combined(distance < 0, distance, posterior.repeat_deviation)
    judged = (of_class >= warnings.FEW_SAMPLES)[labels] & area.judges.any(0)
    combined = combine_draws(area.aum, ~area.judges, thresholds, settings.combine, settings.rule)
    return judged, find_cut(posterior.log_odds), combined


def _read_bands(run: Run, n: int) -> pa.Table:
    remedy = "repeat aumclean frequency join, or delete it"
    bands = parquet.read(run.frequency, BANDS, remedy=remedy)
    if not np.array_equal(bands["sample_id"].to_numpy(), np.arange(n)):
        raise RunError(f"{run.frequency}: is not of the samples of this run; {remedy}")
    return bands


def _read_confirmed(run: Run) -> pa.Table:
    if run.silenced.is_file():
        return parquet.read(run.silenced, CONFIRMED)
    return CONFIRMED.empty_table()
