"""A name for each finding that stays the same from run to run, wherever the image lies."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from aumclean.gate.outcome import Finding


def fingerprints(findings: Sequence[Finding]) -> list[str]:
    """Hex digests, one per finding and all different: of the rule, the image's content and its label.

    Where these are the same (a copy under the same label) the order of paths tells them apart.
    """
    names = [(finding.rule, finding.content_hash or finding.path, finding.label or "") for finding in findings]
    seen: Counter[tuple[str, str, str]] = Counter()
    digests = [""] * len(findings)
    for index in sorted(range(len(findings)), key=lambda index: findings[index].path):
        name = names[index]
        text = "\0".join((*name, str(seen[name])))
        digests[index] = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
        seen[name] += 1
    return digests
