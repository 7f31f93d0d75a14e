"""Encoded images to small uint8 arrays, in parallel processes, each image once."""

import errno
import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from aumclean.dataset.parallel import in_processes
from aumclean.dataset.samples import Chunk, Samples

CHUNK = 128
PROBED = 256
ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = 1
TURNED = frozenset({5, 6, 7, 8})  # its values that swap width and height


@dataclass(frozen=True)
class DecodedChunk:
    """What became of some samples, in order; where `reason` is not None the image could not be read.

    `images` is uint8 of shape [readable ones, size, size, 3]; the lists have one entry per sample.
    """

    images: np.ndarray
    content_hash: list[str | None]
    width: list[int]
    height: list[int]
    reason: list[str | None]

    def __len__(self) -> int:
        return len(self.reason)


def decode_image(encoded: bytes, size: int) -> tuple[np.ndarray, int, int]:
    """Decode one image as its author would see it, resized to a square that shows all of it.

    EXIF orientation is applied, transparency is laid on white, 16-bit depth is reduced to 8, grey, palette and
    CMYK become RGB; of an animation the first frame counts. JPEGs are decoded at the smallest scale that is
    not below `size`.

    Returns:
        The image as uint8 of shape [size, size, 3], and the width and height it had, in pixels.

    Raises:
        OSError, SyntaxError, ValueError: as Pillow does; DecompressionBombWarning and -Error above its limit.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        width, height = image.size
        if image.format != "TIFF" and _orientation(image) in TURNED:  # Pillow turns TIFFs itself
            width, height = height, width
        image.draft(None, (size, size))  # only JPEGs know how; it changes image.size
        small = _to_rgb(image if _orientation(image) == UPRIGHT else ImageOps.exif_transpose(image)).resize(
            (size, size), Image.Resampling.BILINEAR, reducing_gap=3.0
        )
    return np.asarray(small), width, height


def decode_padded(encoded: bytes, size: int, shade: tuple[int, int, int]) -> np.ndarray:
    """Decode one image as its author would see it, its aspect kept, on a square of one colour: uint8 [size, size, 3].

    Raises:
        As `decode_image`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft(None, (size, size))
        upright = _to_rgb(image if _orientation(image) == UPRIGHT else ImageOps.exif_transpose(image))
        return np.asarray(ImageOps.pad(upright, (size, size), Image.Resampling.BICUBIC, color=shade))


