"""The gate as people call it: held against a run directory, its outcome written in any format, its baseline kept."""

import os
from pathlib import Path
from urllib.parse import quote

from aumclean.config.gate import GateConfig
from aumclean.errors import ConfigError
from aumclean.files import atomic
from aumclean.gate import Format, github, gitlab, json, junit, markdown, sarif, sheet, text
from aumclean.gate.baseline import baseline_of, read_baseline, write_baseline
from aumclean.gate.check import check, suspects
from aumclean.gate.outcome import Outcome
from aumclean.gate.subject import key, read_subject
from aumclean.run.directory import Run


def gate(run: Path, budgets: GateConfig) -> Outcome:
    """Hold budgets against a finished scan, or the scores of new images.

    Args:
        run: its directory; samples that reviewers decided to keep there are no suspects.
        budgets: what is allowed, and with a baseline what is accepted for now.

    Raises:
        RunError: when the directory holds neither.
        ConfigError: when no budget is asked for, or the baseline cannot be read.
    """
    subject = read_subject(run)
    baseline = None if budgets.baseline is None else read_baseline(budgets.baseline)
    return check(subject, budgets, baseline, _kept(run))


def accept(run: Path, file: Path) -> tuple[int, int]:
    """Write a baseline that accepts all suspects of a scan; gives how many these are, and of how many samples.

    Raises:
        ConfigError: when these are scores of new images.
    """
    subject = read_subject(run)
    if not subject.is_scan:
        raise ConfigError("--write-baseline: a baseline needs all images; write it from a scan of them")
    tolerated = suspects(subject, _kept(run))
    write_baseline(file, baseline_of(subject, tolerated))
    return int(tolerated.sum()), len(tolerated)


def forget_fixed(file: Path | None, outcome: Outcome) -> int:
    """Take what a scan found to be fixed out of the baseline it was held against; gives how many suspects are left.

    Raises:
        ConfigError: when there is no baseline, or these are scores of new images.
    """
    if file is None:
        raise ConfigError("--prune: says what to forget in a baseline; give --baseline FILE")
    if Run(outcome.subject).scores_json.is_file():
        raise ConfigError("--prune: scores of new images cannot tell what is fixed; give a scan of all images")
    left = read_baseline(file).without(outcome.fixed)
    write_baseline(file, left)
    return len(left.suspects)


def render(outcome: Outcome, format: Format, contact_sheet: Path | None = None) -> str:
    """The outcome in a format; Markdown also says where the contact sheet is."""
    if format == "markdown":
        return markdown.render(outcome, _where(contact_sheet))
    renderers = {
        "text": text.render,
        "json": json.render,
        "jsonl": json.render_lines,
        "github": github.render,
        "gitlab": gitlab.render,
        "sarif": sarif.render,
        "junit": junit.render,
    }
    return renderers[format](outcome)


def _where(contact_sheet: Path | None) -> str | None:
    """A contact sheet in Markdown: inline on GitLab, which serves what a job keeps; on GitHub with the way to it."""
    if contact_sheet is None:
        return None
    get, name = os.environ.get, contact_sheet.name
    project, file = Path(get("CI_PROJECT_DIR") or ".").absolute(), contact_sheet.absolute()
    if (job := get("CI_JOB_URL")) and file.is_relative_to(project):
        return f"![The worst images]({job}/artifacts/raw/{quote(file.relative_to(project).as_posix())})"
    if (server := get("GITHUB_SERVER_URL")) and get("GITHUB_RUN_ID"):
        run = f"{server}/{get('GITHUB_REPOSITORY')}/actions/runs/{get('GITHUB_RUN_ID')}"
        return f"The worst images are in one picture, `{name}`, among the [artifacts of this run]({run}#artifacts)."
    return f"The worst images are in one picture: `{name}`."


def write_contact_sheet(outcome: Outcome, path: Path, data: Path | None = None) -> int:
    """Write the worst images as one PNG, and give how many they are; without any nothing is written.

    Args:
        outcome: of the gate.
        path: where.
        data: where DATA is now, when that is not where it was.

    Raises:
        OutputError: when it cannot be written.
    """
    shown = len(sheet.worst(outcome))
    if shown:
        atomic.write_bytes(path, sheet.render(outcome, data))
    return shown


def write(outcome: Outcome, format: Format, path: Path, contact_sheet: Path | None = None) -> None:
    """Write the outcome in a format to a file, whole or not at all.

    Raises:
        OutputError: when it cannot be written.
    """
    atomic.write_text(path, render(outcome, format, contact_sheet))


def tell_github(outcome: Outcome, contact_sheet: Path | None = None) -> None:
    """Append to the step's summary and outputs, where the environment says that there are such files."""
    for variable, said in (
        ("GITHUB_STEP_SUMMARY", render(outcome, "markdown", contact_sheet)),
        ("GITHUB_OUTPUT", github.outputs(outcome)),
    ):
        if path := os.environ.get(variable):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(said)


def _kept(run: Path) -> set[str]:
    """Keys of the samples that reviewers decided to keep."""
    if not Run(run).decisions.is_file():
        return set()
    from aumclean.decisions.recorded import kept_pairs  # loads pandas, half a second

    return {key(content_hash, label) for content_hash, label in kept_pairs(Run(run))}
