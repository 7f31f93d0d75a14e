"""Data that are objects in memory, written once to a Parquet file that is then read like any other."""

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from aumclean.dataset.decode import format_of
from aumclean.dataset.folder import require_utf8
from aumclean.dataset.manifest import LABEL_COLUMNS
from aumclean.errors import DataError, did_you_mean
from aumclean.progress import Track

ACCEPTED = (
    "a path, a Dataset of (image, label), a Hugging Face Dataset with an image column, or a tuple (images, labels)"
)
IMAGES_OF_A_GROUP = 128
BYTES_OF_A_GROUP = 1 << 26
AS_PNG = {"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"}  # modes of Pillow that PNG holds without loss
CHANNELS = (1, 3, 4)

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_FEATURES = {"image": {"_type": "Image"}, "label": {"dtype": "string", "_type": "Value"}}
SCHEMA = pa.schema(
    [("image", IMAGE), ("label", pa.string())],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},  # so that `datasets` decodes the images
)

Row = dict[str, Any]
Rows = list[Row]


@dataclass(frozen=True)
class InMemory:
    """Images and their labels, in order.

    Attributes:
        name: a short name for the data.
        rows: the rows of `SCHEMA`, one after another.
        count: how many there are; None when only the end will tell.
    """

    name: str
    rows: Iterator[Row]
    count: int | None

    def write(self, file: Path, track: Track) -> None:
        """Write all of them, a few at a time, so that they never lie in memory as files together.

        Args:
            file: a Parquet file with the columns `image` (bytes and path) and `label`.
            track: shows the progress.

        Raises:
            DataError: for no images, or for an image or a label that cannot be one.
        """
        if self.count == 0:
            raise DataError("data: holds no images")
        groups: Iterable[Rows] = _grouped(self.rows)
        if self.count is not None:
            groups = track(groups, "storing images", 0, self.count)
        with pq.ParquetWriter(file, SCHEMA, compression={"label": "zstd"}, use_dictionary=["label"]) as writer:
            for group in groups:
                writer.write_batch(pa.RecordBatch.from_pylist(group, SCHEMA))


def in_memory(
    data: Any, *, image_column: str | None = None, label_column: str | None = None, limit: int | None = None
) -> InMemory:
    """Images and labels of a data set that is an object.

    Images are arrays or tensors of shape [h, w], [h, w, 1, 3 or 4] or [1, 3 or 4, h, w] (whole numbers 0..255, or
    fractions 0..1), Pillow images, or bytes of an image file. They become PNG files of the same pixels; bytes stay as
    they are, as do those of a Hugging Face data set. Labels are texts, or whole numbers: then the data set's class
    names (`classes`, or those of its `ClassLabel`) say what they mean, or the number is the name.

    Args:
        data: a tuple (images, labels), a Hugging Face `Dataset` or a `torch.utils.data.Dataset` of (image, label).
        image_column, label_column: of a Hugging Face data set, where there are several that may be it.
        limit: take at most so many, evenly spaced.

    Raises:
        DataError: for an object that is none of these.
    """
    if isinstance(data, Mapping):
        known = ", ".join(map(repr, data))
        raise DataError(f"data: is a dictionary of {known or 'nothing'}; pass one of them, such as data['train']")
    if hasattr(data, "features") and hasattr(data, "cast_column"):
        return _hugging_face(data, image_column, label_column, limit)
    if image_column is not None or label_column is not None:
        raise DataError("data: has no columns; leave out path_column and label_column")
    if isinstance(data, tuple):
        return _arrays(data, limit)
    if not (hasattr(data, "__iter__") or (hasattr(data, "__len__") and hasattr(data, "__getitem__"))):
        raise DataError(f"data: {type(data).__name__} cannot be scanned; pass {ACCEPTED}")
    return _pairs(data, limit)


def _grouped(rows: Iterable[Row]) -> Iterator[Rows]:
    group: Rows = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row["image"]["bytes"])
        if len(group) == IMAGES_OF_A_GROUP or size >= BYTES_OF_A_GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _evenly(count: int, limit: int | None) -> Sequence[int]:
    """As `Samples.evenly` chooses them."""
    return range(count) if limit is None or limit >= count else [index * count // limit for index in range(limit)]


def _arrays(data: tuple[Any, ...], limit: int | None) -> InMemory:
    if len(data) != 2 or not all(hasattr(part, "__len__") and hasattr(part, "__getitem__") for part in data):
        raise DataError(f"data: a tuple must be (images, labels); or pass {ACCEPTED}")
    images, labels = data
    if len(images) != len(labels):
        raise DataError(f"data: {len(images)} images and {len(labels)} labels; there must be one label per image")
    chosen = _evenly(len(images), limit)
    return InMemory("arrays", (_row(index, images[index], labels[index], None) for index in chosen), len(chosen))


def _pairs(data: Any, limit: int | None) -> InMemory:
    names = _class_names(data)
    name = type(data).__name__.lower()
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        if limit is not None:
            raise DataError(f"limit: {type(data).__name__} does not say how many images it has; leave limit out")
        return InMemory(name, (_row_of_pair(*numbered, names) for numbered in enumerate(data)), None)
    chosen = _evenly(len(data), limit)
    return InMemory(name, (_row_of_pair(index, data[index], names) for index in chosen), len(chosen))


def _class_names(data: Any) -> Sequence[str] | None:
    """The `classes` of a data set, or of the one that it is a subset of."""
    while not hasattr(data, "classes") and hasattr(data, "dataset"):
        data = data.dataset
    names = getattr(data, "classes", None)
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return None
    return names


def _row_of_pair(index: int, item: Any, names: Sequence[str] | None) -> Row:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"data: item {index} is a {type(item).__name__}, not a pair (image, label)")
    image, label = item
    return _row(index, image, label, names)


