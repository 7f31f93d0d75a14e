"""What to do when the gate is red: the how-to's steps, short enough to stand in every output for people."""

import shlex

from aumclean.gate.outcome import Outcome
from aumclean.run.directory import Run

STEPS = (
    "Look at the images that are named, the worst first.",
    "The label is wrong: correct it, or remove the image.",
    "The image occurs twice with two labels: keep one copy, with the right label.",
    "The label is right: accept it in the baseline, or decide keep on the review page of the run.",
    "Many right labels are named: the scan does not know such images; scan again with them among the others.",
)


def next_steps(outcome: Outcome) -> list[str]:
    """The steps that this outcome asks for, with the command where one helps."""
    rules = {finding.rule for finding in outcome.failing}
    steps = [STEPS[0]] if rules else []
    if any(check.name == "max-unjudged" and not check.passed for check in outcome.checks):
        steps.append("Samples were not judged: the run's own warnings say why; scan again with more images or epochs.")
    if "leaked" in rules:
        steps.append("The image is in the other data too: take it out of one of them.")
    if "unreadable" in rules:
        steps.append("A file cannot be read: replace it, or take it out of the data set.")
    if rules <= {"leaked", "unreadable"}:  # nothing is said of labels
        return steps
    steps.append(STEPS[1])
    if "conflicting-duplicate" in rules:
        steps.append(STEPS[2])
    if Run(outcome.subject).scores_json.is_file():
        return [*steps, "The label is right: accept it in the baseline.", STEPS[4]]
    command = shlex.join(["aumclean", "review", str(outcome.subject)])
    return [*steps, f"The label is right: accept it in the baseline, or keep it with: {command}", STEPS[4]]
