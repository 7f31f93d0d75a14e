"""Exports of annotation tools as data: Label Studio (JSON) and CVAT (XML), of whole images or of boxes."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

from aumclean.dataset.annotations import Annotations
from aumclean.dataset.folder import is_image, listed
from aumclean.dataset.one_label import ONE_LABEL
from aumclean.errors import DataError
from aumclean.files.location import Location, opened

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
    for number, task in enumerate(document):
        try:
            picture = next(
                value for value in task["data"].values() if isinstance(value, str) and _looks_like_image(value)
            )
            answers = [one["result"] for one in task["annotations"] if not one.get("was_cancelled")]
            results = _most_frequent(answers) if answers else []
        except (KeyError, TypeError, StopIteration):
            raise DataError(
                f"{file}: task {number + 1} is none of an image with annotations (export as JSON)"
            ) from None
        path = _local(picture, exists)
        choices = [name for one in results if one.get("type") == "choices" for name in _value(one).get("choices") or ()]
        rectangles = [one for one in results if one.get("type") == RECTANGLE]
        shapes = [kind for one in results if (kind := str(one.get("type"))) not in READ | UNLABELED]
        said.update(f"labels are {kind}; they are left out" for kind in shapes)
        said[TURNED] += sum(bool(_value(one).get("rotation")) for one in rectangles)
        differing += [path] * any(_values(one) != _values(results) for one in answers)
        if len(set(choices)) > 1:
            raise DataError(f"{file}: '{path}' has the labels {' and '.join(map(repr, choices[:5]))}; {ONE_LABEL}")
        undecided += not (choices or rectangles or shapes)
        whole += [(path, choice) for choice in dict.fromkeys(choices)]
        boxed += [_rectangle(file, path, number, one) for number, one in enumerate(rectangles, start=1)]
    said[SEVERAL.format(listed(differing, 3))] += len(differing)
    return _either(file, whole, boxed, undecided, said, shares=True)


def read_cvat(file: Location) -> Annotations:
    """The labels of a CVAT export (for images 1.1, XML): tags of whole images, or boxes.

    Raises:
        DataError: as `read_label_studio`.
    """
    try:
        with opened(file) as stream:
            root = ET.parse(stream).getroot()
    except (ET.ParseError, OSError) as error:
        raise DataError(f"{file}: is not readable XML ({error})") from None
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
    labels = value.get("rectanglelabels") or []
    if len(labels) != 1:
        raise DataError(f"{file}: a rectangle of '{path}' has {len(labels)} labels; {ONE_LABEL}")
    sides = _numbers(file, path, [value.get(side) for side in ("x", "y", "width", "height")])
    return path, labels[0], str(number), tuple(side / 100 for side in sides)


def _numbers(file: Location, path: str, given: list[Any]) -> tuple[float, ...]:
    try:
        return tuple(map(float, given))
    except (TypeError, ValueError):
        raise DataError(f"{file}: a box of '{path}' has {given}, which are not all numbers") from None


def _most_frequent(answers: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What most annotators answered of an image; of answers that as many gave the last."""
    votes = [sum(_values(one) == _values(other) for other in answers) for one in answers]
    return answers[max(range(len(answers)), key=lambda at: (votes[at], at))]


def _values(results: list[dict[str, Any]] | None) -> list[Any]:
    """What annotators answered, without what tells their answers apart."""
    return [one.get("value") for one in results or ()]


def _value(result: dict[str, Any]) -> dict[str, Any]:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _looks_like_image(value: str) -> bool:
    return is_image(urlsplit(value).path) or is_image(parse_qs(urlsplit(value).query).get("d", [""])[0])


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
