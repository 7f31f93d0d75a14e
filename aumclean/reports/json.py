"""JSON for programs: the summary with every flagged sample, or one line per sample."""

from collections.abc import Iterator

import pyarrow as pa

from aumclean import __version__
from aumclean.files.json import to_json
from aumclean.reports.annotation import findings
from aumclean.verdict.judge import Verdict
from aumclean.verdict.summary import SCHEMA_VERSION

ROWS = 1 << 14  # that are Python objects at a time


def render(verdict: Verdict) -> str:
    """The summary and the findings, that is the flagged and the conflicting samples, most suspect first."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "aumclean", "version": __version__},
        "summary": verdict.summary.model_dump(mode="json"),
        "findings": findings(verdict).to_pylist(),
    }
    return to_json(document, indent=2) + "\n"


def lines(table: pa.Table) -> Iterator[str]:
    """JSON Lines: a line for each row."""
    for batch in table.to_batches(max_chunksize=ROWS):
        for row in batch.to_pylist():
            yield to_json(row) + "\n"
