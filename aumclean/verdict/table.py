"""The report: one row per sample, of what judging found."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.special

from aumclean.files import mapped
from aumclean.run.record import Settings
from aumclean.verdict.aum import Areas
from aumclean.verdict.combine import label_score
from aumclean.verdict.evidence import FEATURES, NETWORK
from aumclean.verdict.judged import Judged
from aumclean.verdict.neighbours import near_conflicts, outlier
from aumclean.verdict.summary import SCHEMA_VERSION
from aumclean.verdict.threshold import below_threshold

FOR_THE_ANNOTATOR = ("decision", "new_label", "reviewer", "note")


def report_of(judged: Judged, settings: Settings) -> pa.Table:
    """One row per sample; what was not judged has no flag and no score, and comes last."""
    n = len(judged.labels)
    score = label_score(judged.combined.distance)
    order = np.lexsort((score, ~judged.judged)).astype(np.int32)
    flagged, near = judged.flagged, _near_columns(judged)

    def rows(here: slice) -> pa.Table:
        samples = order[here]
        part = judged.at(samples)
        columns = _columns(part, settings, samples, flagged[samples], score[samples])
        columns = {"rank": pa.array(np.arange(here.start + 1, here.stop + 1, dtype=np.int32)), **columns}
        for name, values in near.items():
            columns[name] = values.take(pa.array(samples))
        columns["reason"] = pa.array(_reasons(part, settings, flagged[samples]), pa.string())
        if judged.bands is not None:
            of = [name for name in judged.bands.column_names if name != "sample_id"]
            columns |= {name: judged.bands[name].take(pa.array(samples)) for name in of}
        columns |= _for_the_annotator(judged.confirmed, samples)
        about = {"aumclean": json.dumps({"schema_version": SCHEMA_VERSION})}
        return pa.table(columns).replace_schema_metadata(about)

    return mapped.table(map(rows, mapped.blocks(n) if n else [slice(0, 0)]))


def _columns(
    part: Judged, settings: Settings, samples: np.ndarray, flagged: np.ndarray, score: np.ndarray
) -> dict[str, pa.Array]:
    """The columns that every report has, of some samples (int [k]) in the order of the report."""
    area, judging_draws = part.area, part.area.judges.sum(0)
    not_suggested, not_judged = area.suggested < 0, ~part.judged
    not_ranked = not_judged if part.posterior.by else np.isnan(score)
    names = pa.array(part.class_names, pa.string())

    def mean_over_draws(values: np.ndarray) -> pa.Array:
        mean = np.where(area.judges, values, 0).sum(0) / np.maximum(judging_draws, 1)
        return pa.array(mean, mask=(judging_draws == 0) | np.isnan(mean))

    columns: dict[str, Any] = {
        "sample_id": pa.array(samples),
        "path": _taken(part.path, samples),
        "label": names.take(pa.array(part.labels)),
        "suggested_label": names.take(pa.array(area.suggested, mask=not_suggested)),
        "suggested_confidence": pa.array(area.suggested_share, mask=not_suggested),
        "flagged": pa.array(flagged, mask=not_judged),
        "aum": mean_over_draws(area.aum),
        "threshold": mean_over_draws(part.thresholds[:, None]),
        "label_score": pa.array(score, mask=not_ranked),
    }
    for draw, aum in enumerate(area.aum):
        columns[f"aum_draw_{draw}"] = pa.array(aum, mask=~area.judges[draw])
    for draw, aum in enumerate(area.aum):
        vote = below_threshold(aum, part.thresholds[draw], settings.rule)
        unknown = ~area.judges[draw] | not_judged | np.isnan(part.thresholds[draw])
        columns[f"flagged_draw_{draw}"] = pa.array(vote, mask=unknown)
    first = part.first_of_content
    return columns | {
        "n_epochs": pa.array(_epochs_seen(area)),
        "n_draws": pa.array(judging_draws.astype(np.int32)),
        **_probabilities(part),
        "content_hash": _taken(part.content_hash, samples),
        "duplicate_of": _taken(part.path, first, mask=first == samples),
        "conflict": pa.array(part.conflict),
    }


def _taken(texts: pa.LargeStringArray, samples: np.ndarray, mask: np.ndarray | None = None) -> pa.Array:
    """The texts of some samples, null where the mask says."""
    return texts.take(pa.array(samples, mask=mask)).cast(pa.string())


def _near_columns(judged: Judged) -> dict[str, pa.Array]:
    """What the features say of all samples beside labels; nothing where no backbone looked."""
    near = judged.near
    if near is None:
        return {}
    alone = np.bincount(near.group, minlength=len(near.group))[near.group] == 1
    return {
        "near_group": _taken(judged.path, near.group.astype(np.int64), mask=alone),
        "near_conflict": pa.array(near_conflicts(near, judged.labels)),
        **({} if near.leaked_from is None else {"leaked_from": near.leaked_from}),
        "outlier": pa.array(outlier(near)),
    }


def _epochs_seen(area: Areas) -> np.ndarray:
    """Over how many epochs each sample was averaged in the draw that has the fewest, int32 [n]."""
    seen = np.where(area.judges, area.seen, area.epochs).min(0, initial=area.epochs)
    return np.where(area.judges.any(0), seen, 0).astype(np.int32)


def _probabilities(part: Judged) -> dict[str, pa.Array]:
    """That the label is wrong: by all evidence, and by each witness that was not taught it; null where unknown."""
    by, unknown_to = part.posterior.by, np.full(len(part.labels), np.nan)
    known = {"wrong_probability": part.posterior.log_odds, "wrong_by_network": by.get(NETWORK, unknown_to)}
    if FEATURES in by:
        known["wrong_by_features"] = by[FEATURES]
    unknown = not part.posterior.trained
    return {
        name: pa.array(scipy.special.expit(log_odds), mask=np.isnan(log_odds) | unknown)
        for name, log_odds in known.items()
    }


def _reasons(part: Judged, settings: Settings, is_flagged: np.ndarray) -> np.ndarray:
    """Why each flagged sample is, with the rule that decided and the numbers: object [k], str or None."""
    reasons, flagged = np.full(len(part.labels), None, object), np.flatnonzero(is_flagged)
    if settings.threshold == "estimate":
        cut = f"flagged above {part.cut.probability:.2f} ({part.cut.why})"
        odds = part.posterior.log_odds[flagged]
        reasons[flagged] = [f"label wrong with probability {p:.3f}; {cut}" for p in scipy.special.expit(odds).tolist()]
        return reasons
    area, draws = part.area, {"all": "every draw", "any": "a draw", "mean": "the mean of the draws"}
    count = np.maximum(area.judges.sum(0), 1)
    aum, threshold = (
        (np.where(area.judges, values, 0).sum(0) / count)[flagged] for values in (area.aum, part.thresholds[:, None])
    )
    rule = f"the indicator samples' {settings.percentile:g}th percentile, in {draws[settings.combine]}"
    low = "below" if settings.rule == "asapp" else "at or below"
    reasons[flagged] = [
        f"AUM {one:.3f}, {low} the threshold {other:.3f}: {rule}"
        for one, other in zip(aum.tolist(), threshold.tolist(), strict=True)
    ]
    return reasons


def _for_the_annotator(confirmed: pa.Table, samples: np.ndarray) -> dict[str, pa.Array]:
    """The last columns, empty but for the samples whose labels were confirmed before."""
    row = pc.index_in(pa.array(samples), confirmed["sample_id"].combine_chunks())
    known = {"decision": pa.array(["keep"] * len(confirmed)), "reviewer": confirmed["reviewer"].combine_chunks()}
    known["note"] = pa.array(["confirmed before this scan"] * len(confirmed))
    nothing = pa.nulls(len(samples), pa.string())
    return {name: known[name].take(row) if name in known and len(confirmed) else nothing for name in FOR_THE_ANNOTATOR}
