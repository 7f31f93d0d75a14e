"""What `aumclean review` promises, measured.

    uv run python tests/benchmarks/review.py kills            200 steps of 1 to 40 decisions, 50 kills of the server
    uv run python tests/benchmarks/review.py speed            from key to what one sees, in a browser, 5,000 suspects
    uv run python tests/benchmarks/review.py keys RUN TRUTH   keys and clicks for 500 suspects: in the grid, one by one

`keys` works on a copy of RUN, whose images are in a table; TRUTH is that table with the right labels in `--column`. A
scripted reviewer decides by them. `speed` and `keys` need chromium and playwright.
"""

import argparse
import importlib.util
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
from playwright.sync_api import Page, sync_playwright

from aumclean.decisions import recorded
from aumclean.review import queue
from aumclean.run.directory import Run

ROOT = Path(__file__).parents[2]
SUSPECTS = 500
TYPED = 2  # letters of a class before Enter

SHOWN_AFTER = """([keys, pause]) => new Promise((done) => {
  const taken = [];
  const next = () => {
    if (taken.length === keys.length) return done(taken);
    const pressed = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: keys[taken.length], bubbles: true }));
    const seen = () => { taken.push(performance.now() - pressed); setTimeout(next, pause); };
    requestAnimationFrame(() => setTimeout(seen));
  };
  next();
})"""
"""Milliseconds from each key to the end of the first frame after it."""


