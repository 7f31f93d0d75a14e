"""Images that are none, lie, or are too much: each costs its own sample, with a reason, and never a neighbour."""

import io
import random
import struct
import time
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples

from .conftest import SECONDS, damaged

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16")
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


def encoded(mode, kind, **options):
    """A small picture in a mode and a format; None where the format has no such mode."""
    pixels = np.random.default_rng(1).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    sink = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(sink, kind, **options)
    except (OSError, ValueError):
        return None
    return sink.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth=8, colour=2, rows=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def liars():
    yield "png of no size", png(0, 0)
    yield "png of no height", png(5, 0)
    yield "png too large", png(60_000, 60_000)
    yield "png at the limit", png(9459, 9459, depth=1, colour=0)
    yield "png of negative size", png(2**31, 2**31)
    yield "png without rows", png(12, 12)
    yield "png of strange depth", png(12, 12, depth=7)
    yield "png of strange colour", png(12, 12, colour=5)
    yield (
        "png with a bomb of text",
        png(4, 4, rows=bytes(52))[:-12] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7))),
    )
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield "html", b"<!doctype html><img src=x onerror=alert(1)>"
    yield "text", b"no image"
    yield "pickle", b"cos\nsystem\n(S'touch /tmp/owned'\ntR."
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n"
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("x.png", b"x")
    yield "zip", sink.getvalue()
    yield "gif header alone", b"GIF89a"
    yield "gif of no size", b"GIF89a\0\0\0\0\0\0\0;"
    yield (
        "bmp of huge size",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "tiff in a circle", b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0"
    yield "ppm of many digits", b"P6 " + b"9" * 5000 + b" 1 255\n"
    yield "xbm", b"#define x_width 99999\n#define x_height 99999\nstatic char x_bits[] = {0x00};"
    exif = Image.Exif()
    exif[0x0112] = 99
    yield "orientation 99", encoded("RGB", "JPEG", exif=exif)
    yield "broken exif", encoded("RGB", "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")


def cases():
    rng = random.Random(0)
    for kind in FORMATS:
        for mode in MODES:
            content = encoded(mode, kind)
            if content is not None:
                yield pytest.param(kind, content, True, id=f"{kind}-{mode}")
        for name, changed in damaged(encoded("RGB", kind), rng):
            if changed is not None:
                yield pytest.param(kind, changed, None, id=f"{kind}-{name}")
    for name, content in liars():
        yield pytest.param("liar", content, None, id=name)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Two classes of two images, between which a beast is put; and what they look like when opened."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("a", "b"):
        for number in (1, 3):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{number}.png").write_bytes(encoded("RGB", "PNG"))
    return folder, open_samples(read_samples(folder), 8, cached=False, workers=1).images.copy()


@pytest.mark.parametrize(("kind", "content", "readable"), list(cases()))
def test_an_image_is_read_or_left_out_with_a_reason_and_costs_no_other(good, tally, kind, content, readable):
    folder, whole = good
    beast = folder / "a" / "2.png"
    beast.write_bytes(content)
    begun = time.process_time()
    opened = open_samples(read_samples(folder), 8, cached=False, workers=1)
    assert time.process_time() - begun < SECONDS
    beast.unlink()
    others = [at for at, path in enumerate(opened.samples.paths.to_pylist()) if path != "a/2.png"]
    np.testing.assert_array_equal(opened.images[others], whole)
    if len(opened.unreadable):
        ((path, reason),) = zip(
            opened.unreadable["path"].to_pylist(), opened.unreadable["reason"].to_pylist(), strict=True
        )
        assert path == "a/2.png" and 0 < len(reason) < 300 and "\n" not in reason
    assert readable is None or len(others) + 1 == len(opened)
    tally(f"image: {kind}", "quarantined" if len(opened.unreadable) else "right")


def test_a_file_of_gigabytes_is_not_read_to_find_out_that_it_is_no_image(good, tally):
    folder, _ = good
    with (folder / "a" / "2.png").open("wb") as file:
        file.truncate(5 << 30)  # a hole, which takes no room
    opened = open_samples(read_samples(folder), 8, cached=False, workers=1)
    (folder / "a" / "2.png").unlink()
    assert opened.unreadable.to_pylist() == [{"path": "a/2.png", "reason": "a file of more than 1 GiB"}]
    tally("image: liar", "quarantined")
