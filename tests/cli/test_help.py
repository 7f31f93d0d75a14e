"""Help pages: panels in one order, the options that people need first at the top, none twice, 80 columns."""

import re
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.main import get_command

from aumclean.cli import app
from aumclean.cli.help import ALWAYS, ARGUMENTS, PANELS, panel_of
from aumclean.cli.options import Options, option, with_options

FIRST = [
    *("out", "overwrite", "resume", "dry-run", "preset", "features", "no-flip", "device", "path-column", "label-column")
]


def commands():
    """(words, command) of every command."""
    for name, command in get_command(app).commands.items():
        for inner, one in getattr(command, "commands", {"": command}).items():
            yield [name, *([inner] if inner else [])], one


def sections(page):
    """Section titles of a help page, each with its lines."""
    found, title = {}, None
    for line in page.splitlines():
        if re.fullmatch(r"[A-Z][^:]*:", line):
            title = line[:-1]
            found[title] = []
        elif title is not None:
            found[title].append(line)
    return found


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_panels_come_in_one_order_and_hold_every_option_once(aumclean, words):
    page = aumclean(*words, "--help").out
    assert max(map(len, page.splitlines())) <= 80
    titles = list(sections(page))
    assert titles == [title for title in (ARGUMENTS, *PANELS) if title in titles]
    (command,) = [one for path, one in commands() if path == words]
    for param in command.params:
        if param.param_type_name == "option":
            start = re.compile(rf"  (-\w, )?{param.opts[0]}\b(?!-)")
            where = [title for title, lines in sections(page).items() for line in lines if start.match(line)]
            assert where == [panel_of(param)], param.opts


def test_what_people_need_first_of_a_scan_comes_first(aumclean):
    first = sections(aumclean("scan", "-h").out)["Options"]
    found = [match[1] for line in first if (match := re.match(r"  (?:-\w, |--flip / )?--([a-z-]+)", line))]
    assert found == FIRST
    assert len(found) == 10


@pytest.mark.parametrize("group", [[], ["frequency"], ["random-labels"]], ids=str)
def test_a_group_says_of_each_command_what_it_does_in_a_whole_sentence(aumclean, group):
    page = aumclean(*group, "--help").out
    assert "..." not in page.split("Commands:")[1]
    assert max(map(len, page.splitlines())) <= 80


def test_every_required_option_has_a_value_to_begin_with(aumclean):
    for words, command in commands():
        for param in command.params:
            if param.required:
                assert re.search(r"such as \S", param.help), (words, param.name)
    done = aumclean("frequency", "split", "photos")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("aumclean: error: --radius: is needed, such as --radius 8 (see aumclean frequency split")


def test_a_parameter_that_is_a_dataclass_stands_for_its_fields():
    @dataclass(frozen=True, kw_only=True)
    class Paint(Options):
        colour: Annotated[str | None, option("Colour.", panel="How to paint")] = None
        coats: Annotated[int | None, option("Coats.", panel="How to paint")] = None

    seen = {}

    def paint(wall: Annotated[str, typer.Argument()], how: Paint, dry: bool = False) -> None:
        seen.update(wall=wall, how=how, dry=dry)

    painter = typer.Typer()
    painter.command()(with_options(paint, first=("coats",)))
    command = get_command(painter)
    command.main(["north", "--coats", "2"], standalone_mode=False)
    assert seen == {"wall": "north", "how": Paint(coats=2), "dry": False}
    assert seen["how"].given() == {"coats": 2}
    panels = {param.name: panel_of(param) for param in command.params}
    assert (panels["colour"], panels["coats"], panels["quiet"]) == ("How to paint", "Options", ALWAYS)


def test_commands_are_told_alike_what_they_share():
    told = {}
    for _, command in commands():
        for param in command.params:
            if param.name in {"path_column", "root", "class_folder", "device", "precision", "overwrite", "combine"}:
                told.setdefault(param.name, set()).add(param.help)
    told["root"].discard(
        "Folder that paths in --truth are relative to. [default: its own]"
    )  # of the truth, not of DATA
    told["path_column"].discard("Column of --truth with the paths.")
    assert {name: len(texts) for name, texts in told.items() if len(texts) > 1} == {}
