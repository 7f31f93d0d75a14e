"""The gate's rule: which budgets hold, and which samples break those that do not."""

from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from aumclean.config.gate import GateConfig, Limit
from aumclean.errors import ConfigError, counted, did_you_mean, printable
from aumclean.gate.baseline import Baseline, Suspect
from aumclean.gate.outcome import Check, Finding, Outcome, Rule
from aumclean.gate.subject import Subject, as_arrow, places

# Standard deviations of what repeating a scan changes. Samples differ in how much they change, so that a normal
# distribution does not say how many; docs/lab/verdict.md has a table.
HYSTERESIS = 6.0
COPIED = ("path", "label", "suggested_label", "suggested_confidence", "label_score", "content_hash")


@dataclass(frozen=True)
class _Masks:
    """bool [n] each, in the order of the report."""

    flagged: np.ndarray
    conflict: np.ndarray
    low: np.ndarray
    near_conflict: np.ndarray  # this and the next only where they are asked for
    leaked: np.ndarray
    known: np.ndarray  # suspects that the baseline accepts
    drifted: np.ndarray  # suspects it has seen unflagged, within the hysteresis

    @cached_property
    def suspect(self) -> np.ndarray:
        return np.asarray(self.flagged | self.conflict)

    @cached_property
    def new(self) -> np.ndarray:
        return np.asarray(self.suspect & ~self.known & ~self.drifted)


def suspects(subject: Subject, accepted: Set[str] = frozenset()) -> np.ndarray:
    """What a baseline of this subject accepts: bool [n], flagged or in conflict, and not decided to be kept."""
    masks = _masks(subject, GateConfig(), None, accepted)
    return masks.suspect


def check(
    subject: Subject, config: GateConfig, baseline: Baseline | None = None, accepted: Set[str] = frozenset()
) -> Outcome:
    """Hold the budgets against the subject.

    A suspect is a flagged sample, or one whose image occurs with another label. With a baseline a suspect is *new*
    when the baseline has never seen this image with this label; or when it has, unflagged, and the sample now lies
    further below the threshold than the hysteresis. So a sample near the threshold does not flip from scan to scan.
    A suspect of the baseline is *fixed* when its image or its label is gone, or when it now lies further above.
    The hysteresis is six standard deviations of what another scan of the same data changes, which the disagreement
    of a scan's own draws tells (`repeat_deviation` of summary.json): the greater of what this scan and that behind
    the baseline say.

    Args:
        subject: what to look at.
        config: the budgets.
        baseline: what is accepted for now.
        accepted: keys (`Subject.keys`) of samples that reviewers decided to keep.

    Raises:
        ConfigError: when no budget is asked for, or one for a class that does not exist.
    """
    masks = _masks(subject, config, baseline, accepted)
    checks, breaking, bad_files_fail = _checks(subject, config, masks, baseline)
    if {one.name for one in checks} <= {"max-unjudged"}:  # that one is always there
        raise ConfigError("nothing to check: give a budget such as --max-flagged 2%, or --baseline FILE")
    findings = _findings(subject, config, masks, breaking, baseline is not None, bad_files_fail)
    return Outcome(
        passed=all(one.passed for one in checks),
        subject=subject.path,
        samples=len(subject.report),
        flagged=int(masks.flagged.sum()),
        new=None if baseline is None else int(masks.new.sum()),
        checks=tuple(checks),
        findings=findings,
        fixed=() if baseline is None else _fixed(subject, baseline, masks),
        notes=_notes(subject, masks, accepted),
    )


def _masks(subject: Subject, config: GateConfig, baseline: Baseline | None, accepted: Set[str]) -> _Masks:
    flagged, conflict = subject.mask("flagged"), subject.mask("conflict")
    below = subject.score < (config.min_score or 0.0)
    near = _asked(subject, "near_conflict", config.max_near_conflicts)
    leaked = _asked(subject, "leaked_from", config.max_leaked)
    unaccepted = ~_among(subject, accepted, flagged | conflict | below | near)
    flagged, conflict, below, near = (mask & unaccepted for mask in (flagged, conflict, below, near))
    known = drifted = np.zeros(len(flagged), bool)
    if baseline is not None:
        suspect = flagged | conflict
        known = _among(subject, baseline.suspect_keys, suspect)
        clear = flagged & (_distance(subject) <= -_hysteresis(subject, baseline))
        drifted = _among(subject, baseline.seen_keys, suspect & ~known & ~clear)
    return _Masks(flagged, conflict, below, near, leaked, known, drifted)


