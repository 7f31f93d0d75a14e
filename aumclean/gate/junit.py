"""JUnit XML: a test case per budget, which every CI system shows."""

import xml.etree.ElementTree as ET

from aumclean.errors import printable
from aumclean.gate.outcome import Outcome

MOST = 100


def render(outcome: Outcome) -> str:
    """One suite; a budget that is exceeded fails and lists the worst of what it counts."""
    failures = sum(not check.passed for check in outcome.checks)
    counts = {"tests": str(len(outcome.checks)), "failures": str(failures), "errors": "0", "skipped": "0"}
    suites = ET.Element("testsuites", {"name": "aumclean", **counts})
    suite = ET.SubElement(suites, "testsuite", {"name": f"aumclean gate {printable(str(outcome.subject))}", **counts})
    listed = "\n".join(f"- {finding.place}: {finding.message}" for finding in outcome.failing[:MOST])
    if (more := len(outcome.failing) - MOST) > 0:
        listed += f"\nand {more:,} more"
    for check in outcome.checks:
        case = ET.SubElement(suite, "testcase", {"name": check.name, "classname": "aumclean.gate", "time": "0"})
        if not check.passed:
            message = f"{check.measured}, {check.allowed}"
            ET.SubElement(case, "failure", {"message": message, "type": "budget"}).text = listed
    ET.indent(suites, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'
