"""The desk as a person meets it: keys, pointer, two sizes, two themes, a desk that is killed."""

import itertools
import json
import statistics

import pandas as pd
import pytest

from aumclean.decisions import recorded as decisions
from aumclean.decisions.journal import Journal
from aumclean.review.queue import suspects
from aumclean.review.session import ReviewSession


def settled(page):
    """Wait until everything that was decided is on disk."""
    page.wait_for_function("() => !Number(document.body.dataset.unsaved)")


def loaded(page):
    """Wait until the pictures in sight are there: what is not was not seen."""
    page.wait_for_selector(".card img")
    page.wait_for_function("() => [...document.querySelectorAll('.card img')].every((image) => image.complete)")


def at_grid(page, url):
    page.goto(url)
    loaded(page)


def at_detail(page, url):
    at_grid(page, url)
    page.keyboard.press("d")
    page.wait_for_selector("#large img")


def shown(page):
    """The sample id of the large image."""
    return int(page.locator("#large img").first.get_attribute("data-sample"))


def step(page, key):
    """Press a key that goes on to another image, and wait for that one."""
    before = shown(page)
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('#large img').dataset.sample != before", arg=str(before))


def members(page):
    """Positions of the cards that are made, in the order of the group."""
    cards = page.locator(".card").evaluate_all("cards => cards.map((card) => card.id.slice(5))")
    return sorted(map(int, cards))


def said(run):
    return {row["sample_id"]: (row["decision"], row["new_label"]) for row in decisions.of_run(run).decided.to_pylist()}


def journal(run):
    return [entry.model_dump() for _, entry in Journal(run.decisions).entries]


def test_deciding_large_by_keys_survives_a_kill_and_clean_uses_it(own_run, serve, page, aumclean):
    expected = {}
    with serve(own_run) as server:
        at_detail(page, server.url)
        for key in ("k", "r", "x", "u", "Enter"):
            suggested = page.locator("#suggested").text_content()
            word = {"k": "keep", "r": "relabel", "x": "remove", "u": "unsure", "Enter": "relabel"}[key]
            expected[shown(page)] = (word, suggested if word == "relabel" else None)
            step(page, key)
        label = page.locator("#label").text_content()
        typed = next(name for name in ("green", "blue") if name != label)
        expected[shown(page)] = ("relabel", typed)
        page.keyboard.press("c")
        page.keyboard.type(typed[:3])
        step(page, "Enter")
        page.keyboard.press("m")
        page.keyboard.type("blurred, k x")
        page.keyboard.press("Enter")
        noted = shown(page)
        expected[noted] = ("keep", None)
        step(page, "k")
        taken_back = shown(page)
        step(page, "x")
        settled(page)
        page.keyboard.press("z")
        settled(page)
        assert shown(page) == taken_back
        assert page.complaints == []
        server.process.kill()
        server.process.wait()
        page.keyboard.press("k")
        page.wait_for_selector("#trouble:not([hidden])")
        assert "1 step is not saved" in page.locator("#trouble").text_content()
        before = page.locator("#count").text_content()
        page.keyboard.press("k")  # not taken: it could be lost
        assert page.locator("#toast").text_content() == "Not taken: the desk does not answer"
        assert page.locator("#count").text_content() == before
    assert said(own_run) == expected

    with serve(own_run) as server:
        page.goto("about:blank")
        at_grid(page, server.url)
        assert page.locator("#count").text_content().startswith(f"{len(expected)} of ")

    assert aumclean("clean", own_run.path).code == 0
    changes = pd.read_csv(own_run.changes, dtype=str, keep_default_na=False).set_index("sample_id")
    for sample, (word, new_label) in expected.items():
        if word == "keep":
            assert str(sample) not in changes.index
        else:
            row = changes.loc[str(sample)]
            assert row["action"] == ("remove" if word in {"remove", "unsure"} else "relabel")
            assert row["new_label"] == (new_label or "")
            assert row["reviewer"] == ("" if word == "unsure" else "ann")
    assert {entry.note for _, entry in Journal(own_run.decisions).current() if entry.sample_id == noted} == {
        "blurred, k x"
    }


