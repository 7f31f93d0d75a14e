"""Plain text, for a person who reads a build log."""

from aumclean.gate.outcome import Outcome
from aumclean.gate.red import next_steps

MOST = 20


def render(outcome: Outcome) -> str:
    """The outcome, every budget, the worst failing findings; no name can start a line, so none can give a command."""
    width = max(len(check.name) for check in outcome.checks)
    lines = [outcome.headline]
    lines += [
        f"  {'ok  ' if check.passed else 'FAIL'}  {check.name:<{width}}  {check.measured}, {check.allowed}"
        for check in outcome.checks
    ]
    lines += [f"- {finding.place}: {finding.message}" for finding in outcome.failing[:MOST]]
    if (more := len(outcome.failing) - MOST) > 0:
        lines.append(f"and {more:,} more")
    if outcome.fixed:
        lines.append(f"{len(outcome.fixed):,} of the baseline's suspects are fixed; --prune forgets them")
    lines += [f"note: {note}" for note in outcome.notes]
    if not outcome.passed:
        lines += ["what next:", *(f"  {number}. {step}" for number, step in enumerate(next_steps(outcome), start=1))]
    return "\n".join(lines) + "\n"