def _asked(subject: Subject, column: str, most: int | None) -> np.ndarray:
    """Where a column says something, bool [n], if a budget asks for it.

    Raises:
        ConfigError: when the run does not know.
    """
    if most is None:
        return np.zeros(len(subject.report), bool)
    if column not in subject.report.column_names:
        if column == "leaked_from":
            raise ConfigError(f"--max-leaked: {subject.path} was compared with no other data; scan with --against TEST")
        raise ConfigError(
            f"--max-near-conflicts: {subject.path} does not know near-duplicates; scan with --features auto"
        )
    return subject.mask(column)


def _among(subject: Subject, known: Set[str], chosen: np.ndarray) -> np.ndarray:
    """Which of the chosen samples (bool [n]) are known by their keys: bool [n]."""
    found = np.zeros(len(chosen), bool)
    if known:
        keys = subject.keys
        for index in np.flatnonzero(chosen):
            found[index] = keys[index] in known
    return found


def _distance(subject: Subject) -> np.ndarray:
    """Distance to the threshold, float64 [n], which `label_score` is the logistic function of; NaN if not judged."""
    score = subject.score
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(score) - np.log1p(-score))


def _hysteresis(subject: Subject, baseline: Baseline) -> float:
    return HYSTERESIS * max(subject.summary.repeat_deviation, baseline.repeat_deviation)


def _checks(
    subject: Subject, config: GateConfig, masks: _Masks, baseline: Baseline | None
) -> tuple[list[Check], np.ndarray, bool]:
    """The checks, which samples (bool [n]) the exceeded ones count, and whether unreadable files are among these."""
    judged = np.array([flagged is not None for flagged in subject.report["flagged"].to_pylist()], bool)
    breaking = np.zeros(len(judged), bool)
    checks = []

    def add(name: str, within: bool, measured: str, allowed: str, counted: np.ndarray | None = None) -> None:
        checks.append(Check(name, within, measured, allowed))
        if counted is not None and not within:
            breaking[counted] = True

    if config.max_flagged is not None:
        count, total = int(masks.flagged.sum()), int(judged.sum())
        within = config.max_flagged.allows(count, total)
        add("max-flagged", within, _share(count, total), f"at most {config.max_flagged}", masks.flagged)
    if config.max_class_flagged is not None or config.classes:
        every_class_within = True
        for name, limit, inside in _class_limits(subject, config):
            count, total = int((masks.flagged & inside).sum()), int((judged & inside).sum())
            within = limit.allows(count, total)
            every_class_within &= within
            if not within or name in config.classes:
                title = f"max-class-flagged {printable(name)}"
                add(title, within, _share(count, total), f"at most {limit}", masks.flagged & inside)
        if config.max_class_flagged is not None and every_class_within:
            add("max-class-flagged", True, "every class within", f"at most {config.max_class_flagged} of each class")
    for name, most, mask in (
        ("max-conflicts", config.max_conflicts, masks.conflict),
        ("max-near-conflicts", config.max_near_conflicts, masks.near_conflict),
        ("max-leaked", config.max_leaked, masks.leaked),
    ):
        if most is not None:
            add(name, int(mask.sum()) <= most, f"{int(mask.sum()):,}", f"at most {most}", mask)
    bad_files_fail = False
    if config.max_unreadable is not None:
        count, total = len(subject.unreadable), len(judged) + len(subject.unreadable)
        within = config.max_unreadable.allows(count, total)
        bad_files_fail = not within
        add("max-unreadable", within, _share(count, total), f"at most {config.max_unreadable}")
    if config.min_score is not None:
        count = int(masks.low.sum())
        add("min-score", not count, f"{counted(count, 'sample')} below", f"none below {config.min_score:g}", masks.low)
    if baseline is not None:
        allowed, count = config.max_new or 0, int(masks.new.sum())
        add("max-new", count <= allowed, counted(count, "new suspect"), f"at most {allowed}", masks.new)
    elif config.max_new is not None:
        raise ConfigError("--max-new: counts what is not in a baseline; give --baseline FILE")
    if count := int((~judged).sum()):
        within = config.max_unjudged.allows(count, len(judged))
        add("max-unjudged", within, _share(count, len(judged)), f"at most {config.max_unjudged}")
    return checks, breaking, bad_files_fail


