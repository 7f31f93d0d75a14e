"""`aumclean gate`: pass or fail, for CI."""

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from aumclean.cli.console import give, say
from aumclean.cli.help import JUDGE, WRITE
from aumclean.cli.options import Options, option, with_options
from aumclean.errors import ConfigError, counted, did_you_mean
from aumclean.gate import Format

FAILED = 1


@dataclass(frozen=True, kw_only=True)
class Budgets(Options):
    """What is allowed."""

    max_flagged: Annotated[
        str | None, option("Allowed number or share of flagged samples.", metavar="<N|N%>", panel=JUDGE)
    ] = None
    max_class_flagged: Annotated[
        str | None, option("Allowed number or share of flagged samples in any class.", metavar="<N|N%>", panel=JUDGE)
    ] = None
    max_conflicts: Annotated[
        int | None, option("Allowed number of images that also occur with another label.", panel=JUDGE)
    ] = None
    max_near_conflicts: Annotated[
        int | None, option("Allowed number of images with a near copy under another label.", panel=JUDGE)
    ] = None
    max_leaked: Annotated[
        int | None, option("Allowed number of images that are also in the data of scan --against.", panel=JUDGE)
    ] = None
    max_unreadable: Annotated[
        str | None, option("Allowed number or share of unreadable files.", metavar="<N|N%>", panel=JUDGE)
    ] = None
    max_unjudged: Annotated[
        str | None,
        option("Allowed number or share of samples that were not judged. [default: 5%]", metavar="<N|N%>", panel=JUDGE),
    ] = None
    min_score: Annotated[float | None, option("Lowest label score allowed, 0 to 1.", panel=JUDGE)] = None
    baseline: Annotated[
        Path | None, option("File of suspects that are accepted for now; only new ones count.", panel=JUDGE)
    ] = None
    max_new: Annotated[
        int | None, option("Allowed number of suspects that are not in the baseline. [default: 0]", panel=JUDGE)
    ] = None
    data: Annotated[Path | None, option("Where DATA is now. [default: where it was scanned]")] = None


@with_options
def command(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run directory of a scan, such as runs/photos-1, or what `aumclean score` wrote.", show_default=False
        ),
    ],
    budgets: Budgets,
    config: Annotated[Path | None, option("TOML file with a [gate] table. [default: nearest pyproject.toml]")] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 even if the gate fails.")] = False,
    write_baseline: Annotated[
        Path | None, option("Accept all suspects of RUN: write this baseline and stop.", panel=WRITE)
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is fixed from the --baseline file.", rich_help_panel=WRITE)
    ] = False,
    format: Annotated[Format, typer.Option("--format", "-f", help="What to print.", rich_help_panel=WRITE)] = "text",
    report: Annotated[
        list[str] | None,
        option("Also write this format to a file; repeatable.", metavar="<FORMAT=PATH>", panel=WRITE),
    ] = None,
    contact_sheet: Annotated[
        Path | None, option("Also draw the worst images into this PNG, of at most 1 MB.", panel=WRITE)
    ] = None,
) -> None:
    """Check budgets against a finished scan; exit with 0 if they hold and with 1 if not.

    Never trains. Exit code 2 means that the gate could not run.

    Example: `aumclean gate runs/photos-1 --baseline label-baseline.json --report sarif=labels.sarif`
    """
    gc.set_threshold(1_000_000)  # many small strings and no cycles: looking for these took a fifth of the time

    from aumclean.config.reading import load_gate
    from aumclean.gate import gate

    allowed = load_gate(budgets.given(), file=config)
    also = [_format_and_path(given) for given in report or []]
    if write_baseline is not None:
        accepted, samples = gate.accept(run, write_baseline)
        say(f"wrote {write_baseline}: accepts {counted(accepted, 'suspect')} of {samples:,} samples")
        return
    outcome = gate.gate(run, allowed)
    if prune:
        left = gate.forget_fixed(allowed.baseline, outcome)
        say(f"{allowed.baseline}: forgets {counted(len(outcome.fixed), 'fixed suspect')}, {left:,} left")
    if contact_sheet is not None:
        drawn = gate.write_contact_sheet(outcome, contact_sheet, allowed.data)
        say(f"wrote {contact_sheet}: {counted(drawn, 'image')}" if drawn else "no image to draw on a contact sheet")
        contact_sheet = contact_sheet if drawn else None
    for name, path in also:
        gate.write(outcome, name, path, contact_sheet)
        say(f"wrote {path}")
    give(gate.render(outcome, format, contact_sheet).rstrip("\n"))
    if "github" in {format, *(name for name, _ in also)}:
        gate.tell_github(outcome, contact_sheet)
    if not outcome.passed and not exit_zero:
        raise typer.Exit(FAILED)


def _format_and_path(given: str) -> tuple[Format, Path]:
    name, separator, path = given.partition("=")
    known = get_args(Format)
    if not separator or not path:
        raise ConfigError(f"--report: '{given}' must be FORMAT=PATH, such as sarif=labels.sarif")
    if name not in known:
        raise ConfigError(
            f"--report: no format '{name}'{did_you_mean(name, known)}; the formats are {', '.join(known)}"
        )
    if path == "-":
        raise ConfigError(f"--report: {given}: what goes to standard output is chosen with --format {name}")
    return cast(Format, name), Path(path)
