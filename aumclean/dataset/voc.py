"""Pascal VOC: beside the folder of pictures one of XML files, with the objects of a picture in each."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from aumclean.dataset.annotations import Annotations, lines_of
from aumclean.dataset.folder import PassedOver, images_below
from aumclean.dataset.splits import same_split, split_of
from aumclean.errors import DataError

ANNOTATIONS = ("Annotations", "annotations")
PICTURES = ("JPEGImages", "images")
CORNERS = ("xmin", "ymin", "xmax", "ymax")  # pixels, counted from 1, that are in the box


class VocFolders(NamedTuple):
    """The two folders of such a data set."""

    annotations: Path
    pictures: Path

    def file_of(self, picture: str) -> Path:
        """The XML file of a picture, which is named relative to the data set."""
        return (self.annotations / Path(picture).relative_to(self.pictures.name)).with_suffix(".xml")


def voc_folders(data: Path) -> VocFolders | None:
    """Those of a data set; None when it is no such data set."""
    annotations, pictures = (
        next(filter(Path.is_dir, (data / name for name in names)), None) for names in (ANNOTATIONS, PICTURES)
    )
    if annotations is None or pictures is None or next(annotations.rglob("*.xml"), None) is None:
        return None
    return VocFolders(annotations, pictures)


def read_voc(data: Path, folders: VocFolders, split: str | None) -> Annotations:
    """The boxes of a Pascal VOC data set; each is called by the number of its object in the file.

    Args:
        data: the folder of the data set.
        folders: the two in it.
        split: which of the lists in `ImageSets/Main`; the one for training by default, and all pictures without lists.

    Raises:
        DataError: when there is no such list, or a file is no XML, or an object in it has no name or a broken box.
    """
    passed = PassedOver()
    pictures = {_stem(path): path for path in images_below(folders.pictures, passed)}
    found = (path for path in folders.annotations.rglob("*.xml") if not path.name.startswith("."))
    files = {_stem(path.relative_to(folders.annotations).as_posix()): path for path in found}
    chosen, notes = _of_split(data, pictures.keys() | files.keys(), split)
    notes += passed.notes(folders.pictures)
    rows, counts = [], Counter[str]()
    for name in sorted(chosen):
        path = f"{folders.pictures.name}/{pictures.get(name, f'{name}.jpg')}"
        objects = list(_objects(files[name])) if name in files else []
        boxed = [(path, label, number, box) for number, label, box, _ in objects if box]
        rows += boxed
        counts["images have no box, so nothing of them is judged"] += not boxed
        counts["objects have no box; they are left out"] += len(objects) - len(boxed)
        counts["objects are marked as difficult; they are judged like the others"] += sum(hard for *_, hard in objects)
    notes += [f"{data}: {count} {what}" for what, count in counts.items() if count]
    paths, labels, ids, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Annotations(paths, labels, ids, boxes, shares=False, notes=tuple(notes))


def _objects(file: Path) -> Iterator[tuple[str, str, tuple[float, ...] | None, bool]]:
    """Number, label, box and difficulty of each object in the file of a picture."""
    try:
        root = ET.parse(file).getroot()
    except (ET.ParseError, OSError) as error:
        raise DataError(f"{file}: is not readable XML ({error})") from None
    for number, one in enumerate(root.findall("object"), start=1):
        label, corners, box = one.findtext("name", "").strip(), one.find("bndbox"), None
        if not label:
            raise DataError(f"{file}: object {number} has no name")
        if corners is not None:
            try:
                left, top, right, bottom = (float(corners.findtext(side, "")) for side in CORNERS)
            except ValueError:
                raise DataError(f"{file}: the box of object {number} has sides that are no numbers") from None
            box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
        yield str(number), label, box, one.findtext("difficult", "").strip() == "1"


def _of_split(data: Path, names: set[str], split: str | None) -> tuple[set[str], list[str]]:
    """The names of pictures, without a suffix, that are of a split, and what there is to say."""
    files = data.glob("ImageSets/Main/*.txt")  # those of single classes, `cat_train.txt`, say which pictures have some
    lists = {file.stem: file for file in files if split_of(file.stem) or file.stem.casefold() == "trainval"}
    known = sorted(lists, key=lambda word: (not word.casefold().startswith("train"), word))
    if split is None and not known:
        return names, []
    chosen = known[0] if split is None else next((word for word in known if same_split(split, word)), None)
    if chosen is None:
        has = f"; it has: {', '.join(known)}" if known else ", nor any other in ImageSets/Main"
        raise DataError(f"{data}: has no split '{split}' (--split){has}")
    listed = {word: set(filter(None, map(str.strip, lines_of(file)))) for word, file in lists.items()}
    said = f"{data} has the splits {', '.join(known)}; reading '{chosen}' (--split chooses)"
    notes = [said] if split is None and len(known) > 1 else []
    if alone := names - set().union(*listed.values()):
        notes.append(f"{data}: {len(alone)} images are in none of its splits; they are not read")
    return listed[chosen], notes


def _stem(path: str) -> str:
    return path[: path.rindex(".")]
