import csv
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pydantic import Field

from aumclean.diagnostics.figures import Figure, Line, Panel, Picture, draw, enlarged, sheet, strips
from aumclean.diagnostics.report import Report, Table, setting, shown
from aumclean.diagnostics.rows import Averaged, over_seeds
from aumclean.diagnostics.store import opened
from aumclean.diagnostics.write import write
from aumclean.files.records import Record

NASTY = "<script>alert(1)</script>"


class Row(Averaged):
    """A row of a table."""

    label: str = Field(description="Its class.")
    radius: float = Field(description="Where the bands part.")
    accuracy: float | None
    gap: float | None
    right: bool


@pytest.fixture(scope="module")
def report():
    rows = [
        Row(label=NASTY, radius=4, accuracy=0.5, gap=None, right=True),
        Row(label="=1+1", radius=8, accuracy=0.25, gap=0.5, right=False),
    ]
    line = Line.over_seeds(
        "$low$",
        [[Record(epoch=1 + n, y=y) for n, y in enumerate(ys)] for ys in ([0.1, 0.2, None], [0.3, 0.4, 0.5])],
        "y",
    )
    panels = [Panel("one", "epoch", "accuracy", [line], level=0.1), Panel("two", "x", "y", [line], None, "xy")]
    return Report(
        title=f"Bands of {NASTY}",
        lead="What was asked.",
        said=["It shows this.", NASTY],
        tables=[Table("shares", "Accuracy", rows, note="Read it so."), Table("empty", "Nothing", [], kind=Row)],
        figures=[Figure("curves", "Curves", "In words.", panels)],
        pictures=[Picture("sheet", "Sheet", "Pixels.", np.zeros((4, 6, 3), np.uint8))],
        settings={"seeds": (0, 1)},
        facts={"count": 3},
    )


@pytest.fixture(scope="module")
def written(report, tmp_path_factory):
    with opened(tmp_path_factory.mktemp("written"), "x", {"kind": "frequency test"}) as store:
        write(store, report)
    return store


def test_every_form_holds_the_same_table(written):
    record = json.loads(written.record.read_text())
    assert record["state"] == "done" and record["facts"] == {"count": 3}
    assert record["tables"]["shares"] == [
        {"label": NASTY, "radius": 4, "accuracy": 0.5, "gap": None, "right": True},
        {"label": "=1+1", "radius": 8, "accuracy": 0.25, "gap": 0.5, "right": False},
    ]
    with written.table("shares").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [NASTY, "'=1+1"]
    assert [row["accuracy"] for row in rows] == ["0.5", "0.25"]
    with written.table("empty").open(newline="") as file:
        assert list(csv.reader(file)) == [["label", "radius", "accuracy", "gap", "right"]]
    assert set(record["files"]) == {
        "shares.csv", "empty.csv", "curves.svg", "curves.png", "sheet.png", "page.html",
    }  # fmt: skip
    for name in record["files"]:
        assert (written.path / name).is_file()


def test_the_page_escapes_names_loads_nothing_and_shows_every_figure(written):
    text = written.page.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert policy.startswith("default-src &#39;none&#39;; img-src data:;") and "script-src" not in policy
    assert not re.search(r"""(src|srcset|href)=["'](?!data:)""", text)
    assert text.count("<img ") == 3  # two panels and a picture
    assert "Read it so." in text and "No rows." in text
    assert "<dt>radius</dt><dd>Where the bands part.</dd>" in text


