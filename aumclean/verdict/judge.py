"""Judge a finished run: margin log in, one table and a summary out. No training, no images."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.special

from aumclean import chance
from aumclean.errors import ConfigError, RunError
from aumclean.files import parquet
from aumclean.margins.log import ROW_GROUP
from aumclean.run.directory import Run
from aumclean.run.record import JudgedRecord, RunRecord, Settings
from aumclean.run.tables import read_samples
from aumclean.verdict import noise, warnings
from aumclean.verdict.aum import Areas
from aumclean.verdict.combine import Combined, combine_draws, label_score, standing
from aumclean.verdict.cut import Cut, find_cut
from aumclean.verdict.duplicates import duplicates
from aumclean.verdict.estimate import Estimate
from aumclean.verdict.evidence import FEATURES, NETWORK, read_evidence, weigh
from aumclean.verdict.histogram import histogram
from aumclean.verdict.horizon import recorded_warnings
from aumclean.verdict.neighbours import Near, near_conflicts, outlier, read_near
from aumclean.verdict.posterior import Posterior
from aumclean.verdict.summary import SCHEMA_VERSION, Summary
from aumclean.verdict.threshold import below_threshold, bootstrap_quantiles, indicator_threshold, interval

INDICATOR_SETTINGS = {"percentile", "combine"}
TARGETS = {"target_precision", "target_recall"}

FOR_THE_ANNOTATOR = ("decision", "new_label", "reviewer", "note")
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


@dataclass(frozen=True)
class _Judged:
    """Arrays of length n from which the table and the summary are made."""

    run: Run
    labels: np.ndarray
    class_names: tuple[str, ...]
    area: Areas
    thresholds: np.ndarray  # [draws]
    combined: Combined
    judged: np.ndarray  # False: too little is known of it
    conflict: np.ndarray
    first_of_content: np.ndarray
    bands: pa.Table | None  # margins on low-pass and high-pass images, where somebody asked for them
    confirmed: pa.Table  # the samples whose labels a reviewer confirmed before the scan
    posterior: Posterior
    cut: Cut
    near: Near | None  # near-duplicates and nearest others, where a backbone looked

    @property
    def suspect(self) -> np.ndarray:
        return np.asarray(self.combined.flagged & self.judged)

    @property
    def flagged(self) -> np.ndarray:
        flagged = self.suspect
        flagged[self.confirmed["sample_id"].to_numpy()] = False
        return flagged


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
    labels = pc.index_in(_read_samples(run, "label"), pa.array(class_names)).to_numpy()

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
    first, conflict = duplicates(_read_samples(run, "content_hash"), labels)
    found = _Judged(
        run=run,
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
        near=read_near(run.neighbours, len(labels)) if run.neighbours.is_file() else None,
    )
    report = _report(found, settings)
    return Verdict(report, _summary(found, settings, record, report), settings, run)


def _decide(
    labels: np.ndarray, area: Areas, posterior: Posterior, thresholds: np.ndarray, settings: Settings
) -> tuple[np.ndarray, Cut, Combined]:
    """Which samples are judged at all (bool [n]), the cut, and how far each is from it, by the rule asked for."""
    of_class = np.bincount(labels)[labels]
    if settings.threshold == "estimate":
        judged = (of_class > 1) & ~np.isnan(posterior.log_odds) & posterior.trained
        cut = find_cut(posterior.log_odds[judged], settings.target_precision, settings.target_recall)
        distance = cut.log_odds - posterior.log_odds if posterior.by else standing(area.aum, area.judges)
        return judged, cut, Combined(distance < 0, distance, posterior.repeat_deviation)
    judged = (of_class >= warnings.FEW_SAMPLES) & area.judges.any(0)
    combined = combine_draws(area.aum, ~area.judges, thresholds, settings.combine, settings.rule)
    return judged, find_cut(posterior.log_odds), combined


def _generator(record: RunRecord) -> np.random.Generator:
    return chance.generator(record.seed, "bootstrap")


def _read_samples(run: Run, column: str) -> pa.ChunkedArray:
    """One column of the samples; all of them together, of millions of samples, are as large as the report."""
    return read_samples(run, column)[column]


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


def _report(judged: _Judged, settings: Settings) -> pa.Table:
    """One row per sample; what was not judged has no flag and no score, and comes last."""
    area, n = judged.area, len(judged.labels)
    not_suggested, not_judged = area.suggested < 0, ~judged.judged
    score = label_score(judged.combined.distance)
    not_ranked = not_judged if judged.posterior.by else np.isnan(score)
    judging_draws = area.judges.sum(0)
    order = np.lexsort((np.arange(n), score, not_judged))
    texts = {name: _in_order(_read_samples(judged.run, name), order) for name in ("content_hash", "path", "label")}

    def ranked(values: np.ndarray, mask: np.ndarray | None = None) -> pa.Array:
        return pa.array(values[order], mask=None if mask is None else mask[order])

    def mean_over_draws(values: np.ndarray) -> pa.Array:
        mean = np.where(area.judges, values, 0).sum(0) / np.maximum(judging_draws, 1)
        return ranked(mean, mask=(judging_draws == 0) | np.isnan(mean))

    columns: dict[str, Any] = {
        "rank": pa.array(np.arange(1, n + 1, dtype=np.int32)),
        "sample_id": ranked(np.arange(n, dtype=np.int32)),
        "path": texts["path"],
        "label": texts["label"],
        "suggested_label": pa.array(judged.class_names).take(ranked(area.suggested, mask=not_suggested)),
        "suggested_confidence": ranked(area.suggested_share, mask=not_suggested),
        "flagged": ranked(judged.flagged, mask=not_judged),
        "aum": mean_over_draws(area.aum),
        "threshold": mean_over_draws(judged.thresholds[:, None]),
        "label_score": ranked(score, mask=not_ranked),
    }
    for draw, aum in enumerate(area.aum):
        columns[f"aum_draw_{draw}"] = ranked(aum, mask=~area.judges[draw])
    for draw, aum in enumerate(area.aum):
        vote = below_threshold(aum, judged.thresholds[draw], settings.rule)
        unknown = ~area.judges[draw] | not_judged | np.isnan(judged.thresholds[draw])
        columns[f"flagged_draw_{draw}"] = ranked(vote, mask=unknown)
    columns |= {
        "n_epochs": ranked(_epochs_seen(area)),
        "n_draws": ranked(judging_draws.astype(np.int32)),
        **_probabilities(judged, ranked),
        "content_hash": texts["content_hash"],
        "duplicate_of": _paths_of(judged.run, judged.first_of_content[order], order),
        "conflict": ranked(judged.conflict),
        **_near_columns(judged, order),
        "reason": _reasons(judged, settings)[order],
    }
    columns["reason"] = pa.array(columns["reason"], pa.string())
    if judged.bands is not None:
        of = [name for name in judged.bands.column_names if name != "sample_id"]
        columns |= {name: judged.bands[name].take(pa.array(order)) for name in of}
    columns |= _for_the_annotator(judged.confirmed, order)
    about = {"aumclean": json.dumps({"schema_version": SCHEMA_VERSION})}
    return pa.table(columns).replace_schema_metadata(about)


def _near_columns(judged: _Judged, order: np.ndarray) -> dict[str, pa.Array]:
    """What the features say beside labels; nothing where no backbone looked."""
    near = judged.near
    if near is None:
        return {}
    first = near.group[order].astype(np.int64)
    group = _read_samples(judged.run, "path").combine_chunks().take(pa.array(first))
    alone = np.bincount(near.group, minlength=len(order))[first] == 1
    return {
        "near_group": pc.if_else(pa.array(alone), pa.scalar(None, pa.string()), group),
        "near_conflict": pa.array(near_conflicts(near, judged.labels)[order]),
        "leaked_from": near.leaked_from.take(pa.array(order)),
        "outlier": pa.array(outlier(near)[order]),
    }


def _epochs_seen(area: Areas) -> np.ndarray:
    """Over how many epochs each sample was averaged in the draw that has the fewest, int32 [n]."""
    seen = np.where(area.judges, area.seen, area.epochs).min(0, initial=area.epochs)
    return np.where(area.judges.any(0), seen, 0).astype(np.int32)


def _probabilities(judged: _Judged, ranked: Callable[..., pa.Array]) -> dict[str, pa.Array]:
    """That the label is wrong: by all evidence, and by each witness that was not taught it; null where unknown."""
    by, unknown_to = judged.posterior.by, np.full(len(judged.labels), np.nan)
    known = {"wrong_probability": judged.posterior.log_odds, "wrong_by_network": by.get(NETWORK, unknown_to)}
    if FEATURES in by:
        known["wrong_by_features"] = by[FEATURES]
    unknown = not judged.posterior.trained
    return {
        name: ranked(scipy.special.expit(log_odds), mask=np.isnan(log_odds) | unknown)
        for name, log_odds in known.items()
    }


def _reasons(judged: _Judged, settings: Settings) -> np.ndarray:
    """Why each flagged sample is, with the rule that decided and the numbers: object [n], str or None."""
    reasons, flagged = np.full(len(judged.labels), None, object), np.flatnonzero(judged.flagged)
    if settings.threshold == "estimate":
        cut = f"flagged above {judged.cut.probability:.2f} ({judged.cut.why})"
        odds = judged.posterior.log_odds[flagged]
        reasons[flagged] = [f"label wrong with probability {p:.3f}; {cut}" for p in scipy.special.expit(odds).tolist()]
        return reasons
    area, draws = judged.area, {"all": "every draw", "any": "a draw", "mean": "the mean of the draws"}
    count = np.maximum(area.judges.sum(0), 1)
    aum, threshold = (
        (np.where(area.judges, values, 0).sum(0) / count)[flagged] for values in (area.aum, judged.thresholds[:, None])
    )
    rule = f"the indicator samples' {settings.percentile:g}th percentile, in {draws[settings.combine]}"
    low = "below" if settings.rule == "asapp" else "at or below"
    reasons[flagged] = [
        f"AUM {one:.3f}, {low} the threshold {other:.3f}: {rule}"
        for one, other in zip(aum.tolist(), threshold.tolist(), strict=True)
    ]
    return reasons


def _in_order(texts: pa.ChunkedArray, order: np.ndarray) -> pa.ChunkedArray:
    """The texts at `order`, in chunks of a row group, none of which can pass the 2 GiB of Arrow's string arrays."""
    whole = texts.cast(pa.large_string()).combine_chunks()
    parts = [whole.take(pa.array(order[start : start + ROW_GROUP])) for start in range(0, len(order), ROW_GROUP)]
    return pa.chunked_array([part.cast(pa.string()) for part in parts], pa.string())


