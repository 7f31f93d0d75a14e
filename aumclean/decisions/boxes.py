"""Boxes written back into the form they came in: only what was decided changes, every other byte stays."""

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from aumclean.dataset.voc import voc_of
from aumclean.dataset.yolo import DATA_FILE, class_numbers, label_file
from aumclean.decisions.clean import Cleaning
from aumclean.errors import DataError
from aumclean.files import atomic

Box = tuple[str, str]  # the path of the picture, and what tells the box apart
Changes = dict[int, str | None]  # of the boxes of a picture, by their numbers: the new label; None for one to remove
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def write_boxes(source: Path, root: Path, format: str, paths: list[str], cleaning: Cleaning, out: Path) -> Path | None:
    """Write the corrected COCO file, or those files of a YOLO or VOC data set that change, to be unpacked over it.

    Args:
        source: the file or folder that was scanned.
        root: the folder that paths are relative to.
        format: of the source; of others nothing is written.
        paths: of every sample: `image#box`.
        cleaning: what becomes of each.
        out: the cleaned manifest, beside which this goes: its name with `.json` or `-labels.zip`.

    Returns:
        What was written; None when there is nothing of the kind.

    Raises:
        DataError: when the source is gone or another.
    """
    relabeled = {_box(paths[sample]): label for sample, label in cleaning.new_labels.items()}
    removed = {_box(paths[sample]) for sample in cleaning.removed.tolist()}
    if format == "coco":
        target = out.with_suffix(".json")
        try:
            text = source.read_bytes().decode()
            by_id = {one: label for (_, one), label in relabeled.items()}
            corrected = coco_text(text, by_id, {one for _, one in removed})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{source}: is gone or has changed since the scan ({error})") from None
        atomic.write_bytes(target, corrected.encode())
        return target
    target = out.with_name(f"{out.stem}-labels.zip")
    if format == "yolo":
        file = source / DATA_FILE if source.is_dir() else source
        numbers = class_numbers(file)
        if gone := set(relabeled.values()) - numbers.keys():
            raise DataError(f"{file}: has changed since the scan (it has no class '{min(gone)}')")
        changes = _by_picture({box: numbers[label] for box, label in relabeled.items()}, removed)
        yolo = ((label_file(Path(path)).as_posix(), label_file(root / path), new) for path, new in changes)
        _write_zip(target, yolo, _corrected)
        return target
    if format == "voc":
        if (voc := voc_of(source)) is None:
            raise DataError(f"{source}: is gone or has changed since the scan")
        files = ((voc.file_of(path), new) for path, new in _by_picture(relabeled, removed))
        _write_zip(target, ((file.relative_to(source).as_posix(), file, new) for file, new in files), voc_content)
        return target
    return None


def _box(path: str) -> Box:
    picture, _, one = path.rpartition("#")
    return picture, one


def coco_text(text: str, relabeled: dict[str, str], removed: set[str]) -> str:
    """A COCO file with other categories at some annotations and without others, by their ids.

    Raises:
        ValueError, KeyError, TypeError: when it is no such file; KeyError also for an annotation that is not there.
    """
    spans = dict(_members(text, text.index("{")))
    categories = {one["name"]: one["id"] for one in _decoded(text, spans["categories"])}
    at = spans["annotations"][0]
    before = _skip(text, at + 1)
    missing, pieces = relabeled.keys() | removed, [text[:before]]
    for start, end in _elements(text, at):
        one = str(_decoded(text, (start, end))["id"])
        missing -= {one}
        if one not in removed:
            between = text[before:start] if len(pieces) > 1 else ""  # the comma before it, as it stands there
            pieces.append(between + _with_category(text, start, end, categories, relabeled.get(one)))
        before = end
    if missing:
        raise KeyError(f"annotation {min(missing)}")
    return "".join([*pieces, text[before:]])


def _with_category(text: str, start: int, end: int, categories: dict[str, Any], label: str | None) -> str:
    if label is None:
        return text[start:end]
    first, behind = dict(_members(text, start))["category_id"]
    return text[start:first] + json.dumps(categories[label]) + text[behind:end]


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _decoded(text: str, span: tuple[int, int]) -> Any:
    return json.loads(text[slice(*span)])


def _members(text: str, at: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Every key of the object that begins at `at`, with where its value is."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, start)
        yield key, (start, end)
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Where every element of the list that begins at `at` is."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield at, end
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at


def _by_picture(relabeled: dict[Box, str], removed: set[Box]) -> list[tuple[str, Changes]]:
    changed: dict[str, Changes] = {}
    for (image, one), label in [*relabeled.items(), *((box, None) for box in removed)]:
        changed.setdefault(image, {})[int(one)] = label
    return sorted(changed.items())


def _write_zip(
    target: Path, files: Iterable[tuple[str, Path, Changes]], corrected: Callable[[bytes, Changes], bytes]
) -> None:
    """Pack the files of some pictures, each under its name, as their changes make them."""
    with atomic.replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file, new in files:
            try:
                content = corrected(file.read_bytes(), new)
            except OSError as error:
                raise DataError(f"{file}: {atomic.reason(error)}") from None
            except (LookupError, ValueError, expat.ExpatError) as error:
                raise DataError(f"{file}: has changed since the scan ({error})") from None
            archive.writestr(name, content)


def _corrected(content: bytes, lines: Changes) -> bytes:
    kept = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        new = lines.get(number, "")
        if new == "":
            kept.append(line)
        elif new is not None:
            indent = line[: len(line) - len(line.lstrip())]
            kept.append(indent + new.encode() + line.lstrip().removeprefix(line.split()[0]))
    return b"".join(kept)


def voc_content(content: bytes, changes: Changes) -> bytes:
    """The XML file of a picture with other names of some objects and without others, by their numbers.

    Raises:
        LookupError, ValueError, ExpatError: when it is no such file.
    """
    parser, path, begins = expat.ParserCreate(), list[str](), list[int]()
    names, objects = dict[int, slice](), list[slice]()

    def begin(tag: str, _: dict[str, str]) -> None:
        path.append(tag)
        begins.append(parser.CurrentByteIndex)

    def end(_: str) -> None:
        start, stop = begins.pop(), parser.CurrentByteIndex
        if path[1:] == ["object", "name"]:
            names.setdefault(len(objects) + 1, slice(content.index(b">", start) + 1, stop))
        if path[1:] == ["object"]:
            before = len(content[:start].rstrip())  # with the blanks that it is indented by
            objects.append(slice(before, content.index(b">", stop) + 1))
        path.pop()

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.Parse(content, True)
    for number, name in sorted(changes.items(), reverse=True):
        span = objects[number - 1] if name is None else names[number]
        old = content[span]
        new = b"" if name is None else old.replace(old.strip(), escape(name).encode("ascii", "xmlcharrefreplace"))
        content = content[: span.start] + new + content[span.stop :]
    return content
