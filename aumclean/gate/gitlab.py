"""GitLab code quality: a JSON array that a merge request compares with its target branch by fingerprint."""

from aumclean.files.json import to_json
from aumclean.gate.fingerprint import fingerprints
from aumclean.gate.outcome import Finding, Outcome


def render(outcome: Outcome) -> str:
    """One entry per finding."""
    entries = [
        {
            "description": finding.message,
            "check_name": f"aumclean/{finding.rule}",
            "fingerprint": fingerprint,
            "severity": _severity(finding),
            "location": {"path": finding.file, "lines": {"begin": finding.line}},
        }
        for finding, fingerprint in zip(outcome.findings, fingerprints(outcome.findings), strict=True)
    ]
    return to_json(entries) + "\n"


def _severity(finding: Finding) -> str:
    if finding.failing:
        return "major"
    return "info" if finding.is_new is False else "minor"
