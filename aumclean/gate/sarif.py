"""SARIF 2.1.0, for code scanning: a result per finding, with the region and the fingerprint that GitHub asks for."""

from typing import Any
from urllib.parse import quote

from aumclean import __version__
from aumclean.files.json import to_json
from aumclean.gate.fingerprint import fingerprints
from aumclean.gate.outcome import Finding, Outcome
from aumclean.gate.red import STEPS

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RED = "When the gate is red:\n\n" + "\n".join(f"1. {step}" for step in STEPS)
MOST = 25_000  # GitHub refuses a longer list
RULES = {
    "mislabeled": (
        "MislabeledImage",
        "The image behaves like one that is mislabeled.",
        "Networks that were trained on the data contradict its label as they contradict labels known to be wrong.",
        "Look at the image: correct its label, remove it, or keep it and write that down as a decision.",
    ),
    "conflicting-duplicate": (
        "ConflictingDuplicate",
        "The same image has two labels.",
        "Another file with the very same content is labeled otherwise; at least one of the labels is wrong.",
        "Keep one of the copies, with the right label.",
    ),
    "near-conflict": (
        "NearConflict",
        "Nearly the same image has two labels.",
        "Another picture that differs from it by little more than its size or compression is labeled otherwise.",
        "Keep one of the two, with the right label.",
    ),
    "leaked": (
        "LeakedImage",
        "Nearly the same image is in the data that should share none with these.",
        "A result on a test set that holds images of the training set says nothing of new images.",
        "Take the image out of one of the two sets.",
    ),
    "low-score": (
        "LowLabelScore",
        "The image's label score is below the agreed minimum.",
        "The label score says how well the label fits, from 0 to 1; 0.5 is the threshold of the scan.",
        "Look at the image, or lower --min-score.",
    ),
    "unreadable": (
        "UnreadableImage",
        "The image cannot be read.",
        "The file is missing, empty, cut off, or not an image.",
        "Replace the file, or take it out of the data set.",
    ),
}


def render(outcome: Outcome) -> str:
    """A log with one run; at most 25,000 results, the worst ones."""
    shown = outcome.findings[:MOST]
    order = list(RULES)
    results = [
        _result(finding, order.index(finding.rule), fingerprint)
        for finding, fingerprint in zip(shown, fingerprints(shown), strict=True)
    ]
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "aumclean",
                "version": __version__,
                "rules": [_rule(name) for name in order],
            }
        },
        "automationDetails": {"id": "aumclean/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "exitCode": 0 if outcome.passed else 1}],
        "results": results,
    }
    if left := len(outcome.findings) - len(shown):
        message = {"text": f"{left:,} less suspect findings are left out: a SARIF upload holds {MOST:,}."}
        run["invocations"][0]["toolExecutionNotifications"] = [{"level": "note", "message": message}]
    return to_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _rule(name: str) -> dict[str, Any]:
    title, short, full, remedy = RULES[name]
    return {
        "id": f"aumclean/{name}",
        "name": title,
        "shortDescription": {"text": short},
        "fullDescription": {"text": full},
        "help": {"text": remedy, "markdown": f"{remedy}\n\n{RED}"},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"precision": "medium", "problem.severity": "warning", "tags": ["data-quality", "labels"]},
    }


def _result(finding: Finding, rule_index: int, fingerprint: str) -> dict[str, Any]:
    region = {"startLine": finding.line, "startColumn": 1, "endLine": finding.line, "endColumn": 2}
    result: dict[str, Any] = {
        "ruleId": f"aumclean/{finding.rule}",
        "ruleIndex": rule_index,
        "level": "error" if finding.failing else "note" if finding.is_new is False else "warning",
        "message": {"text": f"{finding.message}."},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": _uri(finding.file)}, "region": region}},
        ],
        "partialFingerprints": {"primaryLocationLineHash": f"{fingerprint[:16]}:1"},
        "properties": {
            name: value
            for name in ("path", "label", "suggested_label", "suggested_confidence", "label_score")
            if (value := getattr(finding, name)) is not None
        },
    }
    if finding.is_new is not None:
        result["baselineState"] = "new" if finding.is_new else "unchanged"
    return result


def _uri(file: str) -> str:
    return quote(file.encode(errors="surrogateescape"))
