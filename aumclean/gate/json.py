"""JSON for programs: the whole outcome, or one line per finding. Its schema is `schemas/gate.schema.json`."""

from aumclean.files.json import to_json
from aumclean.gate.outcome import Outcome


def render(outcome: Outcome) -> str:
    """One object."""
    return to_json(outcome.model_dump(mode="json")) + "\n"


def render_lines(outcome: Outcome) -> str:
    """JSON Lines: the findings."""
    return "".join(to_json(vars(finding)) + "\n" for finding in outcome.findings)