def test_figures_are_whole_files_and_the_same_each_time(report):
    figure = report.figures[0]
    svg = draw(figure, "svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg == draw(figure, "svg")
    assert draw(figure, "png").startswith(b"\x89PNG")


def test_a_picture_is_stored_pixel_by_pixel(written):
    with Image.open(written.figure("sheet", "png")) as image:
        assert image.size == (6, 4)


def test_contact_sheets_keep_their_images_whole():
    images = [[np.full((2, 3, 3), 10 * row + column, np.uint8) for column in range(2)] for row in range(3)]
    page = sheet(images, gap=1)
    assert page.shape == (3 * 3 + 1, 2 * 4 + 1, 3)
    assert (page[4:6, 5:8] == 11).all() and (page[0] == 255).all()
    assert enlarged(page, 20).shape == (30, 27, 3)


@pytest.mark.parametrize(("number", "rows", "across"), [(1, 1, 1), (5, 2, 4), (8, 2, 4)])
def test_strips_fill_the_page_below_their_heads(number, rows, across):
    strip = [np.full((72, 72, 3), value, np.uint8) for value in (10, 20, 30)]
    page = strips([strip] * number, ("original", "low-pass", "high-pass"))
    assert page.shape[1] <= 1120 and page.shape[0] == 22 + rows * 76
    assert [(page == value).all(2).sum() for value in (10, 20, 30)] == [number * 72 * 72] * 3
    assert (page[:22] < 128).any(), "no heads"
    assert (page[30, :, 0] == 30).sum() == 72 * across


def test_a_lone_chart_is_drawn_for_wide_and_for_narrow_screens(report, tmp_path):
    (figure,) = report.figures
    report = replace(report, figures=[replace(figure, panels=figure.panels[:1])])
    with opened(tmp_path, "x", {"kind": "frequency test"}) as store:
        write(store, report)
    text = store.page.read_text()
    assert len(re.findall(r'(srcset|src)="data:image/svg', text)) == 2


def test_over_seeds_takes_the_mean_and_the_range():
    one, other = (
        [Row(label="a", radius=4, accuracy=share, gap=gap, right=True)] for share, gap in ((0.2, None), (0.4, 1.0))
    )
    assert over_seeds([one], ["label", "radius", "right"]) == one
    (merged,) = over_seeds([one, other], ["label", "radius", "right"])
    of, means = {"label": "a", "radius": 4, "right": True}, {"accuracy": 0.3, "gap": 1}
    ranges = {"accuracy_low": 0.2, "accuracy_high": 0.4, "gap_low": 1, "gap_high": 1}
    assert merged.model_dump() == pytest.approx({**of, **means, **ranges})


def test_cells_are_short():
    cells = [None, True, 12345, 0.12345, 0.0, 1e-5, 123456.0, 1571.333, np.float64(2), "x"]
    assert [shown(cell) for cell in cells] == [
        "-", "yes", "12,345", "0.123", "0.000", "1.00e-05", "123,456.0", "1,571.3", "2.000", "x",
    ]  # fmt: skip


def test_settings_are_short_and_exact():
    found = [setting(value) for value in (0.0005, 0.95, 5000, True, (0, 1), (), "resnet9", None)]
    assert found == ["0.0005", "0.95", "5,000", "yes", "0, 1", "-", "resnet9", "-"]


def test_the_numbers_of_a_column_have_one_format():
    columns = {"n": (5, 12345), "share": (0.5, 1), "loss": (0.25, 1e-6), "energy": (12.5, 4000.0)}
    rows = [Record(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]
    assert list(Table("t", "T", rows).cells()) == [
        ["5", "0.500", "0.250", "12.5"],
        ["12,345", "1.000", "<0.001", "4,000.0"],
    ]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_every_screen_and_breaks_no_rule_of_access(written, browser, axe, width):
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(written.page.resolve().as_uri())
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    one, two = (image.bounding_box() for image in page.locator(".chart img").all())
    assert (one["y"] == two["y"]) == (width == 1280), "side by side where there is room"
    assert axe(page) == []
    context.close()


def test_a_chart_of_what_was_never_reached_says_so(report):
    (figure,) = report.figures
    empty = replace(figure, panels=[Panel("steps", "share", "steps", [Line("network", [0, 1], [None, None])])])
    assert b"no value was reached" in draw_in_words(empty)


def test_a_class_whose_script_no_font_has_is_drawn_without_a_warning():
    panel = Panel("classes", "", "share", [Line("both", [0], [0.5], points=True)], ticks=["\u732b"])
    for suffix in ("svg", "png"):
        assert draw(Figure("classes", "Classes", "In words.", [panel]), suffix)


def draw_in_words(figure):
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        return draw(figure, "svg")
