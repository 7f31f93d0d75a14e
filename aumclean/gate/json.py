"""JSON for programs: the whole outcome, or one line per finding. Its schema is `schemas/gate.schema.json`."""

import json
from typing import Any

from aumclean import __version__
from aumclean.gate.check import Outcome

SCHEMA_VERSION = 1


def render(outcome: Outcome) -> str:
    """One object."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "aumclean", "version": __version__},
        "passed": outcome.passed,
        "subject": str(outcome.subject),
        "samples": outcome.samples,
        "flagged": outcome.flagged,
        "new": outcome.new,
        "checks": [vars(check) for check in outcome.checks],
        "findings": [vars(finding) for finding in outcome.findings],
        "fixed": list(outcome.fixed),
        "notes": list(outcome.notes),
    }
    return json.dumps(document, allow_nan=False) + "\n"


def render_lines(outcome: Outcome) -> str:
    """JSON Lines: the findings."""
    return "".join(json.dumps(vars(finding), allow_nan=False) + "\n" for finding in outcome.findings)
