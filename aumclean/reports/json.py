"""JSON for programs: the summary with every flagged sample, or one line per sample."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from aumclean import __version__
from aumclean.files.json import to_json
from aumclean.verdict.judge import Verdict
from aumclean.verdict.summary import SCHEMA_VERSION

ROWS = 1 << 14  # that are Python objects at a time


def render(verdict: Verdict) -> str:
    """The summary and the findings, that is the flagged and the conflicting samples, most suspect first."""
    report = verdict.report
    findings = report.filter(pc.or_(pc.fill_null(report["flagged"], False), report["conflict"]))
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "aumclean", "version": __version__},
        "summary": verdict.summary.model_dump(mode="json"),
        "findings": findings.to_pylist(),
    }
    return to_json(document, indent=2) + "\n"


def render_lines(verdict: Verdict) -> str:
    """JSON Lines: every sample, most suspect first."""
    return "".join(lines(verdict.report))


def lines(table: pa.Table) -> Iterator[str]:
    """A line for each row."""
    for batch in table.to_batches(max_chunksize=ROWS):
        for row in batch.to_pylist():
            yield to_json(row) + "\n"
