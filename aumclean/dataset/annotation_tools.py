"""Exports of annotation tools as data: Label Studio (JSON) and CVAT (XML), of whole images or of boxes."""

import reprlib
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from aumclean.dataset.annotations import Annotations, xml_of
from aumclean.dataset.folder import is_image, listed
from aumclean.dataset.one_label import ONE_LABEL
from aumclean.errors import DataError
from aumclean.files.location import Location

_Box = tuple[str, str, str, tuple[float, ...]]  # path, label, what tells it apart, left, top, width and height
RECTANGLE = "rectanglelabels"
READ = {"choices", RECTANGLE}
UNLABELED = {"rectangle", "polygon", "ellipse", "keypoint", "brush"}  # regions again, without their labels
TURNED = "boxes are turned; each is cut out as if it were not"
SEVERAL = "images have several annotations that differ ({}); the most frequent counts, of as many the last"
TRACKS = "labels are tracks of a video; they are left out"
SHAPES = {"polygon", "polyline", "points", "ellipse", "cuboid", "skeleton", "mask"}  # of CVAT, beside boxes


def read_label_studio(file: Location, document: Any, exists: Callable[[str], bool]) -> Annotations:
    """The labels of a Label Studio export (JSON): choices of whole images, or labeled rectangles.

    Args:
        file: for messages.
        document: the list of tasks.
        exists: whether there is a picture of this path below the root.

    Raises:
        DataError: for a file of another form, several labels of an image, or images with choices beside others with
            rectangles.
    """
    whole: list[tuple[str, str]] = []
    boxed: list[_Box] = []
    undecided, said, differing = 0, Counter[str](), list[str]()
    for number, task in enumerate(document, start=1):
        try:
            picture, answers = _answered(task)
        except (AttributeError, KeyError, TypeError, StopIteration):
            raise DataError(f"{file}: task {number} is none of an image with annotations (export as JSON)") from None
        path, results = _local(picture, exists), _most_frequent(answers)
        choices = [
            name for one in results if one.get("type") == "choices" for name in _names(file, path, one, "choices")
        ]
        rectangles = [one for one in results if one.get("type") == RECTANGLE]
        shapes = [kind for one in results if (kind := str(one.get("type"))) not in READ | UNLABELED]
        said.update(f"labels are {kind}; they are left out" for kind in shapes)
        said[TURNED] += sum(bool(_value(one).get("rotation")) for one in rectangles)
        differing += [path] * any(_values(one) != _values(results) for one in answers)
        if len(set(choices)) > 1:
            raise DataError(f"{file}: '{path}' has the labels {' and '.join(map(repr, choices[:5]))}; {ONE_LABEL}")
        undecided += not (choices or rectangles or shapes)
        whole += [(path, choice) for choice in dict.fromkeys(choices)]
        boxed += [_rectangle(file, path, at, one) for at, one in enumerate(rectangles, start=1)]
    said[SEVERAL.format(listed(differing, 3))] += len(differing)
    return _either(file, whole, boxed, undecided, said, shares=True)


def _answered(task: dict[str, Any]) -> tuple[str, list[list[dict[str, Any]]]]:
    """The picture of a task, and what each annotator answered.

    Raises:
        AttributeError, KeyError, TypeError, StopIteration: for a task of another form.
    """
    picture = next(value for value in task["data"].values() if isinstance(value, str) and _looks_like_image(value))
    answers = [one["result"] or [] for one in task["annotations"] if not one.get("was_cancelled")]
    if not all(isinstance(one, dict) for answer in answers for one in answer):
        raise TypeError
    return picture, answers


