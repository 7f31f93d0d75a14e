"""A data set with known label errors, made from what scikit-learn ships: handwritten digits as PNG files."""

import csv
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from aumclean import atomic
from aumclean.dataset.noise import uniform_noise
from aumclean.errors import DataError

TRUTH = "truth.csv"
IMAGES = "images"
NOISE_RATE = 0.1
EPOCHS = 15  # of 28 steps; the default of `fast` is meant for more images


def make_digits(folder: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Write 1,797 digits of 8 x 8 pixels as `images/<label>/NNNN.png`, one label in ten wrong.

    Args:
        folder: made when missing; what an earlier call left there is replaced.
        seed: of the planted errors.

    Returns:
        The image folder, and a manifest with the columns path, label and true_label.

    Raises:
        DataError: when the folder holds something else.
    """
    images, truth = folder / IMAGES, folder / TRUTH
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; choose another --out")
    if folder.exists() and any(folder.iterdir()) and not truth.is_file():
        raise DataError(f"{folder}: exists and was not made by the demo; choose another --out")
    digits = load_digits()
    noisy = uniform_noise(digits.target, 10, NOISE_RATE, np.random.default_rng(seed))
    names = [f"{label}/{number:04d}.png" for number, label in enumerate(noisy)]
    with atomic.replacing(truth) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "true_label"))
        writer.writerows(zip(names, noisy, digits.target, strict=True))
    shutil.rmtree(images, ignore_errors=True)
    for name, pixels in zip(names, digits.images, strict=True):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(images / name)
    return images, truth
