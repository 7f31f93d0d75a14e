"""A data set with known label errors, made from what scikit-learn ships: handwritten digits as PNG files."""

import csv
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from sklearn.datasets import load_digits

from aumclean import chance
from aumclean.dataset.label_noise import uniform_noise
from aumclean.errors import DataError
from aumclean.files import atomic

TRUTH = "truth.csv"
IMAGES = "images"
HEADER = ["path", "label", "true_label"]
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
    digits = load_digits()
    pictures = (digits.images * (255 / 16)).astype(np.uint8)
    if folder.exists() and any(folder.iterdir()) and not _made_by_demo(images, truth, pictures):
        raise DataError(f"{folder}: exists and was not made by the demo; choose another --out")
    noisy = uniform_noise(digits.target, 10, NOISE_RATE, chance.generator(seed, "corruption"))
    names = [f"{label}/{number:04d}.png" for number, label in enumerate(noisy)]
    with atomic.replacing(truth) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(zip(names, noisy, digits.target, strict=True))
    if images.exists():
        shutil.rmtree(images)
    with atomic.new_folder(images) as building:
        for name, picture in zip(names, pictures, strict=True):
            (building / name).parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(building / name)
    return images, truth


def _made_by_demo(images: Path, truth: Path, digits: np.ndarray) -> bool:
    """Whether `images` and `truth` hold nothing but what the demo writes: only then may they be deleted."""
    if not truth.is_file() or images.is_symlink():
        return False
    with truth.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.reader(file))
    files = (entry for entry in images.rglob("*") if entry.is_symlink() or not entry.is_dir())
    return rows[:1] == [HEADER] and len(rows) == 1 + len(digits) and all(_is_digit(file, digits) for file in files)


def _is_digit(file: Path, digits: np.ndarray) -> bool:
    """Whether a file is the picture of the digit whose number it has."""
    try:
        with Image.open(file) as picture:
            return not file.is_symlink() and np.array_equal(np.asarray(picture), digits[int(file.stem)])
    except (UnidentifiedImageError, ValueError, IndexError):
        return False