def decode_whole(encoded: bytes) -> np.ndarray:
    """Decode one image as its author would see it, in its own size: uint8 [height, width, 3].

    Raises:
        As `decode_image`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        return np.array(_to_rgb(image if _orientation(image) == UPRIGHT else ImageOps.exif_transpose(image)))


def thumbnail(encoded: bytes, side: int, *, quality: int = 80) -> bytes:
    """The image as its author would see it, as a JPEG whose longer side is at most `side` pixels; never enlarged.

    Raises:
        As `decode_image`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft(None, (side, side))
        upright = _to_rgb(image if _orientation(image) == UPRIGHT else ImageOps.exif_transpose(image))
        upright.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
        sink = io.BytesIO()
        upright.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def format_of(encoded: bytes) -> str:
    """The kind of image, as Pillow calls it: JPEG, PNG and so on; "" when it is none."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.format or ""
    except Exception:  # as its decoders raise for bytes that are no image
        return ""


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, UPRIGHT))
    except Exception:  # broken metadata beside whole pixels
        return UPRIGHT


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # Pillow's own conversion would clip at 255
        values = np.nan_to_num(np.asarray(image, np.float32), posinf=0.0)
        brightest = float(values.max(initial=0))
        scales = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        top = next((scale for scale in scales if brightest <= scale), brightest)
        return Image.fromarray((values.clip(0) * (255 / top)).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def decode_chunk(chunk: Chunk, size: int) -> DecodedChunk:
    """Decode some samples; a file that cannot be read costs its own sample, never the run."""
    images = np.empty((len(chunk), size, size, 3), np.uint8)
    hashes: list[str | None] = []
    widths, heights, reasons = [], [], []
    readable = 0
    with bombs_are_errors():
        for item in chunk:
            content_hash, width, height, reason = None, 0, 0, None
            try:
                encoded = read_encoded(item)
                content_hash = hashlib.sha256(encoded).hexdigest()
                images[readable], width, height = decode_image(encoded, size)
                readable += 1
            except Exception as error:  # Pillow's decoders raise many kinds for bytes that are no image
                reason = reason_of(error)
            hashes.append(content_hash)
            widths.append(width)
            heights.append(height)
            reasons.append(reason)
    return DecodedChunk(images[:readable], hashes, widths, heights, reasons)


class _EmptyFile(Exception):
    pass


_TOO_LARGE = f"more than {Image.MAX_IMAGE_PIXELS} pixels (decompression bomb)"
KNOWN_REASONS: dict[type[Exception], str] = {
    _EmptyFile: "empty",
    FileNotFoundError: "missing",
    UnidentifiedImageError: "not an image",
    Image.DecompressionBombWarning: _TOO_LARGE,
    Image.DecompressionBombError: _TOO_LARGE,
}


def read_encoded(item: bytes | Path | None) -> bytes:
    """The bytes of an image; an error that `reason_of` can name where there are none."""
    if isinstance(item, Path) and item.exists() and not item.is_file():
        raise IsADirectoryError(errno.EISDIR, "not a regular file")
    encoded = item.read_bytes() if isinstance(item, Path) else item
    if not encoded:
        raise _EmptyFile
    return encoded


def reason_of(error: Exception) -> str:
    """Why an image cannot be read, in a few words."""
    for kind, reason in KNOWN_REASONS.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    message = " ".join(str(error).split())
    if "truncated" in message.lower() or "incomplete" in message.lower():
        return "truncated"
    return f"broken ({message[:200] or type(error).__name__})"


def decode(samples: Samples, size: int, *, workers: int) -> Iterator[DecodedChunk]:
    """Decode all samples in order, `workers` processes at a time, holding a few chunks in memory."""
    chunks = samples.images.chunks(samples.rows, CHUNK)
    yield from in_processes(partial(decode_chunk, size=size), chunks, len(samples) // CHUNK, workers=workers)


def decode_each_whole(samples: Samples, *, workers: int, chunk_values: int) -> Iterator[tuple[np.ndarray | None, str]]:
    """As `decode`, each sample in its own size.

    Args:
        samples: what to decode.
        workers: how many processes.
        chunk_values: about how many values the images of a chunk have together.

    Returns:
        Per sample the image, uint8 [height, width, 3], and ""; or None and why it cannot be read.
    """
    side = median_short_side(samples) or 1
    of_chunk = max(1, min(CHUNK, chunk_values // (3 * side * side)))
    chunks = samples.images.chunks(samples.rows, of_chunk)
    for found in in_processes(_decode_chunk_whole, chunks, len(samples) // of_chunk, workers=workers):
        yield from found


def _decode_chunk_whole(chunk: Chunk) -> list[tuple[np.ndarray | None, str]]:
    found: list[tuple[np.ndarray | None, str]] = []
    with bombs_are_errors():
        for item in chunk:
            try:
                found.append((decode_whole(read_encoded(item)), ""))
            except Exception as error:  # as in `decode_chunk`
                found.append((None, reason_of(error)))
    return found


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Pillow warns of images above its limit and of broken metadata: the first is an error here, the rest nobody's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def median_short_side(samples: Samples) -> int | None:
    """Median of the shorter side over up to 256 evenly spaced images, in pixels; None when none can be opened."""
    sides = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for chunk in samples.images.chunks(samples.evenly(PROBED).rows, PROBED):
            for item in chunk:
                try:
                    with Image.open(io.BytesIO(read_encoded(item))) as image:
                        sides.append(min(image.size))
                except Exception:  # reported with its reason when it is decoded
                    continue
    return int(np.median(sides)) if sides else None