def _paths_of(run: Run, samples: np.ndarray, but: np.ndarray) -> pa.Array:
    """The path of each of the samples, null where it is the one of `but` at the same place."""
    others = samples != but
    paths = np.full(len(samples), None, object)
    paths[others] = _read_samples(run, "path").take(samples[others]).to_numpy()
    return pa.array(paths, pa.string())


def _for_the_annotator(confirmed: pa.Table, order: np.ndarray) -> dict[str, pa.Array]:
    """The last columns, empty but for the samples whose labels were confirmed before."""
    ids = confirmed["sample_id"].to_numpy()
    known = {"decision": "keep", "reviewer": confirmed["reviewer"].to_numpy(), "note": "confirmed before this scan"}
    columns = dict.fromkeys(FOR_THE_ANNOTATOR, pa.nulls(len(order), pa.string()))
    for name, values in known.items() if len(ids) else ():
        column = np.full(len(order), None, object)
        column[ids] = values
        columns[name] = pa.array(column[order], pa.string())
    return columns


def _summary(judged: _Judged, settings: Settings, record: RunRecord, report: pa.Table) -> Summary:
    area, flagged, labels, names = judged.area, judged.flagged, judged.labels, judged.class_names
    thresholds = _thresholds(judged, settings, record)
    share = float(flagged.sum() / max(judged.judged.sum(), 1))
    said = [
        *warnings.label_warnings(labels, names, published=settings.threshold == "indicator"),
        *_evidence_warnings(judged, record, settings.first_epoch),
        *warnings.flag_warnings(share),
        *recorded_warnings(record, len(labels)),
    ]
    found = {
        "samples": len(labels),
        "unreadable": record.data.unreadable,
        "classes": len(names),
        "judged": int(judged.judged.sum()),
        "not_judged": int((~judged.judged).sum()),
        "flagged": int(flagged.sum()),
        "flagged_share": share,
        "silenced": int((judged.suspect & ~flagged).sum()),
        "conflicts": int(judged.conflict.sum()),
        **_near_counts(judged),
        "noise_rate": _noise_rate(judged),
        "flags": {name: value._asdict() for name, value in _flags(judged).items()},
        "cut": asdict(judged.cut) if settings.threshold == "estimate" else None,
        "thresholds": thresholds,
        "repeat_deviation": judged.combined.repeat_deviation,
        "histograms": [
            histogram(aum[seen], indicator[seen], float(threshold))
            for aum, indicator, seen, threshold in zip(
                area.aum, area.is_indicator, area.seen > 0, judged.thresholds, strict=True
            )
        ],
        "settings": {**asdict(settings), "epochs": max(record.epochs_done, default=0), "draws": record.draws},
        "per_class": noise.per_class(labels, flagged, judged.judged, names),
        "per_pair": noise.per_pair(labels, area.suggested, flagged, names),
        "warnings": [asdict(warning) for warning in said],
        "flagged_digest": _digest(report.filter(pc.fill_null(report["flagged"], False))),
    }
    return Summary.model_validate(found)


