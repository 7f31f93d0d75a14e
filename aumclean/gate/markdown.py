"""Markdown (GitHub flavoured), for a comment on a pull request and for GitHub's step summary."""

from aumclean.gate.outcome import Finding, Outcome
from aumclean.gate.red import next_steps
from aumclean.reports.markdown import cell, table

MARKER = "<!-- aumclean:gate -->"
MOST = 50
COMMENT_LIMIT = 65_000  # characters; GitHub refuses 65,536
LONGEST = 200  # of a name


def render(outcome: Outcome, sheet: str | None = None) -> str:
    """Its first line is a marker by which a bot finds the comment again and updates it.

    Args:
        outcome: of the gate.
        sheet: where the contact sheet is, in Markdown, if there is one.
    """
    shown = outcome.open[:MOST]
    while len(text := _page(outcome, shown, sheet)) > COMMENT_LIMIT and shown:
        shown = shown[: len(shown) // 2]
    return text


def _page(outcome: Outcome, shown: list[Finding], sheet: str | None) -> str:
    rows = [("ok" if check.passed else "FAIL", check.name, check.measured, check.allowed) for check in outcome.checks]
    parts = [MARKER, f"## Label quality: {outcome.headline}", table(("", "budget", "measured", "allowed"), rows)]
    if sheet is not None and shown:
        parts.append(sheet)
    if shown:
        found = [
            (
                _short(finding.path),
                _short(finding.label or ""),
                _short(finding.suggested_label or ""),
                "" if finding.label_score is None else f"{finding.label_score:.3f}",
                finding.rule,
            )
            for finding in shown
        ]
        total = len(outcome.open)
        title = f"The {len(shown)} worst of {total:,}" if total > len(shown) else f"All {total:,}"
        listed = table(("path", "label", "looks like", "label score", "why"), found)
        parts.append(f"<details open><summary>{title}</summary>\n\n{listed}\n\n</details>")
    if outcome.fixed:
        parts.append(f"{len(outcome.fixed):,} of the baseline's suspects are fixed.")
    parts += [f"> {cell(note)}" for note in outcome.notes]
    if not outcome.passed:
        parts.append("**What next**\n\n" + "\n".join(f"1. {cell(step)}" for step in next_steps(outcome)))
    return "\n\n".join(parts) + "\n"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
