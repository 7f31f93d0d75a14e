import itertools
import json
import statistics
from pathlib import Path

import pandas as pd
import pytest

from aumclean.decisions import recorded as decisions
from aumclean.decisions.journal import Journal

STOPWATCH = (Path(__file__).parent / "stopwatch.js").read_text()


def shown(page):
    """The sample id of the large image."""
    return int(page.locator("#large img").get_attribute("data-sample"))


def press(page, key):
    """Press a key that decides, and wait until it is decided."""
    before = page.locator("#count").text_content()
    page.keyboard.press(key)
    page.wait_for_function("before => document.getElementById('count').textContent !== before", arg=before)
    page.wait_for_function("() => !busy")


def said(run):
    return {row["sample_id"]: (row["decision"], row["new_label"]) for row in decisions.of_run(run).decided.to_pylist()}


def test_deciding_by_keys_survives_a_kill_and_clean_uses_it(own_run, serve, page, aumclean):
    expected = {}
    with serve(own_run) as server:
        page.goto(server.url)
        page.wait_for_selector("#large img")
        for key in ("k", "r", "x", "u", "Enter"):
            suggested = page.locator("#suggested").text_content()
            word = {"k": "keep", "r": "relabel", "x": "remove", "u": "unsure", "Enter": "relabel"}[key]
            expected[shown(page)] = (word, suggested if word == "relabel" else None)
            press(page, key)
        label = page.locator("#label").text_content()
        typed = next(name for name in ("green", "blue") if name != label)
        expected[shown(page)] = ("relabel", typed)
        page.keyboard.press("c")
        page.keyboard.type(typed[:3])
        press(page, "Enter")
        page.keyboard.press("m")
        page.keyboard.type("blurred, k x")
        page.keyboard.press("Enter")
        noted = shown(page)
        expected[noted] = ("keep", None)
        press(page, "k")
        taken_back = shown(page)
        press(page, "x")
        press(page, "z")
        assert shown(page) == taken_back
        assert page.complaints == []
        server.process.kill()
        page.keyboard.press("k")
        page.wait_for_selector("#trouble:not([hidden])")
        assert "Not saved" in page.locator("#trouble").text_content()
        assert shown(page) == taken_back
    assert said(own_run) == expected

    with serve(own_run) as server:
        page.goto(server.url)
        page.wait_for_selector("#large img")
        assert page.locator("#count").text_content().startswith(f"{len(expected)} of ")
        assert shown(page) == taken_back
        for _ in expected:
            page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#said:not([hidden])")

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


@pytest.mark.slow
def test_the_whole_queue_by_keys_and_its_end(own_run, serve, page):
    with serve(own_run) as server:
        page.goto(server.url)
        page.wait_for_selector("#large img")
        total = int(page.locator("#count").text_content().split(" of ")[1].split()[0])
        for number in range(total):
            if number == 12:
                assert page.locator("#estimate").text_content().startswith("next ")
            press(page, "k")
        page.wait_for_selector("#end:not([hidden])")
        assert page.locator("#end-counts").text_content() == f"{total} decided: {total} keep."
        page.keyboard.press("z")
        page.wait_for_selector("#desk:not([hidden])")
        assert page.complaints == []
    assert len(said(own_run)) == total - 1


@pytest.mark.slow
def test_from_key_to_the_next_image_a_person_does_not_wait(own_run, serve, page):
    """Measured with `tests/benchmarks/review.py speed`; here a bound that holds on a busy machine."""
    with serve(own_run) as server:
        page.add_init_script(STOPWATCH)
        page.goto(server.url)
        page.wait_for_selector("#large img")
        for number in range(20):
            press(page, "kx"[number % 2])
            page.wait_for_function("count => window.taken.length === count", arg=number + 1)
        taken = page.evaluate("window.taken")
    assert statistics.median(taken) < 400, taken


@pytest.mark.slow
def test_two_reviewers_in_two_browsers_see_each_other(own_run, serve, page, browser):
    with serve(own_run) as first, serve(own_run, reviewer="bob") as second:
        other = browser.new_page()
        page.goto(first.url)
        other.goto(second.url)
        for one in (page, other):
            one.wait_for_selector("#large img")
        assert shown(page) == shown(other)
        press(page, "k")
        press(other, "x")
        other.wait_for_selector("#contradictory:not([hidden])")
        other.click("#contradictory")
        other.wait_for_selector("#said:not([hidden])")
        assert other.locator("#said").text_content() == "Contradictory: you: remove; ann: keep"
        other.close()
    assert len(decisions.of_run(own_run).contradictory) == 1


@pytest.mark.slow
def test_a_blind_check_shows_no_trace_of_what_is_flagged(own_run, serve, page):
    answers = []
    with serve(own_run, "--spot-check", "12") as server:
        page.on("response", lambda answer: answers.append(answer) if "/api/" in answer.url else None)
        page.goto(server.url)
        page.wait_for_selector("#large img")
        assert page.locator("#mode").text_content() == "blind spot check"
        for hidden in ("#curve-section", "#alike-section", "#copies-section"):
            assert page.locator(hidden).is_hidden()
        assert page.locator("#confidence").text_content() == ""
        for _ in range(11):
            press(page, "k")
        for text in [answer.text() for answer in answers]:
            assert json.loads(text).keys().isdisjoint({"flagged", "rank", "confidence", "curve"})
        page.keyboard.press("k")
        page.wait_for_selector("#end:not([hidden])")
        assert (
            "0.0 % of the flagged images are wrong (95 % interval 0.0 % to 39.0 %"
            in page.locator("#result").text_content()
        )


BOXES = """() => ["header", "#question", "#large", ".about", ".actions", "aside", "#film"].map((selector) => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return [selector, box.left, box.top + scrollY, box.right, box.bottom + scrollY];
})"""


def test_nothing_overlaps_or_runs_out_of_the_page(own_run, serve, browser):
    with serve(own_run) as server:
        for width, scheme in itertools.product((1280, 390), ("light", "dark")):
            page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
            page.goto(server.url)
            page.wait_for_selector("#large img")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = page.evaluate(BOXES)
            page.close()
            assert all(right - left > 20 and bottom - top > 10 for _, left, top, right, bottom in boxes)
            for one, other in itertools.combinations(boxes, 2):
                (name, left, top, right, bottom), (other_name, other_left, other_top, other_right, other_bottom) = (
                    one,
                    other,
                )
                beside = right <= other_left + 1 or other_right <= left + 1
                assert beside or bottom <= other_top + 1 or other_bottom <= top + 1, f"{name} lies on {other_name}"
