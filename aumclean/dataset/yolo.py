"""YOLO: a YAML file with the names of classes, and beside every image a text file with a line per box."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aumclean.dataset.annotations import Annotations, lines_of
from aumclean.dataset.folder import PassedOver, is_image
from aumclean.dataset.splits import TRAIN, same_split, split_of
from aumclean.errors import DataError
from aumclean.files.location import exists, files_below, is_folder

DATA_FILE = "data.yaml"


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
    names = _names(about)
    splits = [key for key in about if split_of(str(key)) and about[key]]
    chosen = next((key for key in splits if same_split(split or TRAIN, key)), None)
    if chosen is None:
        raise DataError(f"{file}: has no split '{split or TRAIN}' (--split); it has: {', '.join(splits)}")
    named = file.parent / str(about.get("path") or ".")
    root = (named if is_folder(named) else file.parent).resolve()
    images: list[Path] = []
    notes: list[str] = []
    for one in about[chosen] if isinstance(about[chosen], list) else [about[chosen]]:
        where = _where(root, file.parent.resolve(), str(one))
        if where is None:
            raise DataError(f"{file}: its '{chosen}' is {one}, and there is no such folder or list of images")
        images += _listed(where, root) if where.suffix == ".txt" else _images(where, notes)
    rows, unlabeled = [], 0
    for image in sorted(images):
        text = label_file(image)
        found = list(_boxes(text, names)) if text.is_file() else []
        unlabeled += not found
        rows += [(_relative(image, root), *box) for box in found]
    if unlabeled:
        notes.append(f"{file}: {unlabeled} images have no box, so nothing of them is judged")
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
    return {name: number for number, name in _names(_document(file)).items()}


def _names(about: dict[str, Any]) -> dict[str, str]:
    """The name of every class by its number."""
    names = about["names"]
    return {str(number): str(name) for number, name in (names.items() if isinstance(names, dict) else enumerate(names))}


def _document(file: Path) -> dict[str, Any]:
    try:
        about = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(about, dict) or not isinstance(about.get("names"), dict | list):
        raise DataError(f"{file}: is no YOLO data set, as it has no 'names' of classes")
    return about


def _where(root: Path, beside: Path, named: str) -> Path | None:
    """What a split names. Roboflow names folders as if the file lay one folder further down."""
    forms = (base / form for base in (root, beside) for form in (named, named.removeprefix("../")))
    return next((form.resolve() for form in forms if exists(form)), None)


def _listed(file: Path, root: Path) -> list[Path]:
    """The images of a text file with a path per line."""
    lines = [line.strip() for line in lines_of(file)]
    return [file.parent / line if line.startswith("./") else root / line for line in lines if line]


def _images(folder: Path, notes: list[str]) -> list[Path]:
    """The images of a folder; what lies there or among its labels and is not read is noted."""
    files = [folder / name for name in files_below(folder)]
    images = [path for path in files if is_image(path.name) and not path.name.startswith(".")]
    passed, labels = PassedOver(), label_file(folder / "image").parent
    for path in set(files) - set(images):
        if path.suffix != ".txt":
            passed.file(path.name)
    beside = map(labels.joinpath, files_below(labels) if labels.is_dir() else ())
    texts = {path for path in beside if path.suffix == ".txt" and path.name != "classes.txt"}
    if alone := sorted(texts - set(map(label_file, images))):
        shown = alone[0].relative_to(labels)
        notes.append(f"{labels}: {len(alone)} files of boxes are of no image that can be read, such as {shown}")
    notes += passed.notes(folder)
    return images


def _relative(image: Path, root: Path) -> str:
    return image.resolve().relative_to(root).as_posix() if image.resolve().is_relative_to(root) else str(image)


def _boxes(text: Path, names: dict[str, str]) -> list[tuple[str, str, tuple[float, ...]]]:
    """Label, number of the line, and box of each line, as shares of the picture."""
    found = []
    for number, line in enumerate(lines_of(text), start=1):
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
