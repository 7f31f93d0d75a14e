"""`aumclean review`: a local web page for deciding, and decisions in and out of a run."""

import getpass
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aumclean.cli.console import give, say
from aumclean.cli.options import FinishedRun, MovedData, option, with_options
from aumclean.errors import ConfigError, DataError, counted

if TYPE_CHECKING:
    from aumclean.review.session import ReviewSession


@with_options
def command(
    run: FinishedRun,
    reviewer: Annotated[str | None, option("Name of the reviewer. [default: the name of the system user]")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Go through all images, not only the flagged ones.")
    ] = False,
    spot_check: Annotated[
        int | None, option("Review this many images, flagged and unflagged, without being told which.", min=2)
    ] = None,
    overlap: Annotated[
        str | None,
        option("Also ask about this share, such as 10%, of what others have decided, without showing their decisions."),
    ] = None,
    data: MovedData = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any that is free.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page when started from a terminal.")] = True,
    take_in: Annotated[
        list[Path] | None, option("Import decisions from this file and stop; repeatable.", "--import")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Import the valid decisions even if others are not.")
    ] = False,
    give_out: Annotated[Path | None, option("Write decisions.csv here and stop.", "--export")] = None,
) -> None:
    """Review the flagged images on a local web page, in groups or one by one.

    Prints the address. Every decision is on disk before the page says so. Ctrl-C stops the server (exit code 0).

    Example: `aumclean review runs/photos-1 --reviewer ann`
    """
    from aumclean.run.directory import Run

    opened = Run(run, data)
    if not (opened.run_json.is_file() and opened.awaits_network()):
        opened.require_finished()
    name = " ".join((reviewer or _system_user()).split())
    if not name or not name.isprintable():
        raise ConfigError("--reviewer: needs a name")
    if take_in:
        _take_in(opened, take_in, name, partial)
    if give_out is not None:
        _give_out(opened, give_out)
    if take_in or give_out is not None:
        return

    from aumclean.review.queue import spot_check as drawn
    from aumclean.review.queue import suspects
    from aumclean.review.session import ReviewSession

    share = _share(overlap)
    if share and spot_check:
        raise ConfigError("--overlap: a spot check asks everybody about all its images; leave one of the two out")
    queue = drawn(opened, spot_check) if spot_check else suspects(opened, everything=everything)
    if not len(queue):
        say("nothing is flagged: nothing to review (--all goes through all images)")
        return
    _serve(ReviewSession(opened, queue, name, overlap=share), port, browser)


def _serve(session: "ReviewSession", port: int, browser: bool) -> None:
    import webbrowser

    from aumclean.review.server import Server

    server = Server(session, port)
    say(f"{counted(len(session.queue), 'image')} to review, as {session.reviewer}; Ctrl-C ends")
    give(server.url)
    sys.stdout.flush()
    if browser and sys.stderr.isatty():
        webbrowser.open(server.url)
    with suppress(KeyboardInterrupt):  # the usual way to end
        server.run()
    told = session.end()
    total = len(session.queue)
    say(f"{total - told['open']:,} of {total:,} decided; they are in {session.run.decisions}")
    for line in _result(told["spot_check"]) if session.queue.blind else _so_far(told):
        say(line)


def _so_far(told: dict[str, Any]) -> list[str]:
    """What is known of the flags, the reviewers and what is left, and what comes next, in sentences."""
    lines, precision, unseen = [], told["precision"], told["unseen"]
    if precision["share"] is not None:
        lines.append(
            "precision so far: {share:.0%} ({low:.0%} to {high:.0%}) of the decided suspects are wrong "
            "[{wrong} of {decided}]".format(**precision)
        )
    if unseen is not None and precision["share"] is not None:
        lines.append(
            "left unseen: about {expected:,.0f} ({low:,.0f} to {high:,.0f}) wrong labels expected among the "
            "{samples:,} images outside this queue".format(**unseen)
        )
    for pair in told["agreement"]:
        known = "" if pair["kappa"] is None else ": kappa {kappa:.2f} ({low:.2f} to {high:.2f})".format(**pair)
        lines.append(f"{' and '.join(pair['reviewers'])} agree on {pair['agreed']:,} of {pair['both']:,}{known}")
    if disputed := told["counts"].get("contradictory"):
        lines.append(f"reviewers disagree on {counted(disputed, 'image')}: settle these on the page first")
    return [*lines, f"carry them out with: {told['command']}"]


def _share(text: str | None) -> float:
    """A share written as 10% or 0.1.

    Raises:
        ConfigError: when it is none.
    """
    try:
        share = float((text or "0").removesuffix("%")) / (100 if text and text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"--overlap: '{text}' is no share; write 10% or 0.1")
    return share


def _result(result: dict[str, Any]) -> list[str]:
    """What a spot check says, in sentences."""
    lines = []
    for name, sentence in (
        ("precision", "precision: {share:.0%} ({low:.0%} to {high:.0%}) of the flagged images are wrong"),
        ("missed", "missed: {share:.1%} ({low:.1%} to {high:.1%}) of the images that are not flagged are wrong"),
    ):
        part = result[name]
        counts = f"{part['wrong']} of {part['decided']} decided, {part['unsure']} unsure, {part['open']} open"
        known = sentence.format(**part) if part["share"] is not None else f"{name}: not known yet"
        lines.append(f"{known} [{counts}]")
    return lines


def _take_in(run: Any, files: list[Path], reviewer: str, partial: bool) -> None:
    from aumclean.decisions import recorded

    found = recorded.of_files(files, run)
    list_problems(found.problems, partial=partial, undone="nothing was taken in")
    new = recorded.take_in(run, found.voices, reviewer)
    old = len(found.voices) - new
    say(f"{counted(new, 'decision')} taken in; {old:,} left out, known already or older than those there")


def _give_out(run: Any, file: Path) -> None:
    from aumclean.decisions.read import to_csv
    from aumclean.decisions.recorded import recorded
    from aumclean.files import atomic

    table = recorded(run)
    atomic.write_text(file, to_csv(table))
    say(f"{counted(len(table), 'decision')} in {file}")


def list_problems(problems: tuple[str, ...], *, partial: bool, undone: str) -> None:
    """Say every problem with decisions.

    Raises:
        DataError: when there are some, unless `partial`.
    """
    logger = logging.getLogger("aumclean")
    for problem in problems:
        logger.warning("%s", problem)
    if problems and not partial:
        bad = counted(len(problems), "decision")
        raise DataError(f"{bad} cannot be used (above), so {undone}; mend them, or give --partial")


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return "reviewer"