def read_cvat(file: Location) -> Annotations:
    """The labels of a CVAT export (for images 1.1, XML): tags of whole images, or boxes.

    Raises:
        DataError: as `read_label_studio`.
    """
    root = xml_of(file)
    if root.tag != "annotations":
        raise DataError(f"{file}: is no export of CVAT for images; of Pascal VOC pass the folder of Annotations")
    whole: list[tuple[str, str]] = []
    boxed: list[_Box] = []
    undecided, said = 0, Counter[str]()
    said[TRACKS] += len(list(root.iter("track")))
    for image in root.iter("image"):
        path = image.get("name", "")
        tags = list(dict.fromkeys(tag.get("label", "") for tag in image.iter("tag")))
        if len(tags) > 1:
            raise DataError(f"{file}: '{path}' has the labels {' and '.join(map(repr, tags[:5]))}; {ONE_LABEL}")
        boxes = list(image.iter("box"))
        shapes = [one.tag for one in image if one.tag in SHAPES]
        said.update(f"labels are {kind}; they are left out" for kind in shapes)
        said[TURNED] += sum(_numbers(file, path, [box.get("rotation", 0)]) != (0,) for box in boxes)
        undecided += not (tags or boxes or shapes)
        whole += [(path, tag) for tag in tags]
        for number, box in enumerate(boxes, start=1):
            left, top, right, bottom = _numbers(file, path, [box.get(side) for side in ("xtl", "ytl", "xbr", "ybr")])
            boxed.append((path, box.get("label", ""), str(number), (left, top, right - left, bottom - top)))
    return _either(file, whole, boxed, undecided, said, shares=False)


def _either(
    file: Location,
    whole: list[tuple[str, str]],
    boxed: list[_Box],
    undecided: int,
    said: Counter[str],
    *,
    shares: bool,
) -> Annotations:
    said["images have no label yet; they are left out"] += undecided
    notes = tuple(f"{file}: {count} {what}" for what, count in said.items() if count)
    if whole and boxed:
        raise DataError(f"{file}: has labels of whole images and of boxes; export one kind")
    if boxed:
        paths, labels, ids, boxes = zip(*boxed, strict=True)
        return Annotations(paths, labels, ids, boxes, shares=shares, notes=notes)
    paths, labels = zip(*whole, strict=True) if whole else ((), ())
    return Annotations(paths, labels, notes=notes)


def _rectangle(file: Location, path: str, number: int, result: dict[str, Any]) -> _Box:
    value = _value(result)
    labels = _names(file, path, result, RECTANGLE)
    if len(labels) != 1:
        raise DataError(f"{file}: a rectangle of '{path}' has {len(labels)} labels; {ONE_LABEL}")
    sides = _numbers(file, path, [value.get(side) for side in ("x", "y", "width", "height")])
    return path, labels[0], str(number), tuple(side / 100 for side in sides)


def _numbers(file: Location, path: str, given: list[Any]) -> tuple[float, ...]:
    try:
        return tuple(map(float, given))
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{file}: a box of '{path}' has {given}, which are not all numbers") from None


def _most_frequent(answers: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What most annotators answered of an image; of answers that as many gave the last. Nothing where there is none."""
    if not answers:
        return []
    votes = [sum(_values(one) == _values(other) for other in answers) for one in answers]
    return answers[max(range(len(answers)), key=lambda at: (votes[at], at))]


def _values(results: list[dict[str, Any]]) -> list[Any]:
    """What annotators answered, without what tells their answers apart."""
    return [one.get("value") for one in results]


def _names(file: Location, path: str, result: dict[str, Any], key: str) -> list[str]:
    """The labels in a result."""
    names = _value(result).get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: '{path}' has {reprlib.repr(names)} for {key}, which are no list of labels")
    return names


def _value(result: dict[str, Any]) -> dict[str, Any]:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _looks_like_image(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:  # text with brackets where an address has its host
        return False
    return is_image(parts.path) or is_image(parse_qs(parts.query).get("d", [""])[0])


def _local(address: str, exists: Callable[[str], bool]) -> str:
    """Which file of the data an address means: the longest end of it that is one.

    `/data/local-files/?d=photos/cat/1.png` has it in its query; an uploaded file has eight letters before its own name.
    """
    parts = urlsplit(address)
    path = unquote(parse_qs(parts.query).get("d", [parts.path])[0]).strip("/")
    folders = path.split("/")
    ends = ["/".join(folders[start:]) for start in range(len(folders))]
    ends.append(folders[-1].partition("-")[2])
    return next((end for end in ends if end and ".." not in end and exists(end)), path)
