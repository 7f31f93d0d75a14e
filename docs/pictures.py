"""Draw the pictures of README and tutorials from the run of `aumclean demo`, in Debian's chromium without a screen.

    uv run aumclean demo && uv run python docs/pictures.py aumclean-demo/run

They are taken of a copy of the run, so that nothing in it is decided by it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from aumclean.reports import html
from aumclean.run.directory import Run
from aumclean.verdict.judge import judge

DOCS = Path(__file__).resolve().parent
TUTORIAL = DOCS / "tutorials" / "images"
REPORT = DOCS / "images" / "report.png"


def report(browser: Browser, run: Path) -> None:
    page = browser.new_page(viewport={"width": 1080, "height": 938})
    (run / "report.html").write_text(html.render(judge(Run(run))), encoding="utf-8")
    page.goto((run / "report.html").resolve().as_uri())
    page.wait_for_timeout(500)
    page.screenshot(path=REPORT)


@contextmanager
def review_page(browser: Browser, run: Path, *options: str) -> Iterator[Page]:
    """A browser page at `aumclean review`."""
    command = [sys.executable, "-m", "aumclean", "review", str(run), "--reviewer", "ann", "--no-browser", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(server.stdout.readline().strip())
        page.wait_for_selector(".card img, #large img")
        page.wait_for_timeout(3000)  # until the pictures alike are found
        yield page
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def settled(page: Page) -> None:
    page.wait_for_function("() => !Number(document.body.dataset.unsaved)")
    page.wait_for_timeout(1600)  # until the note of it is gone


def review(browser: Browser, run: Path) -> None:
    with review_page(browser, run) as page:
        page.keyboard.press("a")
        page.screenshot(path=TUTORIAL / "review.png")
        for key in ("Enter", "a", "Enter"):  # the group has more than the screen
            page.keyboard.press(key)
        settled(page)
        page.keyboard.press("d")
        page.wait_for_selector("#why:not(:empty)")
        page.wait_for_timeout(500)
        page.screenshot(path=TUTORIAL / "review-large.png")
        page.keyboard.press("c")
        page.wait_for_timeout(200)
        page.screenshot(path=TUTORIAL / "review-choose.png")
        page.keyboard.press("Escape")
        page.click("#end-button")
        page.wait_for_selector("#end:not([hidden])")
        page.screenshot(path=TUTORIAL / "review-end.png")
    with review_page(browser, run, "--spot-check", "40") as page:
        page.screenshot(path=TUTORIAL / "spot-check.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    original = parser.parse_args().run
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        shutil.copytree(original, Path(folder) / "aumclean-demo" / "run")
        os.chdir(folder)  # pages show commands, in which a path of this machine would say nothing
        run = Path("aumclean-demo/run")
        (run / "decisions.jsonl").unlink(missing_ok=True)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        report(browser, run)
        review(browser, run)
        browser.close()
    for picture in [REPORT, *sorted(TUTORIAL.glob("*.png"))]:
        Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(picture, optimize=True)
        print(picture.relative_to(DOCS), f"{picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
