"""The command line: the only place that knows Typer and Rich, and where every error becomes one line."""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import typer

from aumclean.cli import (
    clean,
    corrupt,
    demo,
    duplicates,
    env,
    evaluate,
    features,
    frequency,
    gate,
    judge,
    random_labels,
    report,
    review,
    scan,
    score,
    train,
)
from aumclean.cli.console import Interrupted, show_error, wanted
from aumclean.cli.help import CONTEXT, Command, Group
from aumclean.cli.options import with_options
from aumclean.errors import AumcleanError

COULD_NOT_RUN = 2
INTERRUPTED = 130

app = typer.Typer(
    name="aumclean",
    cls=Group,
    help="Find mislabeled images by the area under the margin, and carry the finding to a cleaned manifest.",
    no_args_is_help=True,
    context_settings=CONTEXT,
    rich_markup_mode=None,  # plain help: importing Rich would double the time that --help takes
    pretty_exceptions_enable=False,
)


@app.callback(epilog="Start with `aumclean demo`, then `aumclean scan FOLDER`.")
@partial(with_options, root=True)
def _root() -> None:
    pass


for _module in (
    scan,
    judge,
    report,
    review,
    clean,
    score,
    gate,
    evaluate,
    corrupt,
    duplicates,
    features,
    train,
    demo,
    env,
):
    app.command(_module.__name__.rpartition(".")[2], cls=Command, context_settings=CONTEXT)(_module.command)
app.add_typer(frequency.app, name="frequency")
app.add_typer(random_labels.app, name="random-labels")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 gate failed, 2 could not run, 130 interrupted.

    Args:
        arguments: without the program's name; those of the process by default.
    """
    _open_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    _interrupt_once()
    try:
        code = _commands()(args=words or ["--help"], prog_name="aumclean", standalone_mode=False)
        if code == INTERRUPTED:  # which Typer makes of a Ctrl-C while it reads the words
            raise KeyboardInterrupt
        sys.exit((code or 0) if words else COULD_NOT_RUN)
    except (Interrupted, KeyboardInterrupt, typer.Abort) as stopped:
        show_error("; go on with: ".join(["interrupted", *stopped.args]))
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output is gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(COULD_NOT_RUN)
    except Exception as error:
        if wanted.traceback:
            traceback.print_exception(error)
        show_error(in_one_line(error))
        sys.exit(COULD_NOT_RUN)


@cache
def _commands() -> Any:
    """All commands, which Typer would make anew for every call."""
    return typer.main.get_command(app)


def _open_streams() -> None:
    """Open the standard streams that the caller closed: else the first file that is opened would take their place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115


def _interrupt_once() -> None:
    """Let the first Ctrl-C end the command, and no other disturb that end: files and threads are still being closed."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, lambda *_: None)
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, interrupt)


def _missing(error: Any) -> str | None:
    """What is needed and was not given, with a value to begin with, which the help of whatever is required names."""
    if type(error).__name__ != "MissingParameter" or error.param is None:
        return None
    name = error.param.opts[0] if error.param.param_type_name == "option" else error.param.name.upper()
    value = re.search(r"such as (\S+?)[.,;]?(?: |$)", error.param.help or "")
    shown = "" if value is None else f", such as {f'{name} ' * name.startswith('-')}{value[1]}"
    return f"{name}: is needed{shown}"


def in_one_line(error: Exception) -> str:
    """What went wrong, and for errors nobody foresaw how to see more."""
    if isinstance(error, AumcleanError):
        return str(error)
    if format_message := getattr(error, "format_message", None):  # Click's errors, from wherever Typer takes Click
        page = getattr(getattr(error, "ctx", None), "command_path", "aumclean")
        message = format_message().replace(": Value error, ", ": ")  # which Typer takes over from pydantic
        return f"{_missing(error) or message} (see {page} --help)"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed here, and this command needs it: install aumclean with its dependencies"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input or output'}: {error.strerror.lower()}"
    return f"internal error: {type(error).__name__}: {' '.join(str(error).split())} (--debug shows where)"
