"""GitHub Actions: workflow commands that annotate files, and the outputs of a step."""

from aumclean.errors import printable
from aumclean.gate.outcome import Finding, Outcome

MOST = 10  # of errors and of warnings: GitHub drops what a step says beyond


def render(outcome: Outcome) -> str:
    """The worst failing findings as errors, the worst of the others as warnings, then the budgets in words."""
    failing = outcome.failing
    others = [finding for finding in outcome.open if not finding.failing]
    lines = [_annotation("error", finding) for finding in failing[:MOST]]
    lines += [_annotation("warning", finding) for finding in others[:MOST]]
    lines.append(_data(outcome.headline))
    lines += [
        _data(f"{'ok' if check.passed else 'FAIL'}: {check.name}: {check.measured}, {check.allowed}")
        for check in outcome.checks
    ]
    left = max(0, len(failing) - MOST) + max(0, len(others) - MOST)
    if left:
        lines.append(f"{left:,} more findings are in the report")
    return "\n".join(lines) + "\n"


def outputs(outcome: Outcome) -> str:
    """Lines for `$GITHUB_OUTPUT`: passed, samples, flagged, new."""
    new = "" if outcome.new is None else outcome.new
    return f"passed={str(outcome.passed).lower()}\nsamples={outcome.samples}\nflagged={outcome.flagged}\nnew={new}\n"


def _annotation(level: str, finding: Finding) -> str:
    line = "" if finding.at_line is None else f",line={finding.at_line},endLine={finding.at_line}"
    where = f"file={_property(printable(finding.file))}{line}"
    return f"::{level} {where},title={_property(f'aumclean {finding.rule}')}::{_data(finding.message)}"


def _data(text: str) -> str:
    """Text that cannot end its line and so cannot begin a command of its own."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
