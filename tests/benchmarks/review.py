"""What `aumclean review` promises, measured.

    uv run python tests/benchmarks/review.py kills               1,000 decisions, the server killed 50 times
    uv run python tests/benchmarks/review.py speed RUN           from key to next image, in a browser, 200 decisions

`speed` works on a copy of RUN. It needs chromium and playwright.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOPWATCH = ROOT / "tests" / "review" / "stopwatch.js"


def kills() -> None:
    test = ROOT / "tests" / "review" / "test_server.py"
    environment = {**os.environ, "DECISIONS": "1000", "KILLS": "50"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-k", "often", str(test), "--durations=1"]
    sys.exit(subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode)


@contextmanager
def page_of(run: Path, *options: str) -> Iterator[object]:
    """A browser page at `aumclean review`, 1280 x 800."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "aumclean", "review", str(run), "--reviewer", "ann", *options]
    started = time.perf_counter()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    print(f"ready after {time.perf_counter() - started:.1f} s", flush=True)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.add_init_script(STOPWATCH.read_text())
            page.goto(url)
            page.wait_for_selector("#large img")
            yield page
            browser.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def speed(run: Path, decisions: int, pause: float) -> None:
    with page_of(run) as page:
        page.wait_for_timeout(3000)  # the pictures alike are found meanwhile
        started = time.perf_counter()
        for number in range(decisions):
            page.wait_for_timeout(1000 * pause)
            page.keyboard.press("krxu"[number % 4])
            page.wait_for_function("count => window.taken.length === count", arg=number + 1)
        seconds = time.perf_counter() - started
        taken = sorted(page.evaluate("window.taken"))
    within = sum(one < 100 for one in taken) / len(taken)
    print(f"key to next image, {decisions} decisions, {pause:g} s apart: {within:.0%} under 100 ms")
    print(f"median {statistics.median(taken):.0f} ms,", end=" ")
    print(f"95th percentile {taken[int(0.95 * len(taken))]:.0f} ms, largest {taken[-1]:.0f} ms")
    print(f"{60 * decisions / seconds:,.0f} decisions a minute by script")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "speed"])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds before each key; 0: without a break")
    options = parser.parse_args()
    if options.what == "kills":
        kills()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(shutil.copytree(options.run, Path(folder) / options.run.name))
        (run / "decisions.jsonl").unlink(missing_ok=True)
        speed(run, options.decisions, options.pause)


if __name__ == "__main__":
    main()
