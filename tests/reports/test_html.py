import base64
import hashlib
import html as standard_html
import json
import re
import shutil
from dataclasses import asdict, replace
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pyarrow as pa
import pytest

from aumclean.errors import printable
from aumclean.reports import html
from aumclean.reports.html import charts, page, words
from aumclean.run.directory import Run
from aumclean.verdict.judge import judge
from aumclean.verdict.summary import Histogram, PairFlags

VOID = {"meta", "img", "input", "br"}


class Outline(HTMLParser):
    """The elements of a page in order with the names of their attributes, and its texts; no browser's guesses."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.attributes, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, *sorted(name for name, _ in attributes)))
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, *sorted(name for name, _ in attributes)))
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def text(finished):
    return html.render(finished.verdict)


@pytest.fixture(scope="module")
def hostile_text(hostile):
    return html.render(judge(hostile))


def test_the_page_loads_nothing_and_runs_nothing_but_its_own(text):
    outline = Outline(text)
    assert outline.open == []
    for tag, name, value in outline.attributes:
        assert not name.startswith("on") and name not in {"style", "srcset", "action"}
        if name == "src":
            assert value.startswith("data:image/jpeg;base64,")
        if name == "href":
            assert value.startswith("#")
        assert tag not in {"link", "iframe", "object", "embed", "base"}
    assert "http" not in re.sub(r"<meta http-equiv", "", text)


def test_the_policy_names_exactly_the_style_and_the_script_of_the_page(text):
    (policy,) = [v for _, n, v in Outline(text).attributes if n == "content" and v.startswith("default-src")]
    blocks = re.findall(r"<style>(.*?)</style>", text, re.DOTALL) + re.findall(
        r"<script>(.*?)</script>", text, re.DOTALL
    )
    style, script = ("'sha256-" + base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() + "'" for b in blocks)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {style}; script-src {script}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_every_picture_has_words_and_every_id_is_there_once(text):
    outline = Outline(text)
    images = [element for element in outline.elements if element[0] == "img"]
    assert len(images) > 10 and all("alt" in image for image in images)
    drawings = [element for element in outline.elements if element[0] == "svg"]
    assert all({"aria-label", "role"} <= set(drawing) for drawing in drawings)
    ids = [value for _, name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in outline.attributes:
        if name == "aria-labelledby" or (name == "href" and value.startswith("#")):
            assert value.removeprefix("#") in ids


def test_hostile_names_add_no_element_and_no_attribute(hostile_text, plain):
    hostile_page, plain_page = Outline(hostile_text), Outline(html.render(judge(plain)))
    assert hostile_page.elements == plain_page.elements
    assert len(hostile_page.texts) == len(plain_page.texts)


def test_hostile_names_are_shown_as_they_are(hostile_text, hostile):
    texts = Outline(hostile_text).texts
    for name in hostile.read().data.class_names:
        assert printable(name) in texts
    assert "\u202e" not in standard_html.unescape(hostile_text)
    assert any("{{ 7 * 7 }}" in text for text in texts)


def test_every_suspect_is_in_the_plain_table_with_its_figures(finished, text):
    outline = Outline(text)
    rows = finished.verdict.report.filter(finished.verdict.report["flagged"]).to_pylist()
    assert [f"sample-{row['sample_id']}" for row in rows] == [
        value for tag, name, value in outline.attributes if tag == "tr" and name == "id"
    ]
    for row in rows:
        assert row["path"] in outline.texts
        for draw in (0, 1):
            if row[f"aum_draw_{draw}"] is not None:
                assert f"{row[f'aum_draw_{draw}']:.2f}".replace("-", "\N{MINUS SIGN}") in outline.texts


def test_the_first_screen_says_how_much_and_how_sure(finished, text):
    texts, summary = Outline(text).texts, finished.verdict.summary
    rate, expected = summary.noise_rate, round(summary.flagged * summary.flags["precision"].estimate)
    assert f"{summary.flagged} of 360 labels look wrong; expected: {expected} of them are." in texts
    assert "<title>photos</title>" in text
    assert f"aumclean review {finished.run.path}" in texts
    assert f"{summary.flagged:,}" in texts
    assert f"{100 * rate.estimate:.1f}%" in texts
    assert f"95% interval {100 * rate.low:.1f}% to {100 * rate.high:.1f}%" in texts
    for warning in summary.warnings:
        assert warning.message in texts


def test_the_twelve_worst_come_first_and_a_scan_without_suspects_says_so(finished, text):
    first = text[text.index('<ul class="worst"') : text.index('<dl class="figures"')]
    rows = finished.verdict.report.slice(0, 12).to_pylist()
    assert re.findall(r'href="#sample-(\d+)"', first) == [str(row["sample_id"]) for row in rows]
    assert re.findall(r"<b>(\w+)</b>", first) == [row["label"] for row in rows]
    none = np.zeros(360, bool)
    report = finished.verdict.report
    report = report.set_column(report.column_names.index("flagged"), "flagged", [none])
    summary = finished.verdict.summary.model_copy(
        update={"flagged": 0, "flagged_share": 0.0, "flags": {}, "per_pair": []}
    )
    texts = Outline(html.render(replace(finished.verdict, report=report, summary=summary))).texts
    assert "None of 360 labels looks wrong." in texts
    assert "No suspect looks like another class." in texts


def test_pairs_show_their_worst_and_what_both_classes_usually_look_like(finished):
    first = page.pairs(finished.verdict)[0]
    worst = finished.verdict.summary.per_pair[0]
    assert (first.label, first.suggested_label, first.flagged) == (worst.label, worst.suggested_label, worst.flagged)
    assert {(row["label"], row["suggested_label"]) for row in first.suspects} == {(first.label, first.suggested_label)}
    label_of = dict(zip(*(finished.verdict.report[name].to_pylist() for name in ("sample_id", "label")), strict=True))
    assert {label_of[sample] for sample in first.of_label} == {first.label}
    assert {label_of[sample] for sample in first.of_suggested} == {first.suggested_label}


def test_conflicts_unreadable_files_settings_and_the_command_are_there(plain):
    texts = Outline(html.render(judge(plain))).texts
    assert "aumclean scan blue" in texts
    assert "The same image under different labels" in texts
    assert "broken (amber)" in texts
    for name, value in asdict(plain.read().recipe).items():
        assert texts[texts.index(name.replace("_", " ")) + 1] == str(value)


def test_only_the_most_suspect_are_shown_when_asked_and_the_page_says_so(finished):
    text = html.render(finished.verdict, top=3)
    ids = re.findall(r'<tr role="row" id="sample-(\d+)"', text)
    assert ids == [str(number) for number in finished.verdict.report["sample_id"].to_pylist()[:3]]
    assert f"The 3 most suspect of {finished.verdict.summary.flagged}" in text


def test_a_run_without_suspects_has_a_page(finished):
    verdict = judge(finished.run)
    report = verdict.report.filter(np.zeros(len(verdict.report), bool))
    summary = verdict.summary.model_copy(update={"flagged": 0, "per_pair": []})
    text = html.render(type(verdict)(report, summary, verdict.settings, verdict.run))
    assert "No image is flagged." in text


def test_images_that_are_gone_leave_a_note_not_a_hole(finished, tmp_path):
    run = Run(shutil.copytree(finished.run.path, tmp_path / "run"))
    record = json.loads(run.run_json.read_text())
    for data in ({"root": str(tmp_path)}, {"image_column": "image", "source": str(tmp_path / "gone.parquet")}):
        run.run_json.write_text(json.dumps({**record, "data": {**record["data"], **data}}))
        text = html.render(judge(run))
        assert "data:image/jpeg" not in text
        assert text.count("no picture: the file is gone") == judge(run).summary.flagged


@pytest.mark.parametrize("name", ["page.html", "page.css", "page.js"])
def test_the_parts_of_the_page_are_in_the_package_and_plain_ascii(name):
    assert resources.files("aumclean.reports.html").joinpath(name).read_text(encoding="ascii")


def test_curves_share_a_scale_so_that_the_threshold_is_one_line():
    margins = np.array([[-1, 0, 1], [1, 1, 1]], np.float32)
    assert charts.curves(margins, 0.0) == (["M0 39L50 21 100 3", "M0 3L50 3 100 3"], 21)


def test_curves_of_many_epochs_are_thinned_and_of_one_are_a_line():
    (path,), _ = charts.curves(np.zeros((1, 150), np.float32), 0.0)
    assert len(path.split()) == 2 * charts.CURVE_POINTS - 1
    assert path.startswith("M0 20L2 20") and path.endswith("100 20")
    assert charts.curves(np.zeros((1, 1), np.float32), 0.0) == (["M0 20L100 20"], 20)
    assert charts.curves(np.zeros((0, 3), np.float32), 1.0)[0] == []


def test_histograms_are_scaled_each_to_its_own_total():
    counted = Histogram(low=0.0, high=4.0, samples=[2, 2], indicator_samples=[4, 0])
    assert charts.histogram(counted, 1.0) == {
        "samples": "M0 160V83.2H300V83.2H600V160Z",
        "indicator_samples": "M0 160V6.4H300V160H600V160Z",
        "threshold": 150.0,
        "ticks": [0.0, 1.0, 2.0, 3.0, 4.0],
    }


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(-7.04, 5.62, [-10.0, -5.0, 0.0, 5.0, 10.0]), (-3.2, 2.1, [-4.0, -2.0, 0.0, 2.0, 4.0]), (0.01, 0.02, None)],
)
def test_histograms_stand_on_round_numbers(low, high, ticks):
    counted = Histogram(low=low, high=high, samples=[1, 2, 3], indicator_samples=[0, 1, 0])
    drawn = charts.histogram(counted, low)
    assert drawn["ticks"][0] <= low and high <= drawn["ticks"][-1]
    assert ticks is None or drawn["ticks"] == ticks
    assert drawn["samples"].startswith(f"M{drawn['threshold']:g} 160")


def test_the_heat_map_keeps_the_classes_with_the_most_confusions(finished, monkeypatch):
    pairs = [
        PairFlags(label="a", suggested_label="c", flagged=5),
        PairFlags(label="c", suggested_label="a", flagged=2),
        PairFlags(label="b", suggested_label="a", flagged=1),
    ]
    verdict = type(finished.verdict)(None, finished.verdict.summary.model_copy(update={"per_pair": pairs}), None, None)
    assert page.heat_map(verdict) == page.HeatMap(["a", "b", "c"], [[0, 0, 5], [1, 0, 0], [2, 0, 0]], 0)
    monkeypatch.setattr(page, "MOST_CLASSES", 2)
    assert page.heat_map(verdict) == page.HeatMap(["a", "c"], [[0, 5], [2, 0]], 1)


@pytest.mark.slow
def test_a_thousand_suspects_stay_under_ten_megabytes(make_large):
    text = html.render(judge(make_large(1400, 1200, 200)))
    assert text.count("data:image/jpeg") >= 1000
    assert len(text) < 10e6


def test_of_one_image_the_page_speaks_in_the_singular(finished):
    report = finished.verdict.report
    for copies, said in ((1, "1 image is a copy of another"), (2, "2 images are copies of another")):
        column = pa.array(["x"] * copies + [None] * (len(report) - copies))
        report = report.set_column(report.column_names.index("duplicate_of"), "duplicate_of", column)
        assert words.repeated(replace(finished.verdict, report=report))[0] == f"{said}, byte for byte."
