"""COCO: a JSON file with images, categories, and annotations that have a box each."""

import json
from collections import Counter
from typing import Any

from aumclean.dataset.annotations import Annotations
from aumclean.errors import DataError
from aumclean.files.location import Location, opened


def read_json(file: Location) -> Any:
    """A JSON file.

    Raises:
        DataError: when it is none.
    """
    try:
        with opened(file) as stream:
            return json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: is not readable JSON ({' '.join(str(error).split())})") from None


def is_coco(document: Any) -> bool:
    """Whether a JSON document is one of COCO's."""
    return isinstance(document, dict) and {"images", "annotations", "categories"} <= set(document)


def read_coco(file: Location, document: dict[str, Any]) -> Annotations:
    """The boxes of a COCO file; what marks a crowd or has no box is counted in a note.

    Raises:
        DataError: when an annotation is of no image or of no category, or lacks a field.
    """
    try:
        images = {one["id"]: str(one["file_name"]) for one in document["images"]}
        categories = {one["id"]: str(one["name"]) for one in document["categories"]}
        left_out: Counter[str] = Counter()
        kept = []
        for one in document["annotations"]:
            if one.get("iscrowd"):
                left_out["mark crowds"] += 1
            elif len(one.get("bbox") or ()) != 4:
                left_out["have no box"] += 1
            else:
                kept.append((images[one["image_id"]], categories[one["category_id"]], str(one["id"]), one["bbox"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: an annotation or what it refers to is missing ({error})") from None
    notes = [f"{file}: {count} annotations {what}; they are left out" for what, count in left_out.items()]
    if unboxed := len(images) - len({path for path, *_ in kept}):
        notes.append(f"{file}: {unboxed} images have no box, so nothing of them is judged")
    paths, labels, ids, boxes = zip(*kept, strict=True) if kept else ((), (), (), ())
    return Annotations(paths, labels, ids, boxes, shares=False, notes=tuple(notes))
