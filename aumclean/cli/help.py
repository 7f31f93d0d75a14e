"""Help in panels: options under what they are about, commands with a whole sentence each.

Plain text, since importing Rich for its own panels would double the time that `--help` takes.
"""

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

READ = "What to read"
TRAIN = "How to train"
COMPUTE = "Where to compute"
JUDGE = "How to judge"
WRITE = "Where to write"
ALWAYS = "With every command"

CONTEXT = {"help_option_names": ["-h", "--help"]}

OWN = "Options"
PANELS = (OWN, READ, TRAIN, COMPUTE, JUDGE, WRITE, ALWAYS)
"""In the order of a help page; an option without a panel is its command's own, and comes first."""

ARGUMENTS = "Arguments"
COMMANDS = "Commands"


class Command(TyperCommand):
    """A command whose help has panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then the panels that have options."""
        write_panels(self.get_params(ctx), ctx, formatter)


class Group(TyperGroup):
    """A group of commands, whose help says of each what it does."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The commands by panel, each with the first sentence of its help, then the options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panels.setdefault(command.rich_help_panel or COMMANDS, []).append((name, first_line(command.help)))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)
        write_panels(self.get_params(ctx), ctx, formatter)


def write_panels(params: "Iterable[Any]", ctx: Any, formatter: Any) -> None:
    """A section for each panel that has something in it."""
    for title, rows in panels_of(params, ctx).items():
        with formatter.section(title):
            formatter.write_dl(rows)


def panels_of(params: "Iterable[Any]", ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """What a help page says of each parameter, by panel: (name and type, help)."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in (ARGUMENTS, *PANELS)}
    for param in params:
        if (record := param.get_help_record(ctx)) is not None:
            found[panel_of(param)].append(record)
    return {name: rows for name, rows in found.items() if rows}


def panel_of(param: Any) -> str:
    """Where a parameter is shown; --help itself, which is nobody's own, with the options of every command."""
    if param.param_type_name == "argument":
        return ARGUMENTS
    always = ALWAYS if param.name in {"help", "install_completion", "show_completion"} else OWN
    return getattr(param, "rich_help_panel", None) or always


def first_line(text: str | None) -> str:
    """The first line of a docstring, which is a sentence."""
    return (text or "").strip().split("\n")[0]