def _thresholds(judged: _Judged, settings: Settings, record: RunRecord) -> list[dict[str, Any]]:
    """The threshold of every draw with its interval; nulls where a draw has no indicator samples."""
    area, rng = judged.area, _generator(record)
    found = []
    for draw, threshold in enumerate(judged.thresholds):
        indicator_aum = area.aum[draw][area.is_indicator[draw] & (area.seen[draw] > 0)]
        known: dict[str, float | None] = dict.fromkeys(("threshold", "low", "high"))
        if len(indicator_aum):
            low, high = interval(bootstrap_quantiles(indicator_aum, settings.percentile / 100, rng))
            known = {"threshold": float(threshold), "low": low, "high": high}
        found.append(
            {
                "draw": draw,
                **known,
                "indicator_samples": len(indicator_aum),
                "epochs": record.epochs_done[draw],
                "memorised": area.memorised[draw],
            }
        )
    return found


def _evidence_warnings(judged: _Judged, record: RunRecord, first_epoch: int) -> list[warnings.Caution]:
    """What to say of the evidence there is."""
    area, posterior = judged.area, judged.posterior
    said = []
    if area.is_indicator.any():
        said += warnings.indicator_warnings(int(area.is_indicator[0].sum()))
    said += warnings.trained_warnings(posterior.trained) if posterior.by else [warnings.nothing_held_out()]
    if isinstance(record, JudgedRecord):
        said += warnings.seen_warnings(area.seen, np.array(record.averaged_epochs) - first_epoch, record.repeated)
        said += warnings.in_sample_warnings([one.agreement for one in record.evidence])
    return said


