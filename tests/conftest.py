"""Shared ground: an environment without surprises, small images that can be learned, one trained run for all."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# before anything loads NumPy or torch: there is a process per core, and threads would only get in each other's way
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # many tests start the command: it compiles the package once

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from aumclean import machine
from aumclean.run.directory import Run

SMALL_NETWORK = "resnet8"  # takes a third of the time of the one that is chosen for small images
PLANTED_SCAN = {"arch": SMALL_NETWORK, "epochs": 6, "batch_size": 32, "flip": False, "precision": "fp32"}  # on any CPU
PLANTED_WORDS = ("--arch", SMALL_NETWORK, "--epochs", "6", "--batch-size", "32", "--no-flip", "--precision", "fp32")
settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")
COLOURS = {"amber": (220, 160, 30), "blue": (30, 60, 220), "green": (30, 180, 60)}


def pytest_xdist_auto_num_workers() -> int:
    """A process for every core that this one may use, also in a container that has a share of the machine."""
    return machine.cpus()


@pytest.fixture(autouse=True, scope="session")
def quiet_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No colour, 80 columns, an own cache, and nothing of the developer's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AUMCLEAN_") or name in {"CI", "GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS", "NO_COLOR"}:
                patch.delenv(name)
        patch.setenv("COLUMNS", "80")
        patch.setenv("TERMINAL_WIDTH", "80")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Write a small noisy image of one colour."""
    return write_image


def write_image(path: Path, colour: tuple[int, int, int] = (200, 100, 50), size: int = 12, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-25, 26, (size, size, 3))
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


def write_folder(root: Path, per_class: int = 4) -> Path:
    """An image folder with three classes that differ in colour."""
    for index, (name, colour) in enumerate(COLOURS.items()):
        for number in range(per_class):
            write_image(root / name / f"{number:03d}.png", colour, seed=1000 * index + number)
    return root


@pytest.fixture
def make_folder() -> Callable[..., Path]:
    """Write an image folder with three classes that differ in colour."""
    return write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of four images."""
    return write_folder(tmp_path / "photos")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of all processes that run these tests together."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def planted(shared: Path) -> SimpleNamespace:
    """360 images, 30 in the wrong folder: `.root`, the set `.wrong` of their paths, `.options` of a scan.

    `.words` are the same options as a command takes them. How to judge is left to the default.
    """
    root = shared / "planted" / "photos"
    rng = np.random.default_rng(7)
    names = list(COLOURS)
    misplaced, wrong, images = set(rng.choice(360, 30, replace=False)), set(), []
    for number in range(360):
        true = number % 3
        given = (true + rng.integers(1, 3)) % 3 if number in misplaced else true
        path = f"{names[given]}/{number:03d}.png"
        images.append((root / path, COLOURS[names[true]], number))
        if given != true:
            wrong.add(path)
    with FileLock(shared / "planted.lock"):
        if not root.exists():
            for path, colour, seed in images:
                write_image(path, colour, seed=seed)
    return SimpleNamespace(root=root, wrong=wrong, options=PLANTED_SCAN, words=PLANTED_WORDS)


@pytest.fixture(scope="session")
def finished(planted: SimpleNamespace, shared: Path) -> SimpleNamespace:
    """A finished scan of the planted folder: `.run`, `.verdict`, `.wrong`, `.root`. Read it, do not change it.

    One process trains it for all.
    """
    from aumclean.config.reading import load
    from aumclean.dataset.read import read_samples
    from aumclean.scanning.scan import scan
    from aumclean.verdict.judge import judge

    run = Run(shared / "runs" / "run")
    with FileLock(shared / "finished.lock"):
        if not run.path.exists():
            scan(read_samples(planted.root), load({"out": run.path, **PLANTED_SCAN}, environment={}))
    return SimpleNamespace(run=run, verdict=judge(run), wrong=planted.wrong, root=planted.root)


@pytest.fixture(scope="session")
def by_indicator(finished: SimpleNamespace) -> Any:
    """The verdict on the finished scan by the published threshold, that of the indicator samples.

    At the 95th percentile: of 90 indicator samples the 99th would be the largest, and one sample would decide.
    """
    from aumclean.verdict.judge import judge, settings_of

    return judge(finished.run, settings_of(finished.run, threshold="indicator", percentile=95.0))


@pytest.fixture
def own_run(finished: SimpleNamespace, tmp_path: Path) -> Run:
    """A copy of the finished run, to be changed."""
    return Run(shutil.copytree(finished.run.path, tmp_path / "run"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium without a screen; tests are skipped where there is none, unless REQUIRE_BROWSER is set."""
    path = shutil.which("chromium")
    if path is None and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip("chromium is not installed (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def make_large(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Make a run of crops of photographs, as the benchmark does: (samples, suspects, side in pixels)."""
    file = Path(__file__).parent / "benchmarks" / "page.py"
    spec = importlib.util.spec_from_file_location("page_benchmark", file)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return lambda *size: benchmark.make_run(tmp_path_factory.mktemp("large"), *size)


@pytest.fixture
def axe() -> Callable[[Any], list[str]]:
    """The rules of access that a page in the browser breaks, by axe-core; skips where that is not installed.

    In both themes, of which only two rules, of colours, know.
    """
    checker = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def broken(page: Any) -> list[str]:
        found = []
        for scheme, rules in (("dark", {"runOnly": ["color-contrast", "link-in-text-block"]}), ("light", {})):
            page.emulate_media(color_scheme=scheme)
            options = {"resultTypes": ["violations"], **rules}
            found += [(scheme, one) for one in checker.run(page, options=options).response["violations"]]
        return [f"{scheme}: {one['id']}: {node['html'][:120]}" for scheme, one in found for node in one["nodes"]]

    return broken


@pytest.fixture
def aumclean(capfd: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Run the command line in this process: `.code`, `.out`, `.err`."""
    from aumclean.cli import main

    def run(*arguments: object) -> SimpleNamespace:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=out, err=err)

    return run
