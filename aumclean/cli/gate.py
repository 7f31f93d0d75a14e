"""`aumclean gate`: pass or fail, for CI."""

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from aumclean.cli.console import give, say
from aumclean.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from aumclean.gate.baseline import Baseline
    from aumclean.gate.check import Outcome
    from aumclean.gate.subject import Subject

Format = Literal["text", "json", "jsonl", "github", "gitlab", "sarif", "junit", "markdown"]
FAILED = 1


def command(
    run: Annotated[
        Path, typer.Argument(help="Run directory of a scan, or what `aumclean score` wrote.", show_default=False)
    ],
    max_flagged: Annotated[
        str | None, typer.Option(metavar="<N|N%>", help="At most so many samples flagged.", show_default=False)
    ] = None,
    max_class_flagged: Annotated[
        str | None, typer.Option(metavar="<N|N%>", help="At most so many of each class.", show_default=False)
    ] = None,
    max_conflicts: Annotated[
        int | None, typer.Option(help="At most so many images that occur with another label.", show_default=False)
    ] = None,
    max_unreadable: Annotated[
        str | None, typer.Option(metavar="<N|N%>", help="At most so many unreadable files.", show_default=False)
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="No label score below this, 0 to 1.", show_default=False)
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="What is accepted for now: only new suspects count.", show_default=False)
    ] = None,
    max_new: Annotated[
        int | None, typer.Option(help="At most so many suspects the baseline does not know. [default: 0]")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(help="Accept all suspects of RUN: write them here and stop.", show_default=False)
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget what is fixed in the --baseline file.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Where DATA lies now. [default: where it was scanned]", show_default=False)
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = "text",
    report: Annotated[
        list[str] | None,
        typer.Option(metavar="<FORMAT=PATH>", help="Also write this format there; repeatable.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with a [gate] table. [default: nearest pyproject.toml]", show_default=False),
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 also when the gate fails.")] = False,
) -> None:
    """Hold budgets against a finished scan; exit with 0 if they hold, with 1 if not.

    Never trains. Exit code 2 says that the gate could not run.

    Example: `aumclean gate runs/photos-1 --baseline label-baseline.json --report sarif=labels.sarif`
    """
    gc.set_threshold(1_000_000)  # many small strings and no cycles: looking for these took a fifth of the time

    from aumclean.config import load_gate
    from aumclean.gate.baseline import baseline_of, read_baseline
    from aumclean.gate.baseline import write_baseline as write
    from aumclean.gate.check import check, suspects
    from aumclean.gate.subject import read_subject

    budgets = load_gate(
        {
            "max_flagged": max_flagged,
            "max_class_flagged": max_class_flagged,
            "max_conflicts": max_conflicts,
            "max_unreadable": max_unreadable,
            "min_score": min_score,
            "baseline": baseline,
            "max_new": max_new,
            "data": data,
        },
        file=config,
    )
    wanted = [_format_and_path(given) for given in report or []]
    subject = read_subject(run)
    kept = _kept(run)
    if write_baseline is not None:
        if not subject.is_scan:
            raise ConfigError("--write-baseline: a baseline needs all images; write it from a scan of them")
        tolerated = suspects(subject, kept)
        write(write_baseline, baseline_of(subject, tolerated))
        say(f"wrote {write_baseline}: {tolerated.sum():,} suspects of {len(tolerated):,} samples are accepted")
        return
    known = None if budgets.baseline is None else read_baseline(budgets.baseline)
    outcome = check(subject, budgets, known, kept)
    if prune:
        if budgets.baseline is None or known is None:
            raise ConfigError("--prune: says what to forget in a baseline; give --baseline FILE")
        _prune(budgets.baseline, subject, outcome, known)
    for form, path in wanted:
        _write(form, path, outcome)
    give(_render(format, outcome).rstrip("\n"))
    if "github" in {format, *(form for form, _ in wanted)}:
        _tell_github(outcome)
    if not outcome.passed and not exit_zero:
        raise typer.Exit(FAILED)


def _kept(run: Path) -> set[str]:
    """Keys of the samples that reviewers decided to keep."""
    from aumclean.gate.subject import key
    from aumclean.run import Run

    if not Run(run).decisions.is_file():
        return set()
    from aumclean.decisions.recorded import kept_pairs  # loads pandas, half a second

    return {key(content_hash, label) for content_hash, label in kept_pairs(Run(run))}


def _format_and_path(given: str) -> tuple[Format, Path]:
    name, separator, path = given.partition("=")
    known = get_args(Format)
    if not separator or not path:
        raise ConfigError(f"--report: '{given}' must be FORMAT=PATH, such as sarif=labels.sarif")
    if name not in known:
        raise ConfigError(f"--report: no format '{name}'{did_you_mean(name, known)}; there are {', '.join(known)}")
    return name, Path(path)  # type: ignore[return-value]


def _render(format: Format, outcome: "Outcome") -> str:
    from aumclean.gate import github, gitlab, json, junit, markdown, sarif, text

    renderers = {
        "text": text.render,
        "json": json.render,
        "jsonl": json.render_lines,
        "github": github.render,
        "gitlab": gitlab.render,
        "sarif": sarif.render,
        "junit": junit.render,
        "markdown": markdown.render,
    }
    return renderers[format](outcome)


def _write(format: Format, path: Path, outcome: "Outcome") -> None:
    from aumclean import atomic

    atomic.write_text(path, _render(format, outcome))
    say(f"wrote {path}")


def _tell_github(outcome: "Outcome") -> None:
    """Append to the step's summary and outputs, where GitHub says that there are such files."""
    from aumclean.gate import github

    for variable, text in (
        ("GITHUB_STEP_SUMMARY", _render("markdown", outcome)),
        ("GITHUB_OUTPUT", github.outputs(outcome)),
    ):
        if path := os.environ.get(variable):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)


def _prune(file: Path, subject: "Subject", outcome: "Outcome", known: "Baseline") -> None:
    from aumclean.gate.baseline import write_baseline

    if not subject.is_scan:
        raise ConfigError("--prune: scores of new images cannot tell what is fixed; give a scan of all images")
    write_baseline(file, known.without(outcome.fixed))
    say(f"{file}: {len(outcome.fixed):,} fixed suspects forgotten, {len(known.suspects) - len(outcome.fixed):,} left")
