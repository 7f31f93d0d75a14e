"""Encoded images to small uint8 arrays, in parallel processes, each image once."""

import errno
import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from aumclean.dataset.images import Chunk, Item
from aumclean.dataset.known import NOTHING, Known
from aumclean.dataset.parallel import in_processes
from aumclean.dataset.samples import AS_FOUND, Decoding, Samples, ValueRange

CHUNK = 128
PROBED = 256  # images that tell of all, evenly spaced
DEEP = 1 << 26  # of which so many pixels are decoded where their values are not 0..255
LARGEST_FILE = 1 << 30  # bytes; no picture within Pillow's limit of pixels needs more
ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = 1
TURNED = frozenset({5, 6, 7, 8})  # its values that swap width and height
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DEPTHS = tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 16))  # the brightest value of each


@dataclass(frozen=True)
class DecodedChunk:
    """What became of some samples, in order; where `reason` is not None the image could not be read.

    `images` is uint8 of shape [readable ones, size, size, 3]; the lists have one entry per sample, `sha256` 32 bytes.
    """

    images: np.ndarray
    sha256: list[bytes | None]
    width: list[int]
    height: list[int]
    reason: list[str | None]

    def __len__(self) -> int:
        return len(self.reason)


def decode_image(encoded: bytes, size: int, values: ValueRange | None = None) -> tuple[np.ndarray, int, int]:
    """Decode one image as its author would see it, resized to a square that shows all of it.

    EXIF orientation is applied, transparency is laid on white, more than 8 bits are reduced to 8, grey, palette and
    CMYK become RGB; of an animation the first frame counts. JPEGs are decoded at the smallest scale that is
    not below `size`.

    Args:
        encoded: the file.
        size: side of the square, in pixels.
        values: of an image of more than 8 bits what is black and what is white; by default as `value_range` says of
            this image alone.

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
        small = _to_rgb(upright(image), values).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small), width, height


def decode_views(
    encoded: bytes, size: int, shade: tuple[int, int, int], values: ValueRange | None = None
) -> np.ndarray:
    """Decode one image as its author would see it, its aspect kept, to two squares: uint8 [2, size, size, 3].

    The first shows all of it, on a square of one colour; the second its middle, as large as fits, mirrored.

    Raises:
        As `decode_image`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft(None, (size, size))
        whole = _to_rgb(upright(image), values)
        padded = ImageOps.pad(whole, (size, size), Image.Resampling.BICUBIC, color=shade)
        middle = ImageOps.fit(whole, (size, size), Image.Resampling.BICUBIC)
        views = np.empty((2, size, size, 3), np.uint8)
        views[0], views[1] = np.asarray(padded), np.asarray(middle)[:, ::-1]
        return views