def test_the_grid_selects_by_click_range_box_and_keys(own_run, desk, page):
    with desk(own_run) as address:
        at_grid(page, f"{address}#by=none")
        cards = [page.locator(f"#card-{at}") for at in members(page)]

        def chosen():
            return page.locator(".card.chosen").count()

        cards[1].click()
        assert chosen() == 1
        cards[4].click(modifiers=["Shift"])
        assert chosen() == 4
        cards[2].click()
        assert chosen() == 3
        page.keyboard.press("Escape")
        assert chosen() == 0
        first, last = cards[0].bounding_box(), cards[2].bounding_box()
        page.mouse.move(first["x"] + 5, first["y"] + 5)
        page.mouse.down()
        page.mouse.move(last["x"] + 20, last["y"] + 40, steps=4)
        page.mouse.up()
        assert chosen() == 3
        page.keyboard.press("Escape")
        page.keyboard.press("Home")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        assert chosen() == 3
        assert page.locator("#selection").text_content() == "3 selected"
        assert page.complaints == []


def test_a_step_of_many_is_a_line_for_each_on_disk_and_undone_as_one(own_run, desk, page):
    with desk(own_run) as address:
        at_grid(page, f"{address}#by=none&size=96")
        page.keyboard.press("a")
        total = page.locator(".card.chosen").count()
        page.locator(".card").nth(2).click()  # all but one
        page.keyboard.press("Enter")
        settled(page)
        step = journal(own_run)
        assert len(step) == len({entry["id"] for entry in step}) == total - 1
        assert len({entry["step"] for entry in step}) == 1
        assert {entry["decision"] for entry in step} == {"relabel"}
        page.keyboard.press("k")  # the one that is left
        settled(page)
        page.wait_for_selector("#end:not([hidden])")
        page.keyboard.press("z")
        page.keyboard.press("z")
        settled(page)
        assert said(own_run) == {}
        assert page.locator(".card.chosen").count() == total - 1
        assert page.locator("#count").text_content() == f"0 of {total} decided"


def test_another_class_keeps_those_that_have_it(own_run, desk, page):
    with desk(own_run) as address:
        at_grid(page, f"{address}#by=none&size=96")
        page.keyboard.press("a")
        page.keyboard.press("c")
        page.keyboard.type("blue")
        page.keyboard.press("Enter")
        settled(page)
        for entry in journal(own_run):
            expected = ("keep", None) if entry["label"] == "blue" else ("relabel", "blue")
            assert (entry["decision"], entry["new_label"]) == expected


def test_what_is_nearly_certain_is_accepted_only_after_the_group_was_seen(own_run, desk, page):
    page.set_viewport_size({"width": 700, "height": 700})
    with desk(own_run) as address:
        at_grid(page, f"{address}#by=none&size=240")
        assert page.locator("#accept-high").is_disabled()
        page.keyboard.press("y")
        page.keyboard.press("End")
        loaded(page)
        assert page.locator("#accept-high").is_disabled()  # jumped over is not seen
        page.keyboard.press("Home")
        for _ in range(20):
            loaded(page)
            page.keyboard.press("PageDown")
        page.wait_for_selector("#accept-high:not([disabled])")
        page.keyboard.press("y")
        settled(page)
    rows = {row["sample_id"]: row for row in _report(own_run)}
    sure = {sample for sample, row in rows.items() if row["flagged"] and row["wrong_probability"] >= 0.95}
    assert said(own_run).keys() == sure


def _report(run):
    from aumclean.verdict.judge import judge

    return judge(run).report.to_pylist()


@pytest.mark.parametrize("start", [at_grid, at_detail])
def test_no_quick_key_is_lost(own_run, desk, page, start):
    """30 keys in 1.5 seconds: each its own step, in order."""
    with desk(own_run, "--all") as address:
        page.goto("about:blank")
        start(page, f"{address}#by=none")
        keys = "kxu" * 10
        page.evaluate(
            """keys => new Promise((done) => {
              let at = 0;
              const clock = setInterval(() => {
                document.body.dispatchEvent(new KeyboardEvent("keydown", { key: keys[at], bubbles: true }));
                if ((at += 1) === keys.length) { clearInterval(clock); done(); }
              }, 50);
            })""",
            keys,
        )
        settled(page)
        entries = journal(own_run)
        word = {"k": "keep", "x": "remove", "u": "unsure"}
        assert [entry["decision"] for entry in entries] == [word[key] for key in keys]
        ranks = [row["sample_id"] for row in _report(own_run)]
        assert [entry["sample_id"] for entry in entries] == ranks[:30]
        assert len({entry["step"] for entry in entries}) == 30
        assert page.complaints == []


