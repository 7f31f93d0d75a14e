"""YOLO: a YAML file with the names of classes, and beside every image a text file with a line per box."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aumclean.dataset.annotations import Annotations
from aumclean.dataset.folder import is_image
from aumclean.dataset.splits import TRAIN, same_split, split_of
from aumclean.errors import DataError


def read_yolo(file: Path, split: str | None) -> tuple[Annotations, Path]:
    """The boxes that a YOLO data set lists, and the folder that paths are relative to.

    A line with more than four numbers is an outline; its box is what it spans.

    Args:
        file: the YAML file, such as `data.yaml`.
        split: which of its splits; `train` by default.

    Raises:
        DataError: when the file is no such file, or a line of a label file is no box of a known class.
    """
    about = _document(file)
    names = about["names"]
    names = {str(key): str(name) for key, name in (names.items() if isinstance(names, dict) else enumerate(names))}
    splits = [key for key in about if split_of(str(key)) and about[key]]
    chosen = next((key for key in splits if same_split(split or TRAIN, key)), None)
    if chosen is None:
        raise DataError(f"{file}: has no split '{split or TRAIN}' (--split); it has: {', '.join(splits)}")
    root = (file.parent / str(about.get("path") or ".")).resolve()
    listed = about[chosen] if isinstance(about[chosen], list) else [about[chosen]]
    images = sorted(image for one in listed for image in _images(root, file.parent, str(one)))
    rows, unlabeled = [], 0
    for image in images:
        text = label_file(image)
        found = list(_boxes(text, names)) if text.is_file() else []
        unlabeled += not found
        rows += [(_relative(image, root), *box) for box in found]
    notes = [f"{file}: {unlabeled} images have no box, so nothing of them is judged"] if unlabeled else []
    if split is None and len(splits) > 1:
        notes.append(f"{file} has the splits {', '.join(splits)}; reading '{chosen}' (--split chooses)")
    paths, labels, ids, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Annotations(paths, labels, ids, boxes, shares=True, notes=tuple(notes)), root


def label_file(image: Path) -> Path:
    """Where the boxes of an image are: below `labels` instead of the last `images`, as text."""
    parts = list(image.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def class_numbers(file: Path) -> dict[str, str]:
    """The number of every class by its name."""
    names = _document(file)["names"]
    return {str(name): str(key) for key, name in (names.items() if isinstance(names, dict) else enumerate(names))}


def _document(file: Path) -> dict[str, Any]:
    try:
        about = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(about, dict) or not isinstance(about.get("names"), dict | list):
        raise DataError(f"{file}: is no YOLO data set, as it has no 'names' of classes")
    return about


def _images(root: Path, beside: Path, listed: str) -> list[Path]:
    """The images of a folder, or of a text file with a path per line."""
    where = next((base / listed for base in (root, beside) if (base / listed).exists()), root / listed)
    if where.suffix == ".txt":
        lines = [line.strip() for line in where.read_text(encoding="utf-8").splitlines()]
        return [where.parent / line if line.startswith("./") else root / line for line in lines if line]
    return [path for path in where.rglob("*") if is_image(path.name)]


def _relative(image: Path, root: Path) -> str:
    return image.resolve().relative_to(root).as_posix() if image.resolve().is_relative_to(root) else str(image)


def _boxes(text: Path, names: dict[str, str]) -> list[tuple[str, str, tuple[float, ...]]]:
    """Label, number of the line, and box of each line, as shares of the picture."""
    found = []
    for number, line in enumerate(text.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            label, values = names[words[0]], np.array(words[1:], float)
        except (KeyError, ValueError):
            raise DataError(f"{text}: line {number} is no box of a class that is named") from None
        if len(values) >= 6 and len(values) % 2 == 0:  # an outline
            low, high = values.reshape(-1, 2).min(0), values.reshape(-1, 2).max(0)
            box = (*low, *(high - low))
        elif len(values) in {4, 5}:  # perhaps with a confidence
            box = (values[0] - values[2] / 2, values[1] - values[3] / 2, values[2], values[3])
        else:
            raise DataError(f"{text}: line {number} has {len(values)} numbers; a box has four")
        found.append((label, str(number), tuple(map(float, box))))
    return found
