"""Options that several commands share, each described once.

They come in groups, the dataclasses below: a command with a parameter of such a class has all its options. A command
that adds options of its own to a group derives its own class from it.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import typer
from typer.models import OptionInfo

from aumclean import __version__
from aumclean.cli.console import Interrupted, set_up
from aumclean.cli.help import ALWAYS, COMPUTE, JUDGE, READ, WRITE


def option(help: str, *names: str, panel: str | None = None, **more: Any) -> Any:
    """An option that is left to the preset, the file or the machine when it is not given."""
    return typer.Option(*names, help=help, show_default=False, rich_help_panel=panel, **more)


Data = Annotated[Path, typer.Argument(help="Image folder or manifest, such as photos/.", show_default=False)]
FinishedRun = Annotated[
    Path, typer.Argument(help="Run directory of a finished scan, such as runs/photos-1.", show_default=False)
]
MovedData = Annotated[Path | None, option("Where DATA is now. [default: where it was scanned]", "--data", panel=READ)]
Limit = Annotated[
    int | None,
    option(
        "Use at most this many images, evenly spaced. [default: all; for a diagnostic by preset]", panel=READ, min=1
    ),
]
Workers = Annotated[int | None, option("Decoding processes. [default: all processors]", panel=COMPUTE, min=1)]
CacheDir = Annotated[Path | None, option("Folder of decoded images. [default: the system's]", panel=COMPUTE)]


class Options:
    """A group of options, which help shows in the panel of the class that adds them."""

    panel: ClassVar[str | None] = None

    def __init_subclass__(cls, panel: str | None = None) -> None:
        """Set the panel of what this class adds."""
        if panel is not None:
            cls.panel = panel
        for kind in map(get_args, inspect.get_annotations(cls).values()):
            for info in kind[1:]:
                if isinstance(info, OptionInfo) and info.rich_help_panel is None:
                    info.rich_help_panel = cls.panel

    def given(self) -> dict[str, Any]:
        """Those that were given, by name: the others are left to the library, or to the configuration."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Reading(Options, panel=READ):
    """How DATA is read."""

    source: Annotated[
        Literal["folder", "manifest"] | None,
        option("Where labels come from if a folder has both class folders and a metadata file."),
    ] = None
    path_column: Annotated[str | None, option("Manifest column with the paths or the images.")] = None
    label_column: Annotated[str | None, option("Manifest column with the labels.")] = None
    root: Annotated[
        Path | None, option("Folder that the paths in a manifest are relative to. [default: the manifest's]")
    ] = None
    split: Annotated[str | None, option("Split to read. [default: train, where there are splits]")] = None
    class_folder: Annotated[Literal["first", "last"] | None, option("Which of nested folders names the class.")] = None
    value_range: Annotated[
        str | None,
        option(
            "Values of black and white in images of more than 8 bits. [default: the range that the data use]",
            metavar="<LOW,HIGH>",
        ),
    ] = None
    max_pixels: Annotated[int | None, option("Refuse images with more pixels. [default: 89 million]", min=1)] = None

    def given(self) -> dict[str, Any]:
        """Those that were given; the range as two numbers."""
        found = super().given()
        if self.value_range is not None:
            from aumclean.config import scan
            from aumclean.config.reading import checked

            found["value_range"] = checked(scan.Reading, value_range=self.value_range).value_range
        return found


@dataclass(frozen=True, kw_only=True)
class LimitedReading(Reading):
    """How DATA is read, and how much of it."""

    limit: Limit = None


@dataclass(frozen=True, kw_only=True)
class OnDevice(Options, panel=COMPUTE):
    """Which processor computes."""

    device: Annotated[Literal["auto", "cpu", "cuda", "mps"] | None, option("Where to compute. [default: auto]")] = None


@dataclass(frozen=True, kw_only=True)
class Caching(Options, panel=COMPUTE):
    """Where decoded images are kept, and whether these are trusted."""

    cache_dir: CacheDir = None
    verify: Annotated[
        bool | None,
        option(
            "Read every image again, whatever the cache holds, and say how many have changed.", "--verify", panel=READ
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Computing(OnDevice, Caching):
    """Where and how exactly a training computes."""

    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        option("Number format; auto is bf16 where that is fast. [default: auto]"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Judging(Options, panel=JUDGE):
    """How margins become a verdict."""

    threshold: Annotated[
        Literal["indicator", "estimate"] | None,
        option(
            "indicator: rank by AUM, cut at the indicator samples' percentile; estimate: by the probability that "
            "the label is wrong, flagged above one half. [default: by preset]",
        ),
    ] = None
    target_precision: Annotated[
        float | None,
        option("Flag as many images as possible while this share of them, 0 to 1, is expected to be mislabeled."),
    ] = None
    target_recall: Annotated[
        float | None,
        option(
            "Flag as few images as possible while they are expected to hold this share, 0 to 1, of the wrong labels."
        ),
    ] = None
    percentile: Annotated[
        float | None, option("Percentile of the indicator samples' AUMs to cut at. [default: by preset]")
    ] = None
    combine: Annotated[
        Literal["all", "any", "mean"] | None,
        option("How draws are combined. [default: by preset]"),
    ] = None
    first_epoch: Annotated[int | None, option("First epoch that is averaged, from 0. [default: by preset]")] = None


@dataclass(frozen=True, kw_only=True)
class Writing(Options, panel=WRITE):
    """The directory that a command makes."""

    out: Annotated[Path | None, option("Directory to write. [default: a new one in runs/]", "--out", "-o")] = None
    overwrite: Annotated[bool | None, option("Replace what --out holds.", "--overwrite")] = None


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"aumclean {__version__}")
        raise typer.Exit


@dataclass(frozen=True, kw_only=True)
class Always:
    """What every command can be told, before its name or after."""

    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only warnings and errors.", rich_help_panel=ALWAYS)
    ] = False
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Show loss and accuracy of every epoch too.", rich_help_panel=ALWAYS),
    ] = False
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="AUMCLEAN_DEBUG",
            help="Show a traceback when something fails.",
            rich_help_panel=ALWAYS,
        ),
    ] = False
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and stop.",
            rich_help_panel=ALWAYS,
        ),
    ] = False


def with_options(
    command: Callable[..., None], *, first: tuple[str, ...] = (), root: bool = False
) -> Callable[..., None]:
    """A command as Typer takes it: groups of options spread out, and the options of every command added.

    Args:
        command: a function; a parameter that is a dataclass stands for the options that are its fields.
        first: names of the options that people need first: they come before all panels.
        root: whether these are the options before a command's name.
    """
    own = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in own.items() if is_dataclass(one.annotation)}
    spread = [
        each
        for name, one in own.items()
        for each in (inspect.signature(groups[name], eval_str=True).parameters.values() if name in groups else [one])
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        always = Always(**{field.name: given.pop(field.name) for field in fields(Always)})
        if root or always.quiet or always.verbose or always.debug:
            set_up(quiet=always.quiet, verbose=always.verbose, debug=always.debug)
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        try:
            command(**given)
        except KeyboardInterrupt as stopped:  # Typer would end without a word
            raise Interrupted(*stopped.args) from None

    front = [_without_panel(one) for name in first for one in spread if one.name == name]
    rest = [one for one in spread if one.name not in first]
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in (*front, *rest, *inspect.signature(Always, eval_str=True).parameters.values())
    ]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapped


def _without_panel(parameter: inspect.Parameter) -> inspect.Parameter:
    kind, info = get_args(parameter.annotation)
    info = copy.copy(info)
    info.rich_help_panel = None
    return parameter.replace(annotation=Annotated[kind, info])
