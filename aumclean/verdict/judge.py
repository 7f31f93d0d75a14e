"""Judge a finished run: margin log in, one table and a summary out. No training, no images."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aumclean.errors import ConfigError, RunError
from aumclean.run import Run
from aumclean.verdict import noise, warnings
from aumclean.verdict.aum import Areas, areas
from aumclean.verdict.combine import Combine, Combined, combine_draws, label_score
from aumclean.verdict.duplicates import duplicates
from aumclean.verdict.histogram import histogram
from aumclean.verdict.horizon import recorded_warnings
from aumclean.verdict.threshold import Rule, below_threshold, bootstrap_quantiles, indicator_threshold, interval

SCHEMA_VERSION = 1
FOR_THE_ANNOTATOR = ("decision", "new_label", "reviewer", "note")


@dataclass(frozen=True)
class Settings:
    """How to judge: everything that can change without training again."""

    percentile: float
    combine: Combine
    first_epoch: int
    rule: Rule = "percentile"


def settings_of(run: Run, **changed: Any) -> Settings:
    """How a run was asked to be judged, with the given (not None) settings changed.

    Raises:
        ConfigError: for a setting out of range.
    """
    record = run.read()
    settings = Settings(**{**record["judge"], **{name: value for name, value in changed.items() if value is not None}})
    if not 0 < settings.percentile < 100:
        raise ConfigError(f"--percentile: {settings.percentile:g} is not between 0 and 100")
    epochs = record["recipe"]["epochs"]
    if not 0 <= settings.first_epoch < epochs:
        raise ConfigError(f"--first-epoch: {settings.first_epoch} is not among the recorded epochs, 0 to {epochs - 1}")
    return settings


@dataclass(frozen=True)
class Verdict:
    """One row per sample (`report`, ascending label_score), the content of `summary.json`, how and of what run."""

    report: pa.Table
    summary: dict[str, Any]
    settings: Settings
    run: Run


@dataclass(frozen=True)
class _Judged:
    """Arrays of length n from which the table and the summary are made."""

    samples: pa.Table
    labels: np.ndarray
    class_names: tuple[str, ...]
    area: Areas
    thresholds: np.ndarray  # [draws]
    combined: Combined
    judged: np.ndarray  # False: its class is too small, or every draw had it as an indicator sample
    conflict: np.ndarray
    first_of_content: np.ndarray
    confirmed: pa.Table  # the samples whose labels a reviewer confirmed before the scan

    @property
    def suspect(self) -> np.ndarray:
        return np.asarray(self.combined.flagged & self.judged)

    @property
    def flagged(self) -> np.ndarray:
        flagged = self.suspect
        flagged[self.confirmed["sample_id"].to_numpy()] = False
        return flagged


def judge(run: Run, settings: Settings | None = None) -> Verdict:
    """Judge all samples of a run whose draws are done.

    Args:
        run: the run.
        settings: how to judge; by default as the run was asked to, see `settings_of`.

    Raises:
        RunError: when the margin log has a gap.
    """
    record = run.read()
    settings = settings or settings_of(run)
    class_names = tuple(record["data"]["class_names"])
    samples = _read_samples(run)
    labels = pc.index_in(samples["label"], pa.array(class_names)).to_numpy()

    epochs = range(settings.first_epoch, record["recipe"]["epochs"])
    area = areas(run.margins, len(samples), len(class_names), record["draws"], epochs)
    thresholds = np.array(
        [
            indicator_threshold(aum[indicator], settings.percentile, settings.rule)
            for aum, indicator in zip(area.aum, area.is_indicator, strict=True)
        ]
    )
    large_enough = np.bincount(labels, minlength=len(class_names)) >= warnings.FEW_SAMPLES
    first, conflict = duplicates(samples["content_hash"].to_numpy(), labels)
    judged = _Judged(
        samples=samples,
        labels=labels,
        class_names=class_names,
        area=area,
        thresholds=thresholds,
        combined=combine_draws(area.aum, area.is_indicator, thresholds, settings.combine, settings.rule),
        judged=large_enough[labels] & ~area.is_indicator.all(0),
        conflict=conflict,
        first_of_content=first,
        confirmed=_read_confirmed(run),
    )
    return Verdict(_report(judged, settings), _summary(judged, settings, record), settings, run)


def _read_samples(run: Run) -> pa.Table:
    try:
        return pq.read_table(run.samples).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{run.samples}: cannot be read ({' '.join(str(error).split())}); scan anew") from None


def _read_confirmed(run: Run) -> pa.Table:
    if run.silenced.is_file():
        return pq.read_table(run.silenced)
    return pa.table({name: pa.array([], kind) for name, kind in (("sample_id", pa.int32()), ("reviewer", pa.string()))})


def _report(judged: _Judged, settings: Settings) -> pa.Table:
    """One row per sample; what was not judged has no flag and no score, and comes last."""
    samples, area, n = judged.samples, judged.area, len(judged.samples)
    paths = samples["path"].combine_chunks()
    not_suggested, not_judged = area.suggested < 0, ~judged.judged
    score = label_score(judged.combined.distance)
    judging_draws = (~area.is_indicator).sum(0)

    def mean_over_draws(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(area.is_indicator, 0, values).sum(0) / np.maximum(judging_draws, 1))

    columns: dict[str, Any] = {
        "sample_id": samples["sample_id"],
        "path": paths,
        "label": samples["label"],
        "suggested_label": pa.array(judged.class_names).take(pa.array(area.suggested, mask=not_suggested)),
        "suggested_confidence": pa.array(area.suggested_share, mask=not_suggested),
        "flagged": pa.array(judged.flagged, mask=not_judged),
        "aum": pa.array(mean_over_draws(area.aum)),
        "threshold": pa.array(mean_over_draws(judged.thresholds[:, None])),
        "label_score": pa.array(score, mask=not_judged),
    }
    for draw, aum in enumerate(area.aum):
        columns[f"aum_draw_{draw}"] = pa.array(aum, mask=area.is_indicator[draw])
    for draw, aum in enumerate(area.aum):
        vote = below_threshold(aum, judged.thresholds[draw], settings.rule)
        columns[f"flagged_draw_{draw}"] = pa.array(vote, mask=area.is_indicator[draw] | not_judged)
    columns |= {
        "n_epochs": pa.array(np.full(n, area.epochs, np.int32)),
        "n_draws": pa.array(judging_draws.astype(np.int32)),
        "content_hash": samples["content_hash"],
        "duplicate_of": paths.take(pa.array(judged.first_of_content, mask=judged.first_of_content == np.arange(n))),
        "conflict": pa.array(judged.conflict),
    }
    columns |= _for_the_annotator(judged.confirmed, n)
    order = np.lexsort((np.arange(n), score, not_judged))
    ranked = pa.table(columns).take(pa.array(order))
    rank = pa.array(np.arange(1, n + 1, dtype=np.int32))
    about = {"aumclean": json.dumps({"schema_version": SCHEMA_VERSION})}
    return ranked.add_column(0, "rank", rank).replace_schema_metadata(about)


def _for_the_annotator(confirmed: pa.Table, n: int) -> dict[str, pa.Array]:
    """The last columns, empty but for the samples whose labels were confirmed before."""
    columns = {name: np.full(n, None, object) for name in FOR_THE_ANNOTATOR}
    ids = confirmed["sample_id"].to_numpy()
    columns["decision"][ids] = "keep"
    columns["reviewer"][ids] = confirmed["reviewer"].to_pylist()
    columns["note"][ids] = "confirmed before this scan"
    return {name: pa.array(values, pa.string()) for name, values in columns.items()}


def _summary(judged: _Judged, settings: Settings, record: dict[str, Any]) -> dict[str, Any]:
    area, flagged, labels, names = judged.area, judged.flagged, judged.labels, judged.class_names
    rng = np.random.default_rng(record["config"]["seed"])
    thresholds = []
    for draw, threshold in enumerate(judged.thresholds):
        indicator_aum = area.aum[draw][area.is_indicator[draw]]
        low, high = interval(bootstrap_quantiles(indicator_aum, settings.percentile / 100, rng))
        thresholds.append(
            {
                "draw": draw,
                "threshold": float(threshold),
                "low": low,
                "high": high,
                "indicator_samples": len(indicator_aum),
            }
        )
    share = float(flagged.sum() / max(judged.judged.sum(), 1))
    said = [
        *warnings.label_warnings(labels, names),
        *warnings.indicator_warnings(int(area.is_indicator[0].sum())),
        *warnings.flag_warnings(share),
        *recorded_warnings(record, len(labels)),
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "samples": len(labels),
        "unreadable": record["data"]["unreadable"],
        "classes": len(names),
        "judged": int(judged.judged.sum()),
        "not_judged": int((~judged.judged).sum()),
        "flagged": int(flagged.sum()),
        "flagged_share": share,
        "silenced": int((judged.suspect & ~flagged).sum()),
        "conflicts": int(judged.conflict.sum()),
        "noise_rate": noise.noise_rate(area.aum, area.is_indicator, rng),
        "thresholds": thresholds,
        "repeat_deviation": judged.combined.repeat_deviation,
        "histograms": [
            histogram(aum, indicator, threshold)
            for aum, indicator, threshold in zip(area.aum, area.is_indicator, judged.thresholds, strict=True)
        ],
        "settings": {**asdict(settings), "epochs": record["recipe"]["epochs"], "draws": record["draws"]},
        "per_class": noise.per_class(labels, flagged, judged.judged, names),
        "per_pair": noise.per_pair(labels, area.suggested, flagged, names),
        "warnings": [asdict(warning) for warning in said],
        "flagged_digest": _digest(judged.samples.filter(pa.array(flagged))),
    }


def _digest(flagged: pa.Table) -> str:
    """A short name for the flagged set: equal for equal sets of files and labels, wherever they lie."""
    lines = sorted(f"{row['path']}\t{row['label']}" for row in flagged.select(["path", "label"]).to_pylist())
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]
