"""The report: one row per sample, of what judging found."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.special

from aumclean.margins.log import ROW_GROUP
from aumclean.run.directory import Run
from aumclean.run.record import Settings
from aumclean.verdict.aum import Areas
from aumclean.verdict.combine import label_score
from aumclean.verdict.evidence import FEATURES, NETWORK
from aumclean.verdict.judged import Judged, column_of
from aumclean.verdict.neighbours import near_conflicts, outlier
from aumclean.verdict.summary import SCHEMA_VERSION
from aumclean.verdict.threshold import below_threshold

FOR_THE_ANNOTATOR = ("decision", "new_label", "reviewer", "note")


def report_of(judged: Judged, settings: Settings) -> pa.Table:
    """One row per sample; what was not judged has no flag and no score, and comes last."""
    area, n = judged.area, len(judged.labels)
    not_suggested, not_judged = area.suggested < 0, ~judged.judged
    score = label_score(judged.combined.distance)
    not_ranked = not_judged if judged.posterior.by else np.isnan(score)
    judging_draws = area.judges.sum(0)
    order = np.lexsort((np.arange(n), score, not_judged))
    texts = {name: _in_order(column_of(judged.run, name), order) for name in ("content_hash", "path", "label")}

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


def _near_columns(judged: Judged, order: np.ndarray) -> dict[str, pa.Array]:
    """What the features say beside labels; nothing where no backbone looked."""
    near = judged.near
    if near is None:
        return {}
    first = near.group[order].astype(np.int64)
    group = column_of(judged.run, "path").combine_chunks().take(pa.array(first))
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


def _probabilities(judged: Judged, ranked: Callable[..., pa.Array]) -> dict[str, pa.Array]:
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


def _reasons(judged: Judged, settings: Settings) -> np.ndarray:
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
    paths[others] = column_of(run, "path").take(samples[others]).to_numpy()
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
