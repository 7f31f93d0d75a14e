"""What goes out to the annotation tools: the samples to look at, and names that XML can hold."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from aumclean.errors import DataError, printable
from aumclean.verdict.judge import Verdict

_NOT_IN_XML = r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


def findings(verdict: Verdict) -> pa.Table:
    """The samples to look at: the flagged and the conflicting ones, most suspect first."""
    report = verdict.report
    return report.filter(pc.or_(pc.fill_null(report["flagged"], False), report["conflict"]))


def classes(verdict: Verdict) -> list[str]:
    """All classes of the run, in the order of the alphabet, as XML can hold them.

    Raises:
        DataError: when a name has a character that XML cannot hold, so that it could not be told when it comes back.
    """
    names = sorted(row.label for row in verdict.summary.per_class)
    for name in names:
        if re.search(_NOT_IN_XML, name):
            raise DataError(f"the class '{printable(name)}' has a control character, which XML cannot hold; rename it")
    return names


def xml_text(text: str) -> str:
    """Text for XML; a control character is shown as an escape."""
    return re.sub(_NOT_IN_XML, lambda match: printable(match[0]), text)