def _class_limits(subject: Subject, config: GateConfig) -> list[tuple[str, Limit, np.ndarray]]:
    labels = np.array(subject.report["label"].to_pylist(), object)
    known = sorted(set(labels))
    if subject.is_scan:
        for name in config.classes:
            if name not in known:
                raise ConfigError(
                    f"gate: no class '{name}' in {subject.path} ([gate.classes]){did_you_mean(name, known)}"
                )
    limits = [(name, config.classes.get(name, config.max_class_flagged)) for name in known]
    return [(name, limit, labels == name) for name, limit in limits if limit is not None]


def _findings(
    subject: Subject,
    config: GateConfig,
    masks: _Masks,
    breaking: np.ndarray,
    has_baseline: bool,
    bad_files_fail: bool,
) -> tuple[Finding, ...]:
    looked_at = masks.suspect | masks.low | masks.near_conflict | masks.leaked
    chosen = np.flatnonzero(looked_at)
    rows = subject.report.filter(as_arrow(looked_at)).to_pylist()
    where = places(subject, np.array([row["sample_id"] for row in rows], np.int64), config.data)
    of_mask: dict[Rule, np.ndarray] = {
        "mislabeled": masks.flagged,
        "conflicting-duplicate": masks.conflict,
        "near-conflict": masks.near_conflict & ~masks.conflict,
        "leaked": masks.leaked,
    }
    findings = []
    for index, row in zip(chosen, rows, strict=True):
        rules = [rule for rule, mask in of_mask.items() if mask[index]]
        if masks.low[index] and not rules:
            rules.append("low-score")
        file, line = where.of(row["sample_id"], row["path"])
        for rule in rules:
            findings.append(
                Finding(
                    rule=rule,
                    file=file,
                    line=line,
                    failing=bool(breaking[index]),
                    message=_message(rule, row),
                    is_new=bool(masks.new[index]) if has_baseline else None,
                    **{name: row[name] for name in COPIED},
                )
            )
    for path, reason in subject.unreadable:
        file, line = where.of(None, path)
        message = f"{printable(path)} cannot be read: {printable(reason)}"
        findings.append(
            Finding(
                rule="unreadable", path=path, file=file, line=line, is_new=None, failing=bad_files_fail, message=message
            )
        )
    findings.sort(key=lambda f: (not f.failing, f.is_new is False, 1.0 if f.label_score is None else f.label_score))
    return tuple(findings)


def _message(rule: Rule, row: dict[str, Any]) -> str:
    path, label, suggested = (printable(row[name] or "") for name in ("path", "label", "suggested_label"))
    if rule == "conflicting-duplicate":
        return f"{path} is labeled '{label}'; an identical image has another label"
    if rule == "near-conflict":
        return f"{path} is labeled '{label}'; a near copy of it has another label"
    if rule == "leaked":
        return f"{path} is nearly the same image as {printable(row['leaked_from'])} in the data of --against"
    looks = f", looks like '{suggested}'" if suggested and suggested != label else ""
    return f"{path} is labeled '{label}'{looks} (label score {row['label_score']:.3f})"


def _fixed(subject: Subject, baseline: Baseline, masks: _Masks) -> tuple[Suspect, ...]:
    if not subject.is_scan:  # scores hold new images only: what they lack is not gone
        return ()
    clearly_fine = ~masks.suspect & (_distance(subject) >= _hysteresis(subject, baseline))
    still_there = {key for key, fine in zip(subject.keys, clearly_fine, strict=True) if not fine}
    return tuple(suspect for suspect in baseline.suspects if suspect.key not in still_there)


def _notes(subject: Subject, masks: _Masks, accepted: Set[str]) -> tuple[str, ...]:
    notes = []
    kept = int(_among(subject, accepted, subject.mask("flagged")).sum())
    if kept:
        notes.append(f"{counted(kept, 'flagged sample')} that reviewers decided to keep not counted")
    if known := int(masks.known.sum()):
        notes.append(f"{counted(known, 'suspect')} known to the baseline")
    if drifted := int(masks.drifted.sum()):
        notes.append(f"{counted(drifted, 'suspect')} seen unflagged by the baseline and still near the threshold")
    if false_alarms := subject.summary.false_alarms:
        notes.append(
            f"of {len(subject.report):,} new images {false_alarms.expected_at_most:.1f} at most are expected to be "
            f"flagged although their labels are right"
        )
    return tuple(notes)


def _share(count: int, of: int) -> str:
    return f"{count:,} of {of:,} ({count / max(of, 1):.1%})"