def test_filters_show_what_they_say_and_stay_in_the_address(own_run, desk, page):
    rows = [row for row in _report(own_run) if row["flagged"]]
    with desk(own_run) as address:
        at_grid(page, f"{address}#by=none&size=96")
        page.keyboard.press("f")
        page.locator('[data-filter="label"]').select_option("amber")
        wanted = [row for row in rows if row["label"] == "amber"]
        page.wait_for_function("count => document.querySelectorAll('.card').length === count", arg=len(wanted))
        page.locator('[data-filter="path"]').fill(wanted[-1]["path"])
        page.wait_for_function("() => document.querySelectorAll('.card').length === 1")
        assert page.locator("#filter-button").text_content() == "Filter and sort (2)"
        page.reload()
        page.wait_for_selector(".card img")
        assert page.locator(".card").count() == 1
        page.locator("#filter-button").click()
        page.locator("#reset").click()
        page.wait_for_function("count => document.querySelectorAll('.card').length === count", arg=len(rows))
        page.locator('[data-filter="path"]').fill("no such path")
        page.wait_for_selector("#nothing:not([hidden])")


def test_a_link_from_the_report_opens_its_image(own_run, desk, page):
    sample = [row["sample_id"] for row in _report(own_run) if row["flagged"]][7]
    with desk(own_run) as address:
        page.goto(f"{address}report.html?desk")
        page.wait_for_selector(f"#gallery #sample-{sample} a.decide").click()
        page.wait_for_selector("#large img")
        assert shown(page) == sample
        assert page.complaints == []


def test_a_reference_is_shown_beside_and_large(own_run, desk, page):
    with desk(own_run) as address:
        at_grid(page, address)
        page.locator("#references button").first.click()
        page.wait_for_selector("#look img")
        page.keyboard.press("Escape")
        page.keyboard.press("d")
        page.wait_for_selector("#why:not(:empty)")
        page.locator("#suggested-examples button").first.click()
        assert page.locator("#large .pane").count() == 2
        page.keyboard.press("+")
        scales = page.locator("#large img").evaluate_all("all => all.map((one) => one.style.transform)")
        assert scales == ["translate(0px, 0px) scale(1.4)"] * 2
        page.keyboard.press("Escape")
        assert page.locator("#large .pane").count() == 1
        page.keyboard.press("Escape")
        assert page.locator("#grid").is_visible()


@pytest.mark.slow
def test_two_reviewers_in_two_browsers_see_each_other_and_settle(own_run, desk, page, browser):
    with desk(own_run) as first, desk(own_run, reviewer="bob") as second:
        other = browser.new_page()
        at_grid(page, f"{first}#by=none")
        at_grid(other, f"{second}#by=none")
        page.keyboard.press("k")
        settled(page)
        other.keyboard.press("x")
        settled(other)
        other.reload()
        other.goto("about:blank")
        at_grid(other, second)
        other.get_by_role("button", name="Reviewers disagree").click()
        assert other.locator(".card").count() == 1 and other.locator(".card.done").count() == 0  # still to settle
        other.keyboard.press("d")
        other.wait_for_selector("#said:not([hidden])")
        assert other.locator("#said").text_content() == "Reviewers disagree: you: remove; ann: keep"
        assert len(decisions.of_run(own_run).contradictory) == 1
        other.keyboard.press("k")
        settled(other)
        other.close()
    assert len(decisions.of_run(own_run).contradictory) == 0


def test_skipping_leads_to_what_reviewers_disagree_on(own_run, desk, page):
    queue = suspects(own_run)
    words = [(at, "keep", "ann") for at in range(len(queue)) if at != 1] + [(0, "remove", "bob")]
    for number, (at, word, reviewer) in enumerate(words):
        asked = {"sample_id": queue.rows[at]["sample_id"], "decision": word}
        ReviewSession(own_run, queue, reviewer).decide({"id": f"request{number}", "decisions": [asked]})
    with desk(own_run) as address:
        page.goto(f"{address}#sample={queue.rows[1]['sample_id']}")
        page.wait_for_selector("#large img")
        step(page, "n")
        assert shown(page) == queue.rows[0]["sample_id"]
        assert page.locator("#said").text_content() == "Reviewers disagree: you: keep; bob: remove"
        page.locator("#end-button").click()
        page.wait_for_selector("#end:not([hidden])")
    assert page.complaints == []


