"""docs/reference/cli.md, made from the commands: a section each, what several of them share described once."""

import re
from collections import Counter
from dataclasses import dataclass

from typer.main import get_command

from aumclean.cli import app
from aumclean.cli.help import ALWAYS, ARGUMENTS, OWN, PANELS, panel_of

HEAD = """# Command line

What `--help` says. *Shared* options are those that other commands take too: they are described once, under
[shared options](#shared-options).
"""


@dataclass(frozen=True)
class Option:
    """An option or argument, as a help page shows it."""

    panel: str
    name: str  # and its type
    said: str

    @property
    def flag(self):
        return next(iter(re.findall("--[a-z-]+", self.name)), self.name)

    def __str__(self):
        return f"- `{self.name}`: {self.said}" if self.said else f"- `{self.name}`"


def commands():
    """(words, command, context) of every command."""
    group = get_command(app)
    for name, command in group.commands.items():
        for inner, one in getattr(command, "commands", {"": command}).items():
            words = f"aumclean {name} {inner}".strip()
            yield words, one, one.make_context(words, [], resilient_parsing=True)


def options(command, context):
    """What a command takes, as its help page orders it."""
    found = []
    for param in command.get_params(context):
        if param.name != "help" and (record := param.get_help_record(context)) is not None:
            found.append(Option(panel_of(param), *(" ".join(part.split()) for part in record)))
    return sorted(found, key=lambda option: (ARGUMENTS, *PANELS).index(option.panel))


def shared(takes):
    """Options that several commands take alike; of two that are called alike, the one that more of them take."""
    everywhere = [one for found in takes.values() for one in found if one.panel != ARGUMENTS]
    counted = Counter((one.name, one.said) for one in everywhere)
    everywhere.sort(key=lambda one: (counted[one.name, one.said], one.panel != OWN))  # first as some commands have it
    by_flag = {one.flag: one for one in everywhere if counted[one.name, one.said] > 1}
    return sorted(by_flag.values(), key=lambda one: list(counted).index((one.name, one.said)))


def page():
    """The text of the page."""
    takes = {words: options(command, context) for words, command, context in commands()}
    once = shared(takes)
    alike = {(one.name, one.said) for one in once}
    parts = [HEAD]
    for words, command, context in commands():
        usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
        parts.append(f"\n## {words}\n\n{paragraphs(command.help)}\n\n`{usage}`\n")
        own = [one for one in takes[words] if (one.name, one.said) not in alike]
        if own:
            parts.append("\n" + "\n".join(map(str, own)) + "\n")
        others = [one.flag for one in takes[words] if one not in own and one.panel != ALWAYS]
        if others:
            parts.append(f"\nShared: {', '.join(f'`{flag}`' for flag in others)}.\n")
    parts.append("\n## Shared options\n")
    for title in PANELS:
        if found := [one for one in once if one.panel == title]:
            parts.append(f"\n### {title}\n\n" + "\n".join(map(str, found)) + "\n")
    return "".join(parts)


def paragraphs(docstring):
    """A docstring as Markdown: a line for each paragraph."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in docstring.strip().split("\n\n"))