def decode_whole(encoded: bytes, values: ValueRange | None = None) -> np.ndarray:
    """Decode one image as its author would see it, in its own size: uint8 [height, width, 3].

    Raises:
        As `decode_image`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        return np.array(_to_rgb(upright(image), values))


def thumbnail(encoded: bytes, side: int, *, quality: int = 80, values: ValueRange | None = None) -> bytes:
    """The image as its author would see it, as a JPEG whose longer side is at most `side` pixels; never enlarged.

    Raises:
        As `decode_image`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft(None, (side, side))
        small = _to_rgb(upright(image), values)
        small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
        sink = io.BytesIO()
        small.save(sink, "JPEG", quality=quality)
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


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF says; nothing of that is written again, as some of it cannot be."""
    turn = TURNS.get(_orientation(image))
    return image if turn is None or image.format == "TIFF" else image.transpose(turn)  # Pillow turns TIFFs itself


def is_deep(image: Image.Image) -> bool:
    """Whether its values are not 0..255: integers of more than 8 bits, or floats."""
    return image.mode.startswith("I") or image.mode == "F"


def deep_values(image: Image.Image) -> np.ndarray:
    """The values of such an image as float32 [height, width]; what is no number is 0."""
    return np.nan_to_num(np.asarray(image, np.float32), posinf=0.0, neginf=0.0)


def value_range(lowest: float, highest: float, *, fractions: bool) -> ValueRange:
    """What is black and what is white where values lie between these.

    Where none is negative that is 0 and the brightest value of 8, 10, 12, 14 or 16 bits (of floats also 1), so that a
    data set of 12 bits is as bright as the same in 8; else the lowest and the highest themselves.
    """
    if lowest < 0:
        return lowest, highest
    tops = (1.0, *DEPTHS) if fractions else DEPTHS
    return 0.0, next((top for top in tops if highest <= top), highest)


def _to_rgb(image: Image.Image, values: ValueRange | None) -> Image.Image:
    if is_deep(image):  # Pillow's own conversion would clip at 255
        found = deep_values(image)
        black, white = values or value_range(float(found.min()), float(found.max()), fractions=image.mode == "F")
        grey = ((found - black) * (255 / max(white - black, 1e-30))).clip(0, 255)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def decode_chunk(chunk: Chunk, size: int, how: Decoding = AS_FOUND, known: Known = NOTHING) -> DecodedChunk:
    """Decode some samples, but for known ones; a file that cannot be read costs its own sample, never the run."""
    images = np.empty((len(chunk), size, size, 3), np.uint8)
    digests: list[bytes | None] = []
    widths, heights, reasons = [], [], []
    readable = 0
    with bombs_are_errors(how.max_pixels):
        for item in chunk:
            digest, width, height, reason = None, 0, 0, None
            try:
                encoded = read_encoded(item)
                digest = hashlib.sha256(encoded).digest()
                images[readable], width, height = known.pixels(digest) or decode_image(encoded, size, how.values)
                readable += 1
            except Exception as error:  # Pillow's decoders raise many kinds for bytes that are no image
                reason = reason_of(error)
            digests.append(digest)
            widths.append(width)
            heights.append(height)
            reasons.append(reason)
    return DecodedChunk(images[:readable], digests, widths, heights, reasons)


class _EmptyFile(Exception):
    pass


class _LargeFile(Exception):
    pass


KNOWN_REASONS: dict[type[Exception], str] = {
    _EmptyFile: "empty",
    _LargeFile: f"a file of more than {LARGEST_FILE >> 30} GiB",
    FileNotFoundError: "missing",
    UnidentifiedImageError: "not an image",
}


def read_encoded(item: Item) -> bytes:
    """The bytes of an image; an error that `reason_of` can name where there are none."""
    if isinstance(item, Path) and item.exists() and not item.is_file():
        raise IsADirectoryError(errno.EISDIR, "not a regular file")
    if isinstance(item, Path) and item.stat().st_size > LARGEST_FILE:  # before all of it is in memory
        raise _LargeFile
    encoded = item if item is None or isinstance(item, bytes) else item.read_bytes()
    if not encoded:
        raise _EmptyFile
    return encoded


def reason_of(error: Exception) -> str:
    """Why an image cannot be read, in a few words."""
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels (decompression bomb)"
    for kind, reason in KNOWN_REASONS.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    message = " ".join(str(error).split())
    if "truncated" in message.lower() or "incomplete" in message.lower():
        return "truncated"
    return f"broken ({message[:200] or type(error).__name__})"


def decode(samples: Samples, size: int, *, workers: int, known: Known = NOTHING) -> Iterator[DecodedChunk]:
    """Decode all samples in order, `workers` processes at a time, holding a few chunks in memory."""
    chunks = samples.images.chunks(samples.rows, CHUNK)
    one = partial(decode_chunk, size=size, how=samples.decoding, known=known)
    yield from in_processes(one, chunks, len(samples) // CHUNK, workers=workers)


def decode_each_whole(samples: Samples, *, workers: int, chunk_values: int) -> Iterator[tuple[np.ndarray | None, str]]:
    """As `decode`, each sample in its own size.

    Args:
        samples: what to decode.
        workers: how many processes.
        chunk_values: about how many values the images of a chunk have together.

    Returns:
        Per sample the image, uint8 [height, width, 3], and ""; or None and why it cannot be read.
    """
    side = probe(samples).short_side or 1
    one = partial(_decode_chunk_whole, how=decoding_of(samples))
    of_chunk = max(1, min(CHUNK, chunk_values // (3 * side * side)))
    chunks = samples.images.chunks(samples.rows, of_chunk)
    for found in in_processes(one, chunks, len(samples) // of_chunk, workers=workers):
        yield from found


def _decode_chunk_whole(chunk: Chunk, how: Decoding) -> list[tuple[np.ndarray | None, str]]:
    found: list[tuple[np.ndarray | None, str]] = []
    with bombs_are_errors(how.max_pixels):
        for item in chunk:
            try:
                found.append((decode_whole(read_encoded(item), how.values), ""))
            except Exception as error:  # as in `decode_chunk`
                found.append((None, reason_of(error)))
    return found


@contextmanager
def bombs_are_errors(max_pixels: int | None = None) -> Iterator[None]:
    """Pillow warns of images above its limit and of broken metadata: the first is an error here, the rest nobody's.

    Args:
        max_pixels: the limit; Pillow's own by default.
    """
    usual = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels or usual
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = usual


@dataclass(frozen=True)
class Probe:
    """What a few images tell of all.

    Attributes:
        short_side: median of the shorter side in pixels; None when none can be opened.
        values: what is black and what is white in those of more than 8 bits; None when there are none.
        lowest, highest: the values that they have.
    """

    short_side: int | None
    values: ValueRange | None
    lowest: float
    highest: float


@lru_cache(maxsize=1)  # asked for the size first, then for the range: what is far away is fetched once for both
def probe(samples: Samples) -> Probe:
    """Open up to 256 evenly spaced images, and decode of the deep ones as many as there is time for, evenly spaced too.

    Classes often lie one after another, and may be of different brightness.
    """
    pixels = looked_at = 0
    sides: list[int] = []
    lows: list[float] = []
    highs: list[float] = []
    fractions = False
    some = samples.evenly(PROBED)
    with bombs_are_errors(samples.decoding.max_pixels):
        for chunk in some.images.chunks(some.rows, PROBED):
            for item in chunk:
                looked_at += 1
                try:
                    with Image.open(io.BytesIO(read_encoded(item))) as image:
                        sides.append(min(image.size))
                        if is_deep(image) and pixels < DEEP * looked_at / len(some):
                            pixels += image.width * image.height
                            values = deep_values(image)
                            lows.append(float(values.min()))
                            highs.append(float(values.max()))
                            fractions = fractions or image.mode == "F"
                except Exception:  # reported with its reason when it is decoded
                    continue
    lowest, highest = min(lows, default=0.0), max(highs, default=0.0)
    values_of_all = value_range(lowest, highest, fractions=fractions) if lows else None
    return Probe(int(np.median(sides)) if sides else None, values_of_all, lowest, highest)


def decoding_of(samples: Samples) -> Decoding:
    """How to decode the samples: with one range of values for all of them, as asked or as `probe` finds it."""
    how = samples.decoding
    return how if how.values is not None else replace(how, values=probe(samples).values)