def kills() -> None:
    test = ROOT / "tests" / "review" / "test_server.py"
    environment = {**os.environ, "STEPS": "200", "KILLS": "50"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-s", "-m", "slow", "-k", "often", str(test)]
    sys.exit(subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode)


@contextmanager
def page_of(run: Path, view: str = "", *options: str) -> Iterator[Page]:
    """A browser page at `aumclean review`, 1280 x 800."""
    command = [sys.executable, "-m", "aumclean", "review", str(run), "--reviewer", "ann", "--no-browser", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(url + view)
            page.wait_for_selector(".card img")
            yield page
            browser.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def settled(page: Page) -> None:
    page.wait_for_function("() => !Number(document.body.dataset.unsaved)")


def speed(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("page_benchmark", Path(__file__).parent / "page.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    run = benchmark.make_run(folder, 5000, 4900, 96)
    with page_of(run.path, "#by=none", "--all") as page:
        page.wait_for_timeout(5000)  # the small pictures are made meanwhile
        for what, keys in (
            ("a decision", [*"kxuk"] * 25),
            ("moving", ["ArrowDown", "ArrowRight", "PageDown", "PageDown", "End", "PageUp", "Home"] * 10),
            ("selecting all that was seen", ["a"] * 30),
        ):
            taken = sorted(page.evaluate(SHOWN_AFTER, [keys, 150]))
            settled(page)
            print(f"{what}: median {statistics.median(taken):.0f} ms,", end=" ")
            print(f"95th percentile {taken[int(0.95 * len(taken))]:.0f} ms, largest {taken[-1]:.0f} ms", flush=True)


class Reviewer:
    """Knows the right labels, looks at a page of the grid at a glance, and counts what it presses."""

    def __init__(self, page: Page, truth: dict[int, str]) -> None:
        self.page, self.truth = page, truth
        self.keys, self.clicks, self.glances = 0, 0, 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.keys += len(keys)

    def judgement(self, sample: int, label: str, like: str | None) -> tuple[str, str | None]:
        right = self.truth[sample]
        return ("keep", None) if right == label else ("relabel", right)

    def choose(self, name: str) -> None:
        self.press("c", *name[:TYPED])
        options = self.page.locator("#classes li").all_text_contents()
        for _ in range(options.index(name)):
            self.press("ArrowDown")
        self.press("Enter")


ROWS = """async () => {
  const [{ isOpen, seen }, { grid: { group } }] = await Promise.all([import("./store.js"), import("./grid.js")]);
  const open = group.members.slice(0, seen(group)).filter((row) => isOpen(row, group));
  return open.map(({ at, id, label, like }) => ({ at, id, label, like }));
}"""
"""The undecided images of the group that have been on the screen."""
LOADED = "() => [...document.querySelectorAll('.card img')].every((image) => image.complete)"
WHOLE = """async () => {
  const [{ seen }, { grid: { group } }] = await Promise.all([import("./store.js"), import("./grid.js")]);
  return seen(group) >= group.members.length;
}"""


def see(one: Reviewer) -> list[dict]:
    """Look at the whole group, a page at a glance; gives what is undecided in it."""
    while True:
        one.glances += 1
        one.page.wait_for_function(LOADED)
        one.page.wait_for_timeout(50)  # a frame, in which they count as seen
        whole = one.page.evaluate(WHOLE)
        if whole:
            return one.page.evaluate(ROWS)
        one.press("PageDown")


def in_grid(page: Page, truth: dict[int, str]) -> Reviewer:
    """Accept in each group all but the exceptions; then class by class of what is left; the rest is right."""
    one = Reviewer(page, truth)
    for _ in range(page.locator("#group-list li").count()):
        rows = see(one)
        accepted = [row for row in rows if kind(one, row)[0] == "accept"]
        if accepted:
            exceptions = [row for row in rows if row not in accepted]
            fewer = exceptions if len(exceptions) < len(accepted) else accepted
            if fewer is exceptions:
                one.press("a")
            for row in fewer:
                click(one, row)
            one.press("Shift+Enter")
        else:
            one.press("n")
    settled(page)
    one.press("l")
    rows = see(one)
    for name in sorted({kind(one, row)[1] for row in rows if kind(one, row)[0] == "class"}):
        for row in rows:
            if kind(one, row) == ("class", name):
                click(one, row)
        one.choose(name)
    if any(kind(one, row)[0] == "keep" for row in rows):
        one.press("a", "k")
    settled(page)
    return one


def kind(one: Reviewer, row: dict) -> tuple[str, str | None]:
    word, name = one.judgement(row["id"], row["label"], row["like"])
    return ("keep", None) if word == "keep" else ("accept", None) if name == row["like"] else ("class", name)


def click(one: Reviewer, row: dict) -> None:
    card = one.page.locator(f"#card-{row['at']}")
    if not card.count():  # as a person scrolls by the wheel
        one.page.evaluate(SCROLL, row["at"])
        card.wait_for()
    card.click()
    one.clicks += 1


SCROLL = """async (at) => {
  const { grid: { group } } = await import("./grid.js");
  const box = document.getElementById("scroll");
  const share = group.members.findIndex((row) => row.at === at) / group.members.length;
  box.scrollTop = share * document.getElementById("cards").clientHeight - box.clientHeight / 2;
}"""


def decided(page: Page) -> int:
    return int(page.locator("#count").text_content().split(" of ")[0].replace(",", ""))


def one_by_one(page: Page, truth: dict[int, str]) -> Reviewer:
    one = Reviewer(page, truth)
    one.press("d")
    for number in range(len(truth)):
        page.wait_for_selector("#large img")
        row = page.evaluate("""() => import("./detail.js").then(({ detail: { row } }) => ({ ...row }))""")
        what = kind(one, row)
        one.choose(what[1]) if what[0] == "class" else one.press({"accept": "r", "keep": "k"}[what[0]])
        one.glances += 1
        if number % 50 == 49:
            settled(page)
    settled(page)
    return one


def keys(original: Path, table: Path, column: str) -> None:
    truth = dict(enumerate(pq.read_table(table, columns=[column])[column].to_pylist()))
    said = []
    for way in (in_grid, one_by_one):
        with tempfile.TemporaryDirectory() as folder:
            run = Run(
                Path(shutil.copytree(original, Path(folder) / "run", ignore=shutil.ignore_patterns("checkpoints")))
            )
            run.decisions.unlink(missing_ok=True)
            rows = pq.read_table(run.samples, columns=["row"])["row"].to_pylist()  # of each sample
            least = round(queue.suspects(run).rows[:SUSPECTS][-1]["wrong_probability"], 4)
            suspects = [
                row["sample_id"] for row in queue.suspects(run).rows if round(row["wrong_probability"], 4) >= least
            ]
            with page_of(run.path, f"#least={least}&size=104") as page:
                one = way(page, {sample: truth[rows[sample]] for sample in suspects})
            table_of = recorded.of_run(run).decided.to_pylist()
            said.append({row["sample_id"]: (row["decision"], row["new_label"]) for row in table_of})
        print(
            f"{way.__name__}: {len(said[-1])} decided, {one.keys} keys, {one.clicks} clicks, {one.glances} glances",
            flush=True,
        )
    print("equal, decision by decision" if said[0] == said[1] else f"NOT EQUAL: {said[0].items() ^ said[1].items()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "speed", "keys"])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("truth", type=Path, nargs="?")
    parser.add_argument("--column", default="label")
    options = parser.parse_args()
    if options.what == "kills":
        kills()
    elif options.what == "speed":
        with tempfile.TemporaryDirectory() as folder:
            speed(Path(folder))
    else:
        keys(options.run, options.truth, options.column)


if __name__ == "__main__":
    main()
