"""The content of `summary.json`, of what judging found."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from aumclean import chance
from aumclean.files import mapped
from aumclean.run.record import JudgedRecord, RunRecord, Settings
from aumclean.verdict import noise, warnings
from aumclean.verdict.estimate import Estimate
from aumclean.verdict.evidence import FEATURES
from aumclean.verdict.histogram import histogram
from aumclean.verdict.horizon import recorded_warnings
from aumclean.verdict.judged import Judged
from aumclean.verdict.neighbours import near_conflicts
from aumclean.verdict.summary import Summary, digest_of_flagged
from aumclean.verdict.threshold import bootstrap_quantiles, interval


def summary_of(judged: Judged, settings: Settings, record: RunRecord, report: pa.Table) -> Summary:
    """Counts, thresholds, rates and warnings of what was found, and a digest of the flags in its report."""
    area, flagged, labels, names = judged.area, judged.flagged, judged.labels, judged.class_names
    thresholds = _thresholds(judged, settings, record)
    share = float(flagged.sum() / max(judged.judged.sum(), 1))
    said = [
        *warnings.label_warnings(labels, names, published=settings.threshold == "indicator"),
        *_evidence_warnings(judged, record, settings),
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
            histogram(mapped.taken(aum, seen), indicator[seen], float(threshold))
            for aum, indicator, seen, threshold in zip(
                area.aum, area.is_indicator, area.seen > 0, judged.thresholds, strict=True
            )
        ],
        "settings": {**asdict(settings), "epochs": max(record.epochs_done, default=0), "draws": record.draws},
        "per_class": noise.per_class(labels, flagged, judged.judged, names),
        "per_pair": noise.per_pair(labels, area.suggested, flagged, names),
        "warnings": [asdict(warning) for warning in said],
        "flagged_digest": digest_of_flagged(report),
    }
    return Summary.model_validate(found)


def _thresholds(judged: Judged, settings: Settings, record: RunRecord) -> list[dict[str, Any]]:
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


def _evidence_warnings(judged: Judged, record: RunRecord, settings: Settings) -> list[warnings.Caution]:
    """What to say of the evidence there is."""
    area, posterior = judged.area, judged.posterior
    said = []
    if settings.threshold == "indicator" and area.is_indicator.any():
        said += warnings.indicator_warnings(int(area.is_indicator[0].sum()))
    said += warnings.trained_warnings(posterior.trained) if posterior.by else [warnings.nothing_held_out()]
    if isinstance(record, JudgedRecord):
        recorded = np.array(record.averaged_epochs) - settings.first_epoch
        said += warnings.seen_warnings(area.seen, recorded, record.repeated)
        taught = warnings.in_sample_warnings([one.agreement for one in record.evidence])
        said += taught or warnings.contradiction_warnings(posterior.by, out_of_sample=FEATURES)
    return said


def _near_counts(judged: Judged) -> dict[str, int | None]:
    near = judged.near
    if near is None:
        return {}
    return {
        "near_duplicates": int((np.bincount(near.group)[near.group] > 1).sum()),
        "near_conflicts": int(near_conflicts(near, judged.labels).sum()),
        "leaked": None if near.leaked_from is None else len(near.leaked_from) - near.leaked_from.null_count,
    }


def _noise_rate(judged: Judged) -> dict[str, float | None]:
    """The share of the labels that is wrong, with its interval; nulls where the networks know nothing."""
    posterior = judged.posterior
    if not posterior.trained:
        return dict.fromkeys(Estimate._fields)
    return dict(posterior.share(~np.isnan(posterior.log_odds))._asdict())


def _flags(judged: Judged) -> dict[str, Estimate]:
    """Expected precision and recall of the flags; none when nothing is flagged, or nothing known."""
    known = judged.suspect & ~np.isnan(judged.posterior.log_odds)
    if not known.any() or not judged.posterior.trained:
        return {}
    return {"recall": judged.posterior.recall(judged.suspect), "precision": judged.posterior.share(known)}


def _generator(record: RunRecord) -> np.random.Generator:
    return chance.generator(record.seed, "bootstrap")