def _row(index: int, image: Any, label: Any, names: Sequence[str] | None) -> Row:
    try:
        encoded = _encoded(image)
        suffix = format_of(encoded).lower() if isinstance(image, bytes) else "png"
        stored = {"bytes": encoded, "path": f"{index:07d}.{suffix}".removesuffix(".")}
        return {"image": stored, "label": _label(label, names)}
    except DataError as error:
        raise DataError(f"data: item {index}: {error}") from None


def _encoded(image: Any) -> bytes:
    """The file of an image, without loss."""
    if isinstance(image, bytes):
        return image
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_pixels(image))
    elif image.mode == "F":
        image = Image.fromarray(_pixels(np.asarray(image)))
    elif image.mode not in AS_PNG:
        image = image.convert("RGBA" if image.mode in {"PA", "La", "RGBa"} else "RGB")  # as decoding would
    sink = io.BytesIO()
    image.save(sink, "PNG", compress_level=1)  # three times faster than the default, a tenth larger
    return sink.getvalue()


def _pixels(image: Any) -> np.ndarray:
    """uint8 [h, w], or [h, w, 3 or 4]."""
    channels_first = hasattr(image, "detach")  # as torch has them
    if channels_first:
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        first, last = pixels.shape[0] in CHANNELS, pixels.shape[2] in CHANNELS
        if first and (channels_first or not last):
            pixels = pixels.transpose(1, 2, 0)
        if pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
    if pixels.ndim not in {2, 3} or (pixels.ndim == 3 and pixels.shape[2] not in CHANNELS) or not pixels.size:
        raise DataError(f"an array of shape {list(np.shape(image))} is no image; [h, w] or [h, w, 3] is")
    return np.ascontiguousarray(_as_bytes(pixels))


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    kind = pixels.dtype.kind
    if pixels.dtype == np.uint8:
        return pixels
    if kind not in "biuf":
        raise DataError(f"an array of {pixels.dtype} is no image")
    low, high, top = float(pixels.min()), float(pixels.max()), 255 if kind in "iu" else 1
    if not (low >= 0 and high <= top):
        hint = "; leave normalisation out of the transform" if kind == "f" and low < 0 else ""
        raise DataError(f"has values from {low:g} to {high:g}; whole numbers must be 0 to 255, fractions 0 to 1{hint}")
    return (pixels if top == 255 else np.rint(pixels.astype(np.float32) * 255)).astype(np.uint8)


def _label(label: Any, names: Sequence[str] | None) -> str:
    if not isinstance(label, str) and hasattr(label, "item") and math.prod(label.shape) == 1:
        label = label.item()  # a number of numpy's or of torch's
    if isinstance(label, str) and label.strip():
        require_utf8("its label", [label])
        return label
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, int):
        what = "no label" if label is None or isinstance(label, str) else f"the label {str(label)[:80]!r}"
        raise DataError(f"has {what}; a text or a whole number is needed, one per image")
    if names is None:
        return str(label)
    if not 0 <= label < len(names):
        raise DataError(f"has the label {label}, which is none of the {len(names)} classes")
    return names[label]


def _hugging_face(data: Any, image_column: str | None, label_column: str | None, limit: int | None) -> InMemory:
    features = data.features
    if features is None:
        raise DataError("data: does not say what its columns are (features); load it without streaming")
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    image = _one("image", image_column, images, list(kinds))
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    label = _one("label", label_column, classes or [name for name in LABEL_COLUMNS if name in kinds], list(kinds))
    encoded = data.with_format(None).cast_column(image, replace(features[image], decode=False))
    encoded = encoded.select_columns([image, label])
    names, name = getattr(features[label], "names", None), getattr(data.info, "dataset_name", None) or "dataset"
    if not hasattr(data, "__len__"):
        if limit is not None:
            raise DataError("limit: a streamed data set does not say how many images it has; leave limit out")
        streamed = (_row_of_file(index, row[image], row[label], names) for index, row in enumerate(encoded))
        return InMemory(name, streamed, None)
    chosen = _evenly(len(data), limit)
    rows = zip(chosen, encoded if len(chosen) == len(data) else encoded.select(chosen), strict=True)
    return InMemory(name, (_row_of_file(index, row[image], row[label], names) for index, row in rows), len(chosen))


def _row_of_file(index: int, image: dict[str, Any] | None, label: Any, names: Sequence[str] | None) -> Row:
    """The bytes as they are, read now where the data set has only a path; none where there are none."""
    path = image and image["path"]
    encoded = image and image["bytes"]
    if encoded is None and path:
        with suppress(OSError):
            encoded = Path(path).read_bytes()
    row = _row(index, encoded or b"", label, names)
    if path:  # of an absolute one what tells images apart: the folder and the name
        row["image"]["path"] = "/".join(PurePath(path).parts[-2:]) if PurePath(path).is_absolute() else path
    return row


def _one(what: str, given: str | None, found: Sequence[str], columns: Sequence[str]) -> str:
    option = "path_column" if what == "image" else f"{what}_column"
    if given is not None:
        if given not in columns:
            raise DataError(f"data: has no column '{given}' ({option}){did_you_mean(given, columns)}")
        return given
    if len(found) != 1:
        among = f"may be in {' or '.join(found)}" if found else f"is in none of {', '.join(columns)}"
        raise DataError(f"data: the {what} {among}; say which column has it with {option}")
    return found[0]
