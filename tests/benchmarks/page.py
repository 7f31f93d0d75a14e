"""The page of a large run: how long it takes to make, how large it is, how fast it opens, filters, turns and scrolls.

    uv run python tests/benchmarks/page.py [--images 20000] [--suspects 4000] [--side 160] [--keep FOLDER]

Makes a run directory whose images are crops of two photographs, with margin logs in which `suspects` are clearly wrong.
Times in the browser are of Debian's chromium without a screen: medians, with the largest in brackets.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sklearn.datasets import load_sample_images

from aumclean.config.recipe import Recipe
from aumclean.margins.final import final_margins, write_final
from aumclean.margins.held_out import HeldOut, log_softmax, write_held_out
from aumclean.margins.log import EpochMargins, write_epoch
from aumclean.reports import html
from aumclean.run.directory import Run
from aumclean.run.record import Data, Options, ScanRecord, Settings
from aumclean.verdict.judge import judge

CLASSES = 10
EPOCHS = 10
DRAWS = 2


def make_images(folder: Path, count: int, side: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    photographs = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    paths, hashes = [], []
    for number in range(count):
        path = f"class {number % CLASSES}/{number:05d}.jpg"
        whole = photographs[number % 2]
        left, upper = rng.integers(0, np.array(whole.size) - side)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.crop((left, upper, left + side, upper + side)).save(target, quality=90)
        paths.append(path)
        hashes.append(hashlib.sha256(target.read_bytes()).hexdigest())
    return paths, hashes


def make_run(folder: Path, count: int, suspects: int, side: int) -> Run:
    rng = np.random.default_rng(0)
    paths, hashes = make_images(folder / "images", count, side, rng)
    labels = np.arange(count) % CLASSES
    names = [f"class {number}" for number in range(CLASSES)]
    run = Run(folder / "run")
    run.path.mkdir()
    columns = {"path": paths, "label": [names[label] for label in labels], "content_hash": hashes}
    sizes = pa.array(np.full(count, side, np.int32))
    samples = pa.table(
        {
            "sample_id": pa.array(range(count), pa.int32()),
            **columns,
            "width": sizes,
            "height": sizes,
            "row": range(count),
        }
    )
    pq.write_table(samples, run.samples)
    run.unreadable.write_text("path,reason\n")
    wrong = np.zeros(count, bool)
    wrong[rng.choice(count, suspects, replace=False)] = True
    other = (labels + rng.integers(1, CLASSES, count)) % CLASSES
    chosen = rng.permutation(count)
    size = count // (CLASSES + 1)
    for draw in range(DRAWS):
        indicator = np.zeros(count, bool)
        indicator[chosen[draw * size : (draw + 1) * size]] = True
        for epoch in range(EPOCHS):
            level = np.where(indicator | wrong, -4.0, 4.0) * (epoch + 3) / EPOCHS
            recorded = EpochMargins(
                np.arange(count, dtype=np.int32),
                (level + rng.normal(0, 0.8, count)).astype(np.float32),
                other,
                indicator,
            )
            write_epoch(run.margins, draw, epoch, recorded, {})
        logits = rng.normal(0, 0.8, (count, CLASSES)).astype(np.float32)
        logits[np.arange(count), np.where(wrong, other, labels)] += 6
        write_final(run.final_margins(draw), final_margins(logits, labels))
        fold = np.full(size, draw, np.int32)
        write_held_out(
            run.held_out_part(draw), HeldOut(np.flatnonzero(indicator), fold, log_softmax(logits[indicator]))
        )
    root = str((folder / "images").absolute())
    run.write(
        ScanRecord(
            aumclean="0", versions={}, argv=["aumclean", "scan", root], started="2026-01-01T00:00:00+00:00",
            state="done", config=Options(), device="cpu", image_size=side, recipe=Recipe("none", EPOCHS, 0.1, 64, 0.0),
            data=Data(
                source=root, source_bytes=0, source_changed_ns=0, root=root, name="crops", samples=count, unreadable=0,
                class_names=names, fingerprint="0" * 64,
            ),
            judge=Settings(99.0, "all", 2), draws=DRAWS, epochs_done=[EPOCHS] * DRAWS, training_seconds=[0.0] * DRAWS,
        )
    )  # fmt: skip
    return run


def in_ms(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ms (at most {max(values):.0f})"


def opened(page: Page, file: Path) -> dict[str, float]:
    page.goto(f"file://{file}")
    page.wait_for_function("document.querySelector('#status').textContent !== ''")
    timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    return {"load": page.evaluate(timing), "first paint": page.evaluate(paint)}


UNTIL_PAINTED = """async (act) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await frame();
  const started = performance.now();
  eval(act);
  await frame();
  return performance.now() - started;
}"""

SCROLL = """async () => {
  const frames = [];
  let last = await new Promise(requestAnimationFrame);
  for (let step = 0; step < 150; step++) {
    scrollBy(0, 300);
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""


def choose(name: str, value: str) -> str:
    return f"document.getElementById('{name}').value = '{value}';" + (
        f"document.getElementById('{name}').dispatchEvent(new Event('change'))"
    )


def measure(file: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        runs = []
        for _ in range(5):
            page = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True).new_page()
            runs.append(opened(page, file))
            if len(runs) < 5:
                page.close()
        for name in ("first paint", "load"):
            print(f"{name:<24}{in_ms([run[name] for run in runs])}", flush=True)
        acts = {
            "filter by given label": [choose("given", str(number % CLASSES)) for number in range(10)],
            "back to all": [choose("given", value) for value in ("1", "") * 5],
            "sort": [choose("sort", value) for value in ("path", "suggested", "given", "rank") * 3],
            "turn a page": ["document.getElementById('next').click()"] * 5,
            "gallery and back": ["document.getElementById('view').click()"] * 10,
        }
        for name, steps in acts.items():
            print(f"{name:<24}{in_ms([page.evaluate(UNTIL_PAINTED, step) for step in steps])}", flush=True)
        page.evaluate("scrollTo(0, 2000)")
        frames = page.evaluate(SCROLL)
        slow = sum(frame > 50 for frame in frames)
        print(f"{'frame while scrolling':<24}{in_ms(frames)}, {slow} of {len(frames)} over 50 ms", flush=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--suspects", type=int, default=4_000)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--keep", type=Path, help="folder to make the run in, or to find it in again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(folder / "run")
        if not run.run_json.is_file():
            run = make_run(folder, options.images, options.suspects, options.side)
        verdict = judge(run)
        print(f"{verdict.summary.flagged:,} of {verdict.summary.samples:,} flagged", flush=True)
        for top in (1000, options.suspects):
            started = time.perf_counter()
            text = html.render(verdict, top=top)
            seconds = time.perf_counter() - started
            (folder / "report.html").write_text(text)
            print(f"{f'page of {top:,} suspects':<24}made in {seconds:.1f} s, {len(text) / 1e6:.1f} MB", flush=True)
        measure((folder / "report.html").absolute())


if __name__ == "__main__":
    main()
