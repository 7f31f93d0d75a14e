"""Annotations of pictures, whatever file lists them: whole images with a label, or boxes with one each."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.dataset.crops import Crops
from aumclean.dataset.folder import require_utf8
from aumclean.dataset.images import Images, files_of
from aumclean.dataset.manifest import encoded, refuse_repeated
from aumclean.dataset.paths import inside_root
from aumclean.dataset.samples import Samples
from aumclean.errors import DataError
from aumclean.files.location import Location, below, exists, name_of, opened, parent_of
from aumclean.run.record import BoxFormat


@dataclass(frozen=True)
class Annotations:
    """What a file says, one entry per label.

    Attributes:
        paths: of the pictures, as the file names them.
        labels: the names of the classes.
        ids: what tells the boxes of a picture apart; empty where whole images are labeled.
        boxes: left, top, width and height of each; empty where whole images are labeled.
        shares: whether boxes are shares of the picture, or pixels.
        notes: what there is to say.
    """

    paths: Sequence[str]
    labels: Sequence[str]
    ids: Sequence[str] = ()
    boxes: Sequence[Sequence[float]] = ()
    shares: bool = False
    notes: tuple[str, ...] = ()


def lines_of(file: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        DataError: when it is none.
    """
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())})") from None


def xml_of(file: Location) -> ET.Element:
    """The root of an XML file.

    Raises:
        DataError: when it is none, or in an encoding that the parser does not know.
    """
    try:
        with opened(file) as stream:
            return ET.parse(stream).getroot()
    except (ET.ParseError, LookupError, ValueError, OSError) as error:
        raise DataError(f"{file}: is not readable XML ({error})") from None


def _texts(file: Location, given: Sequence[str]) -> pa.Array:
    """Paths, labels or ids as an array.

    Raises:
        DataError: for one that is no text.
    """
    if strange := [one for one in given if not isinstance(one, str)]:
        raise DataError(f"{file}: {reprlib.repr(strange[0])} is where the name of an image or a class should be")
    require_utf8(file, given)
    return pa.array(given, pa.string())


def annotated(file: Location, found: Annotations, root: Location | None, format: BoxFormat) -> Samples:
    """The samples that a file of annotations lists, in the order of pictures and then of boxes.

    Args:
        file: DATA itself.
        found: what it says.
        root: the folder of the pictures; found near the file when not given.
        format: of the file.

    Raises:
        DataError: when it lists nothing, a picture outside the root, one with two labels, or names that are no texts.
    """
    if not found.paths:
        raise DataError(". ".join([f"{file}: labels no image", *found.notes]))
    listed, given = _texts(file, found.paths), _texts(file, found.labels)
    root = root or _root_near(file, found.paths[0])
    paths = inside_root(file, listed, np.arange(len(listed)), root)
    pictures = paths.dictionary_encode()
    of_picture = pictures.indices.to_numpy().astype(np.int64)
    labels, class_names = encoded(pa.chunked_array([given]))
    order = pc.sort_indices(paths).to_numpy()  # stable: the boxes of a picture stay in their order
    images: Images
    if len(found.boxes):
        shown = pc.binary_join_element_wise(paths, _texts(file, found.ids), "#").take(pa.array(order))
        try:
            boxes = np.array(found.boxes, np.float64).reshape(-1, 4)
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{file}: a box has sides that are no numbers") from None
        images = Crops(files_of(root, pictures.dictionary), of_picture[order], boxes[order], found.shares, format)
    else:
        shown = paths.take(pa.array(order))
        images = files_of(root, shown)
    samples = Samples(
        name=Path(name_of(file)).stem,
        source=file,
        root=root,
        paths=shown,
        labels=labels[order],
        class_names=class_names,
        images=images,
        rows=np.arange(len(paths)),
        notes=found.notes,
    )
    refuse_repeated(file, samples)
    return samples


def _root_near(file: Location, path: str) -> Location:
    """The folder that a picture is found in: the file's own, `images` beside it, or the same one above."""
    here = parent_of(file)
    split = Path(name_of(file)).stem.rpartition("_")[2]  # COCO: instances_train2017.json
    near = [here, below(here, "images"), below(here, split)]
    above = parent_of(here)
    near += [above, below(above, "images"), below(above, split), below(below(above, "images"), split)]
    return next((folder for folder in near if exists(below(folder, path))), here)
