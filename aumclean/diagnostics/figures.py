"""Figures as data, drawn by Matplotlib: lines in panels; and pictures, which are pixels already."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from aumclean.files.records import Record

COLOURS = ("#2f6f8f", "#b4451f", "#b97a00", "#4b7f52", "#7a5195", "#5a6670", "#c2588b", "#1b9e9e")
PANEL_WIDTH, PANEL_HEIGHT = 4.4, 3.2  # inches
LETTERS, LEGEND_LINE = 15, 0.17  # of a legend: letters in an inch, and inches that a further line takes
STRIPS_WIDTH, STRIPS_SIDE = 1120, 72  # pixels: of a sheet of strips, and the least of an image in it
STRIPS_GAP, HEAD = 14, 22  # between strips, and above them


@dataclass(frozen=True)
class Line:
    """A curve, or points when there is one of them.

    Attributes:
        label: in the legend.
        x, y: numbers; a y of None or not finite leaves a gap.
        low, high: of a band around it, such as the least and the greatest over seeds.
        dashed: to tell two kinds of lines apart.
        points: only the points, where nothing between them has a meaning.
        colour: index of a colour; by default the next one.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    dashed: bool = False
    points: bool = False
    colour: int | None = None

    @staticmethod
    def over_seeds(label: str, seeds: Sequence[Sequence[Record]], y: str, *, x: str = "epoch", **style: Any) -> "Line":
        """The mean over seeds, with a band from the least to the greatest when there are several.

        Args:
            label: in the legend.
            seeds: per seed the same rows in the same order.
            y, x: their columns.
            style: further fields.
        """
        values = np.array([[getattr(row, y) for row in rows] for rows in seeds], float)
        band = {"low": values.min(0).tolist(), "high": values.max(0).tolist()} if len(values) > 1 else {}
        return Line(label, [getattr(row, x) for row in seeds[0]], values.mean(0).tolist(), **band, **style)


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: above it.
        x, y: what the axes show.
        lines: drawn in order.
        y_range: limits of y; by default as the lines need it.
        log: which axes are logarithmic.
        level: a dotted horizontal line, such as chance.
        ticks: names of the places 0, 1, 2 and so on of x, where x is no number.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    y_range: tuple[float, float] | None = (0.0, 1.0)
    log: Literal["", "x", "y", "xy"] = ""
    level: float | None = None
    ticks: Sequence[str] | None = None


@dataclass(frozen=True)
class Figure:
    """Panels side by side, at most three in a row, four in two rows; `caption` says in words what they show."""

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Picture:
    """Pixels, uint8 [height, width, 3]; `caption` says in words what they show."""

    name: str
    title: str
    caption: str
    pixels: np.ndarray


def draw_each(figure: Figure) -> list[bytes]:
    """Each panel as an SVG of its own, for a page that has room for more or for fewer of them in a row."""
    return [draw(replace(figure, panels=[panel]), "svg") for panel in figure.panels]


