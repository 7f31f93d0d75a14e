"""Pascal VOC: an XML file with the objects of each picture, in a folder beside that of the pictures or next to them."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aumclean.dataset.annotations import Annotations, lines_of, xml_of
from aumclean.dataset.folder import PassedOver, folders_in, images_below, split_folder
from aumclean.dataset.splits import same_split, split_of
from aumclean.errors import DataError
from aumclean.files.location import files_below

ANNOTATIONS = ("Annotations", "annotations")
PICTURES = ("JPEGImages", "images")
CORNERS = ("xmin", "ymin", "xmax", "ymax")  # pixels, counted from 1, that are in the box
OF_A_PICTURE = re.compile(rb"<annotation[\s>]")
HEAD = 1 << 10  # bytes of an XML file in which it says what it is


@dataclass(frozen=True)
class Voc:
    """Such a data set.

    Attributes:
        data: its folder.
        folders: those of pictures and of XML files in it; None where each picture has its XML file next to it.
    """

    data: Path
    folders: tuple[str, str] | None

    def file_of(self, picture: str) -> Path:
        """The XML file of a picture, which is named relative to the data set."""
        name = Path(picture).with_suffix(".xml")
        if self.folders is None:
            return self.data / name
        pictures, annotations = self.folders
        return self.data / annotations / name.relative_to(pictures)


def voc_of(data: Path) -> Voc | None:
    """The data set in a folder; None when that is something else."""
    pictures, annotations = (
        next((name for name in names if (data / name).is_dir()), None) for names in (PICTURES, ANNOTATIONS)
    )
    if pictures and annotations and next((data / annotations).rglob("*.xml"), None) is not None:
        return Voc(data, (pictures, annotations))
    try:
        places = [data, *(data / name for name in sorted(folders_in(data)) if split_of(name))]
        return Voc(data, None) if any(map(_has_xml_of_a_picture, places)) else None
    except OSError:  # no folder, or one that may not be read: others say so
        return None


def _has_xml_of_a_picture(folder: Path) -> bool:
    """Whether the first XML file in a folder says that it is one."""
    first = next(folder.glob("*.xml"), None)
    return first is not None and bool(OF_A_PICTURE.search(first.read_bytes()[:HEAD]))


def read_voc(voc: Voc, split: str | None) -> Annotations:
    """The boxes of a Pascal VOC data set; each is called by the number of its object in the file.

    Args:
        voc: the data set.
        split: which of the lists in `ImageSets/Main`, or of the split folders; the one for training by default, and
            all pictures where there are none.

    Raises:
        DataError: when there is no such list, or a file is no XML, or an object in it has no name or a broken box.
    """
    data, passed = voc.data, PassedOver()
    if voc.folders is None:
        inside, _, notes = split_folder(data, folders_in(data), split, None)
        of_pictures, of_files = inside, inside
    else:
        (of_pictures, of_files), notes = voc.folders, []
    pictures = {_stem(path): path for path in images_below(data / of_pictures, passed)}
    found = [name for name in files_below(data / of_files) if name.endswith(".xml") and Path(name).name[0] != "."]
    files = {_stem(name): data / of_files / name for name in found}
    chosen = pictures.keys() | files.keys()
    if voc.folders is None:
        passed.kinds.pop(".xml", None)
    else:
        chosen, notes = _of_split(data, chosen, split)
    notes += passed.notes(data / of_pictures)
    rows, counts = [], Counter[str]()
    for name in sorted(chosen):
        path = Path(of_pictures, pictures.get(name, f"{name}.jpg")).as_posix()
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
    for number, one in enumerate(xml_of(file).findall("object"), start=1):
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