def _near_counts(judged: _Judged) -> dict[str, int]:
    near = judged.near
    if near is None:
        return {}
    return {
        "near_duplicates": int((np.bincount(near.group)[near.group] > 1).sum()),
        "near_conflicts": int(near_conflicts(near, judged.labels).sum()),
        "leaked": len(near.leaked_from) - near.leaked_from.null_count,
    }


def _noise_rate(judged: _Judged) -> dict[str, float | None]:
    """The share of the labels that is wrong, with its interval; nulls where the networks know nothing."""
    posterior = judged.posterior
    if not posterior.trained:
        return dict.fromkeys(Estimate._fields)
    return dict(posterior.share(~np.isnan(posterior.log_odds))._asdict())


def _flags(judged: _Judged) -> dict[str, Estimate]:
    """Expected precision and recall of the flags; none when nothing is flagged, or nothing known."""
    known = judged.suspect & ~np.isnan(judged.posterior.log_odds)
    if not known.any() or not judged.posterior.trained:
        return {}
    return {"recall": judged.posterior.recall(judged.suspect), "precision": judged.posterior.share(known)}


def _digest(flagged: pa.Table) -> str:
    """A short name for the flagged set: equal for equal sets of files and labels, wherever they lie."""
    lines = pc.binary_join_element_wise(flagged["path"], flagged["label"], "\t").to_numpy()
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
