"""What can go wrong, as a tree with one root; the command line turns each into one line and exit code 2.

AumcleanError
├── ConfigError     an option, environment variable or configuration key
├── DataError       the data set or a manifest
├── RunError        a run directory: missing, in use, unfinished, from a newer version
├── TrainingError   training cannot go on: no such device, logits that are not finite
└── OutputError     a file cannot be written: a full disk, a folder in the way, no permission
"""

import difflib
import re
from collections.abc import Iterable

COMMAND = re.compile(r"^((?:\s|\x1b\[[\d;]*m)*)::", re.MULTILINE)


class AumcleanError(Exception):
    """Root of every error raised on purpose; the message names the file or option and the remedy."""


class ConfigError(AumcleanError):
    """An option, an environment variable or a configuration key cannot be used."""


class DataError(AumcleanError):
    """The data set, or a table that describes it, cannot be used."""


class RunError(AumcleanError):
    """A run directory cannot be used: missing, in use, unfinished, or written by a newer version."""


class TrainingError(AumcleanError):
    """Training cannot start or go on."""


class OutputError(AumcleanError):
    """A file cannot be written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a known word is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def counted(number: int, noun: str) -> str:
    """A number of things: 1 column, 2 columns."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """Names come from strangers: what a terminal, a page or a build log (`##[`, `##vso[`) obeys is shown as text."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return re.sub(r"##(\w*\[)", r"## \1", text)


def harmless(lines: str) -> str:
    """Text as it may stand in a build log: no line of it begins as a command does (`::error::`).

    Names come from strangers, and GitHub's runner obeys a line that begins with two colons, blanks before them or not.
    So this comes after lines were broken, which may put any word of a name first.
    """
    return COMMAND.sub(r"\1: :", lines)