def test_the_end_of_a_desk_where_nothing_is_decided_is_a_sentence(own_run, desk, page):
    total = len(suspects(own_run))
    with desk(own_run) as address:
        at_grid(page, address)
        page.locator("#end-button").click()
        page.wait_for_selector("#end:not([hidden])")
        assert page.locator("#end-counts").text_content() == f"0 of {total} decided."


@pytest.mark.slow
def test_a_blind_check_shows_no_trace_of_what_is_flagged(own_run, desk, page):
    answers = []
    with desk(own_run, "--spot-check", "12") as address:
        page.on("response", lambda answer: answers.append(answer) if "/api/" in answer.url else None)
        page.goto(address)
        page.wait_for_selector("#large img")
        assert page.locator("#mode").text_content() == "blind spot check"
        for hidden in ("#curve-section", "#alike-section", "#copies-section", "#report", "#to-grid"):
            assert page.locator(hidden).is_hidden()
        for _ in range(11):
            page.keyboard.press("k")
        settled(page)
        for text in [answer.text() for answer in answers]:
            assert not {"flagged", "rank", "confidence", "curve", "wrong"} & set(
                json.dumps(json.loads(text)).split('"')
            )
        page.keyboard.press("k")
        page.wait_for_selector("#end:not([hidden])")
        assert (
            "0.0% of the flagged images are wrong (95% interval 0.0% to 39.0%" in page.locator("#result").text_content()
        )


SHOWN_AFTER = """keys => new Promise((done) => {
  const taken = [];
  const next = () => {
    if (taken.length === keys.length) return done(taken);
    const pressed = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: keys[taken.length], bubbles: true }));
    requestAnimationFrame(() => setTimeout(() => { taken.push(performance.now() - pressed); setTimeout(next, 60); }));
  };
  next();
})"""
"""Milliseconds from each key to the first frame after it."""


@pytest.mark.slow
def test_a_queue_of_thousands_stays_fluent(own_run, desk, page, five_thousand):
    """Measured with `tests/benchmarks/review.py speed`; here a bound that holds on a busy machine."""
    with desk(five_thousand, "--all") as address:
        at_grid(page, f"{address}#by=none")
        assert page.locator(".card").count() < 200
        taken = page.evaluate(SHOWN_AFTER, [*"kxkxkx", "ArrowDown", "PageDown", "End", "Home"] * 4)
        assert statistics.median(taken) < 300, taken
        page.keyboard.press("End")
        page.wait_for_selector("#card-4999 img")


BOXES = """selectors => selectors.map((selector) => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return [selector, box.left, box.top + scrollY, box.right, box.bottom + scrollY];
})"""
PARTS = {
    "grid": ["header", ".panel", "#scroll", ".board .actions"],
    "desk": ["header", "#question", "#large", ".about", "#desk .actions", "aside", "#film"],
}


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overlaps_runs_out_of_the_page_or_breaks_a_rule_of_access(own_run, desk, page, axe, width):
    page.set_viewport_size({"width": width, "height": 844})
    with desk(own_run) as address:
        at_grid(page, address)
        for part in ("grid", "desk", "end"):
            if part == "desk":
                page.keyboard.press("d")
                page.wait_for_selector("#why:not(:empty)")
            if part == "end":
                page.locator("#end-button").click()
                page.wait_for_selector("#end:not([hidden])")
            assert axe(page) == [], part
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = page.evaluate(BOXES, PARTS.get(part, []))
            assert all(right - left > 20 and bottom - top > 10 for _, left, top, right, bottom in boxes), boxes
            for one, other in itertools.combinations(boxes, 2):
                (name, left, top, right, bottom), (other_name, other_left, other_top, other_right, other_bottom) = (
                    one,
                    other,
                )
                beside = right <= other_left + 1 or other_right <= left + 1
                assert beside or bottom <= other_top + 1 or other_bottom <= top + 1, f"{name} lies on {other_name}"
        page.close()
