"""A small data set with a training and a test part, as a folder and as arrays."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aumclean.diagnostics.study import Options, open_study
from tests.test_schemas import problems


def require_described(record):
    """Hold the record of a diagnostic, and every one of its tables, against the schema."""
    assert problems("diagnostic", record) == []


def write_bands(root: Path, per_class: dict[str, int], size: int = 16, seed: int = 0) -> Path:
    """Four classes by two bits: a slow wave of brightness (lowest frequency), and a faint checkerboard (highest)."""
    rng = np.random.default_rng(seed)
    wave = np.cos(2 * np.pi * np.arange(size) / size)
    checker = np.indices((size, size)).sum(0) % 2 * 2 - 1
    for split, count in per_class.items():
        for label in range(4):
            for number in range(count):
                grey = rng.normal(120, 6, (size, size, 3))
                grey += (40 if label // 2 else -40) * wave[:, None]
                grey += (14 if label % 2 else -14) * checker[..., None] * (1 + 0.2 * rng.normal())
                path = root / split / f"class-{label}" / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="session")
def bands(tmp_path_factory):
    """160 training images and 80 test images of 16 pixels."""
    return write_bands(tmp_path_factory.mktemp("bands"), {"train": 40, "test": 20})


@pytest.fixture(scope="session")
def study(bands):
    return open_study(Options(data=bands, device="cpu"), limit=None, test_limit=None)