def draw(figure: Figure, suffix: Literal["svg", "png"], *, wide: bool = False) -> bytes:
    """The figure as a file; the same data give the same bytes; `wide` gives a lone panel the room of two."""
    import matplotlib as mpl  # takes half a second, and not every diagnostic draws
    from matplotlib.figure import Figure as Canvas

    columns = 2 if len(figure.panels) == 4 else min(3, len(figure.panels))
    rows = -(-len(figure.panels) // columns)
    style: dict[Any, Any] = {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
        "svg.hashsalt": figure.name, "axes.titlesize": 10, "legend.frameon": False, "legend.fontsize": 8,
        "legend.handlelength": 3.5,  # so long that a dashed line shows as one
        "text.parse_math": False,  # class names may hold dollar signs
    }  # fmt: skip
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name in another script; tables have it too
        width = PANEL_WIDTH * (2 if wide else columns)
        canvas = Canvas(figsize=(width, PANEL_HEIGHT * rows), layout="constrained")
        axes = np.atleast_1d(np.asarray(canvas.subplots(rows, columns))).ravel()
        for axis, panel in zip(axes, figure.panels, strict=False):
            _draw_panel(axis, panel)
        for axis in axes[len(figure.panels) :]:
            axis.remove()
        shown = axes[: len(figure.panels)]
        handles, labels = shown[0].get_legend_handles_labels()
        if labels and all(axis.get_legend_handles_labels()[1] == labels for axis in shown):
            fit = max(1, int(LETTERS * width / (max(map(len, labels)) + 8)))  # beside the lines, never over them
            canvas.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), fit))
            canvas.set_figheight(PANEL_HEIGHT * rows + LEGEND_LINE * (-(-len(labels) // fit) - 1))
        else:
            for axis in (axis for axis in shown if axis.get_legend_handles_labels()[1]):
                axis.legend()
        sink = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if suffix == "svg" else {"Software": None}
        canvas.savefig(sink, format=suffix, dpi=150, metadata=metadata, transparent=suffix == "svg")  # fits any theme
    return sink.getvalue()


def _draw_panel(axis: Any, panel: Panel) -> None:
    for number, line in enumerate(panel.lines):
        colour = COLOURS[(number if line.colour is None else line.colour) % len(COLOURS)]
        y = np.array(line.y, float)
        marker = "o" if line.points or len(line.x) < 12 else None
        stroke = "none" if line.points else "--" if line.dashed else "-"
        axis.plot(line.x, y, color=colour, ls=stroke, lw=1.5, marker=marker, ms=3.5,
                  label=line.label)  # fmt: skip
        if line.low is not None and line.high is not None:
            axis.fill_between(line.x, np.array(line.low, float), np.array(line.high, float), color=colour, alpha=0.15,
                              lw=0)  # fmt: skip
    if not any(np.isfinite(np.array(line.y, float)).any() for line in panel.lines):
        axis.text(0.5, 0.5, "no value was reached", transform=axis.transAxes, ha="center", color="#5a6670")
        axis.set(title=panel.title, xticks=[], yticks=[])
        return
    if panel.level is not None:
        axis.axhline(panel.level, color="#5a6670", lw=0.8, ls=":")
    if panel.y_range is not None:
        axis.set_ylim(*panel.y_range)
    for name, line_of in (("x", axis.xaxis), ("y", axis.yaxis)):
        if name in panel.log:
            axis.set(**{f"{name}scale": "log"})
            line_of.set_major_formatter("{x:g}")  # the usual one writes powers as mathematics, which is off
            line_of.set_minor_formatter("")
    if "x" not in panel.log and all(float(x).is_integer() for line in panel.lines for x in line.x):
        axis.xaxis.get_major_locator().set_params(integer=True)  # there is no half an epoch
    if panel.ticks is not None:
        axis.set_xticks(range(len(panel.ticks)), [name[:20] for name in panel.ticks], rotation=60, ha="right")
    axis.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)


def to_png(pixels: np.ndarray) -> bytes:
    """uint8 [height, width, 3] as PNG."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def enlarged(pixels: np.ndarray, least: int) -> np.ndarray:
    """Every pixel as a square, so that the shorter side is at least `least`.

    Args:
        pixels: uint8 [height, width, 3].
        least: in pixels.
    """
    factor = -(-least // min(pixels.shape[:2]))
    return pixels.repeat(factor, 0).repeat(factor, 1)


def sheet(rows: Sequence[Sequence[np.ndarray]], *, gap: int = 2) -> np.ndarray:
    """A contact sheet of equally large uint8 images [height, width, 3], white between them.

    Args:
        rows: of images, all rows of the same length.
        gap: in pixels.
    """
    height, width, _ = rows[0][0].shape
    page = np.full((len(rows) * (height + gap) + gap, len(rows[0]) * (width + gap) + gap, 3), 255, np.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            top, left = gap + row * (height + gap), gap + column * (width + gap)
            page[top : top + height, left : left + width] = image
    return page


def strips(shown: Sequence[Sequence[np.ndarray]], heads: Sequence[str]) -> np.ndarray:
    """Pictures that belong together side by side, each below the head of its column, as many as a page is wide.

    Args:
        shown: per strip as many uint8 images [height, width, 3] as there are heads, all of one size.
        heads: what each picture of a strip is, in a word.
    """
    larger = [[enlarged(image, STRIPS_SIDE) for image in strip] for strip in shown]
    width = larger[0][0].shape[1]
    across = max(1, min(len(larger), STRIPS_WIDTH // (len(heads) * (width + 2) + STRIPS_GAP)))
    block = [sheet([strip]) for strip in larger]
    high, wide = block[0].shape[0], block[0].shape[1] + STRIPS_GAP
    page = np.full((HEAD + -(-len(block) // across) * high, across * wide - STRIPS_GAP, 3), 255, np.uint8)
    for number, pixels in enumerate(block):
        top, left = HEAD + number // across * high, number % across * wide
        page[top : top + high, left : left + pixels.shape[1]] = pixels
    written = Image.fromarray(page)
    pen, font = ImageDraw.Draw(written), ImageFont.load_default(13)
    for column in range(across):
        for place, head in enumerate(heads):
            middle = column * wide + 2 + place * (width + 2) + width / 2
            pen.text((middle, HEAD / 2), head, fill="#1c2227", font=font, anchor="mm")
    return np.asarray(written)
