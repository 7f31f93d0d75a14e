"""The page as a person meets it: mouse, keyboard, without scripts, on a small screen."""

from collections import Counter

import pytest

from aumclean.reports import html
from aumclean.verdict.judge import judge

SIZES = [{"width": 1280, "height": 900}, {"width": 390, "height": 844}]

OVERLAPS = """() => {
  const overlapping = [];
  for (const row of document.querySelectorAll("#gallery tbody tr")) row.style.contentVisibility = "visible";
  const parts = ".worst, .pair, .figures, nav, #filters, .ticks, .gallery tbody tr, .group";
  const groups = [...document.querySelectorAll(parts)]
    .filter((group) => group.checkVisibility());
  for (const group of groups) {
    const boxes = [...group.children].map((child) => child.getBoundingClientRect());
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        overlapping.push(group.className || group.id || group.tagName);
    }));
  }
  return overlapping;
}"""

CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const blend = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data]
      .map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const low = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.matches("noscript, script, :disabled, svg *")) continue;
    const grounds = [];
    for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const [a, b] = [blend(grounds), blend([...grounds, getComputedStyle(element).color])].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) low.push(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""


@pytest.fixture
def open_page(browser, tmp_path):
    """Open the page of a run; what the browser complains of or asks the network for fails the test at its end."""
    contexts, complaints = [], []

    def opened(run, *, top=1000, fragment="", viewport=SIZES[0], **options):
        file = tmp_path / "report.html"
        file.write_text(html.render(judge(run), top=top), encoding="utf-8")
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url))
        page.goto(f"file://{file}{fragment}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def visible_rows(page):
    return page.locator("#gallery tbody tr")


def test_filters_show_exactly_what_they_say(open_page, finished):
    rows = finished.verdict.report.filter(finished.verdict.report["flagged"]).to_pylist()
    page = open_page(finished.run)
    assert visible_rows(page).count() == len(rows)
    by_label = Counter(row["label"] for row in rows)
    for label, count in by_label.items():
        page.locator("#given").select_option(f"{label} ({count})")
        assert visible_rows(page).count() == count
        assert set(page.locator("#gallery .labels > b").all_text_contents()) == {label}
        assert page.locator("#status").text_content() == f"{count} of {len(rows)} suspects"
    page.locator("#reset").click()
    wanted = rows[-1]["path"]
    page.locator("#path").fill(wanted.upper())
    assert page.locator("#gallery tbody .path").all_text_contents() == [wanted]
    page.locator("#path").fill("")
    page.locator("#sort").select_option("path")
    assert page.locator("#gallery tbody .path").all_text_contents() == sorted(row["path"] for row in rows)


def test_a_cell_of_the_heat_map_leads_to_its_pair(open_page, finished):
    page = open_page(finished.run)
    for pair in finished.verdict.summary.per_pair:
        page.get_by_title(f"{pair.label}, looks like {pair.suggested_label}").click()
        assert visible_rows(page).count() == pair.flagged
        assert page.evaluate("document.activeElement.id") == "suspects"


def test_states_tell_conflicts_and_what_not_every_draw_flags(open_page, plain):
    rows = judge(plain).report.filter(judge(plain).report["flagged"]).to_pylist()
    page = open_page(plain)
    for state, expected in (
        ("conflict", [row for row in rows if row["conflict"]]),
        ("duplicate", [row for row in rows if row["duplicate_of"]]),
    ):
        page.locator("#state").select_option(state)
        assert visible_rows(page).count() == len(expected) > 0


def test_a_link_to_a_sample_leads_there_and_a_click_enlarges_it(open_page, finished):
    ids = finished.verdict.report["sample_id"].to_pylist()
    page = open_page(finished.run, fragment=f"#sample-{ids[20]}")
    row = page.locator(f"#sample-{ids[20]}")
    assert row.evaluate("row => row.classList.contains('target')")
    page.wait_for_function("row => Math.abs(row.getBoundingClientRect().top - 270) < 99", arg=row.element_handle())
    page.wait_for_function("row => row.querySelector('img').naturalWidth > 0", arg=row.element_handle())
    row.locator("a").click()
    detail = page.locator("#detail")
    assert detail.locator(".rank").text_content() == "21"
    assert detail.locator("img").evaluate("image => image.naturalWidth") > 0
    page.keyboard.press("ArrowRight")
    assert detail.locator(".rank").text_content() == "22"
    page.keyboard.press("Escape")
    assert not detail.is_visible()
    page.wait_for_function("hash => document.activeElement.hash === hash", arg=f"#sample-{ids[21]}")


def test_everything_can_be_reached_and_done_with_the_keyboard(open_page, finished):
    page = open_page(finished.run)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the suspects"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "given"
    page.keyboard.press("ArrowDown")
    label = page.locator("#given option").nth(1).text_content().partition(" (")[0]
    assert set(page.locator("#gallery .labels > b").all_text_contents()) == {label}
    for expected in ("suggested", "state", "path", "sort", "view", "reset"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == expected
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.locator("#detail").is_visible()


def test_pages_hold_500_and_a_link_finds_its_page(open_page, large):
    from playwright.sync_api import expect  # not installed everywhere

    rows = judge(large).report
    rows = rows.filter(rows["flagged"])
    page = open_page(large, top=1200)
    expect(visible_rows(page)).to_have_count(500)
    assert page.locator("#previous").is_disabled()
    for number in (2, 3):
        page.locator("#next").click()
        expect(page.locator("#page")).to_have_text(f"page {number} of 3")
        expect(visible_rows(page)).to_have_count(min(500, len(rows[:1200]) - 500 * (number - 1)))
    assert page.locator("#next").is_disabled()
    sample = rows["sample_id"].to_pylist()[990]
    page.evaluate(f"location.hash = 'sample-{sample}'")
    page.wait_for_function("document.getElementById('page').textContent === 'page 2 of 3'")
    assert page.locator(f"#sample-{sample}").is_visible()
    expect(visible_rows(page)).to_have_count(500)
    ranks = page.locator("#gallery tbody .rank").all_text_contents()
    assert ranks == [str(rank) for rank in rows["rank"].to_pylist()[500:1000]]


def test_without_scripts_the_page_is_a_plain_table_of_all(open_page, finished):
    page = open_page(finished.run, java_script_enabled=False)
    ids = finished.verdict.report.filter(finished.verdict.report["flagged"])["sample_id"].to_pylist()
    rows = page.locator("noscript .gallery tbody tr")
    assert rows.evaluate_all("rows => rows.map((row) => row.id)") == [f"sample-{number}" for number in ids]
    rows.nth(3).scroll_into_view_if_needed()
    assert rows.nth(3).is_visible()
    assert rows.nth(3).locator("img").evaluate("image => image.complete && image.naturalWidth > 0")
    assert not page.locator("#filters").is_visible()


def test_tiny_pictures_are_enlarged_with_their_pixels(open_page, finished):
    page = open_page(finished.run)  # of images with 12 pixels
    for place in (".worst", "#gallery", ".pair"):
        image = page.locator(f"{place} img").first
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.naturalWidth === 12", arg=image.element_handle())
        assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    assert page.locator("#gallery img").first.evaluate("image => image.clientWidth") == 96
    for frame in page.locator(".worst .frame").all():  # which also holds what is not tiny
        assert frame.evaluate("frame => frame.clientHeight") > 50


def test_what_is_folded_opens_for_a_link_to_it(open_page, finished):
    page = open_page(finished.run)
    assert not page.locator(".histograms").is_visible()
    page.locator("nav").get_by_text("Trust").click()
    page.wait_for_selector(".histograms svg")
    assert page.locator("#run pre").is_hidden()


@pytest.mark.parametrize("viewport", SIZES, ids=lambda size: str(size["width"]))
def test_no_rule_of_access_is_broken(open_page, plain, axe, viewport):
    page = open_page(plain, viewport=viewport)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert axe(page) == []
    page.locator("#gallery a").first.click()
    assert axe(page) == []


@pytest.mark.parametrize("viewport", SIZES, ids=lambda size: str(size["width"]))
def test_nothing_overlaps_and_all_can_be_read_with_hostile_names(open_page, hostile, viewport):
    page = open_page(hostile, viewport=viewport)
    assert page.title().startswith('"><img src=x')
    for view in ("list", "gallery"):
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], view
        page.locator("#gallery tbody tr").first.scroll_into_view_if_needed()
        assert page.evaluate(OVERLAPS) == [], view
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CONTRASTS) == [], (view, scheme)
        page.locator("#view").click()
    assert page.evaluate("document.querySelectorAll('img[onerror], noscript script, #gallery script').length") == 0
