"""JSON for programs: the whole outcome, or one line per finding. Its schema is `schemas/gate.schema.json`."""

import json

from aumclean.gate.check import Outcome


def render(outcome: Outcome) -> str:
    """One object."""
    return json.dumps(outcome.model_dump(mode="json"), allow_nan=False) + "\n"


def render_lines(outcome: Outcome) -> str:
    """JSON Lines: the findings."""
    return "".join(json.dumps(vars(finding), allow_nan=False) + "\n" for finding in outcome.findings)
