import io
import math
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from aumclean.dataset.decode import (
    decode_chunk,
    decode_each_whole,
    decode_image,
    decode_views,
    decode_whole,
    decoding_of,
    probe,
    thumbnail,
)
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(mode, colour, size=(16, 16)):
    return Image.new(mode, size, colour)


def palette(transparent=None):
    image = flat("RGB", (200, 40, 10)).quantize(4)
    return encode(image, **({} if transparent is None else {"transparency": transparent}))


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (encode(flat("RGB", (200, 40, 10))), (200, 40, 10)),
        (encode(flat("L", 120)), (120, 120, 120)),
        (encode(flat("1", 1)), (255, 255, 255)),
        (palette(), (200, 40, 10)),
        (palette(transparent=0), (255, 255, 255)),
        (encode(flat("RGBA", (200, 40, 10, 255))), (200, 40, 10)),
        (encode(flat("RGBA", (200, 40, 10, 0))), (255, 255, 255)),
        (encode(flat("LA", (0, 128))), (127, 127, 127)),
        (encode(flat("I;16", 257 * 100)), (100, 100, 100)),
        (encode(flat("I", 257 * 100), "TIFF"), (100, 100, 100)),
        (encode(flat("F", 0.5), "TIFF"), (127, 127, 127)),
        (encode(flat("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    ],
    ids=[
        "rgb",
        "grey",
        "bilevel",
        "palette",
        "clear palette",
        "rgba",
        "clear",
        "grey+alpha",
        "16 bit",
        "32 bit",
        "float",
        "cmyk",
    ],
)
def test_every_kind_of_pixel_becomes_rgb(encoded, expected):
    pixels, width, height = decode_image(encoded, 8)
    assert (pixels.dtype, pixels.shape, width, height) == (np.uint8, (8, 8, 3), 16, 16)
    np.testing.assert_allclose(pixels.reshape(-1, 3), np.tile(expected, (64, 1)), atol=2)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_the_size_is_that_of_the_upright_image(kind, orientation):
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32] = 255  # white corner top left
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    image = Image.fromarray(upright)
    if turned is not None:
        image = image.transpose(Image.Transpose(turned))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, width, height = decode_image(
        encode(image, kind, exif=exif, **({"quality": 100} if kind in {"JPEG", "WEBP"} else {})), 8
    )
    assert (width, height) == (64, 32)
    bright = pixels.mean(2) > 127
    assert bright[:4, :4].all()
    assert not bright[4:].any()
    assert not bright[:, 4:].any()


def test_large_jpegs_are_decoded_small_and_report_their_own_size():
    gradient = np.linspace(0, 255, 800, dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(gradient[None, :, None], (600, 800, 3)).copy())
    pixels, width, height = decode_image(encode(image, "JPEG", quality=95), 16)
    assert (width, height) == (800, 600)
    centres = (np.arange(16) + 0.5) * 800 / 16
    np.testing.assert_allclose(pixels[8, :, 0], centres * 255 / 800, atol=3)


def png_of_size(width, height):
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


def test_each_way_of_being_unreadable_has_its_reason_and_costs_only_itself(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    jpeg = encode(Image.fromarray(noise), "JPEG")
    png = encode(Image.fromarray(noise))
    good = tmp_path / "good.png"
    good.write_bytes(png)
    (tmp_path / "folder.png").mkdir()
    chunk = [
        good, tmp_path / "missing.png", b"", None, b"hello", jpeg[: len(jpeg) // 2], png[: len(png) // 2],
        png_of_size(20_000, 20_000), png_of_size(10_000, 10_000), tmp_path / "folder.png", png,
    ]  # fmt: skip
    found = decode_chunk(chunk, 8)
    bomb = "more than 89478485 pixels (decompression bomb)"
    assert found.reason == [
        None, "missing", "empty", "empty", "not an image", "truncated", "truncated",
        bomb, bomb, "not a regular file", None,
    ]  # fmt: skip
    assert found.images.shape == (2, 8, 8, 3)
    assert found.sha256[0] == found.sha256[-1]


def test_the_median_short_side_ignores_what_cannot_be_opened(folder, save_image):
    (folder / "amber" / "broken.png").write_bytes(b"x")
    save_image(folder / "amber" / "large.png", size=100)
    assert probe(read_samples(folder)).short_side == 12


def test_broken_metadata_and_broken_floats_do_not_cost_the_pixels():
    junk = encode(flat("RGB", (200, 40, 10)), exif=b"Exif\x00\x00junkjunk")
    np.testing.assert_allclose(decode_image(junk, 8)[0][4, 4], (200, 40, 10))
    values = np.full((16, 16), 0.5, np.float32)
    values[0, 0], values[0, 1] = np.nan, np.inf
    assert decode_image(encode(Image.fromarray(values), "TIFF"), 8)[0][4, 4].tolist() == [127, 127, 127]


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    assert decode_chunk([tmp_path / "x.png"], 8).reason == ["not a regular file"]


@pytest.mark.parametrize("workers", [1, 3])
def test_whole_images_keep_size_and_order_and_say_why_one_is_missing(workers, tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(30):
        Image.new("RGB", (5 + number % 7, 6), (number, 0, 0)).save(tmp_path / "a" / f"{number:02d}.png")
    (tmp_path / "a" / "10.png").write_bytes(b"no image")
    Image.new("1", (10_000, 9_000)).save(tmp_path / "a" / "20.png")
    filters = list(warnings.filters)
    samples = read_samples(tmp_path, one_class=True)
    found = list(decode_each_whole(samples, workers=workers, chunk_values=200))
    assert warnings.filters == filters
    assert {number: reason for number, (_, reason) in enumerate(found) if reason} == {
        10: "not an image",
        20: "more than 89478485 pixels (decompression bomb)",
    }
    for number, (image, _) in enumerate(found):
        if number not in {10, 20}:
            assert image.shape == (6, 5 + number % 7, 3) and (image == (number, 0, 0)).all()


def test_who_stops_reading_whole_images_early_hears_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(30):
        Image.new("RGB", (6, 6)).save(tmp_path / "a" / f"{number:02d}.png")
    filters = list(warnings.filters)
    stream = decode_each_whole(read_samples(tmp_path, one_class=True), workers=2, chunk_values=200)
    next(stream)
    stream.close()
    assert warnings.filters == filters


def test_decoding_waits_for_a_slow_reader(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    for number in range(40):
        Image.new("RGB", (6, 6)).save(tmp_path / "a" / f"{number:02d}.png")
    samples = read_samples(tmp_path, one_class=True)
    taken, chunks = [], type(samples.images).chunks

    def counted(*arguments):
        for chunk in chunks(*arguments):
            taken.append(chunk)
            yield chunk

    monkeypatch.setattr(type(samples.images), "chunks", counted)
    monkeypatch.setattr("aumclean.dataset.parallel.STARTING", -math.inf)  # so that processes decode all but the first
    stream = decode_each_whole(samples, workers=2, chunk_values=108)  # chunks of one image
    next(stream)
    for read in range(1, 30):
        next(stream)
        assert sum(len(chunk) == 1 for chunk in taken) == 5 + read
    assert len(list(stream)) == 10


def deep(folder, scale, kind, suffix, offset=0.0):
    """Twelve images of one faint structure, as if a camera of so many bits had taken them; three are much darker."""
    rng = np.random.default_rng(0)
    for number in range(12):
        values = rng.uniform(0, 250 if number % 4 else 60, (12, 12)) * scale + offset
        path = folder / "ab"[number % 2] / f"{number:02d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(kind)).save(path)
    return folder


@pytest.mark.parametrize(
    ("scale", "kind", "suffix", "expected"),
    [
        (4, np.uint16, ".png", (0, 1023)),
        (16, np.uint16, ".png", (0, 4095)),
        (256, np.uint16, ".png", (0, 65535)),
        (1, np.uint16, ".png", (0, 255)),
        (1 / 255, np.float32, ".tif", (0, 1)),
        (16, np.float32, ".tif", (0, 4095)),
    ],
)
def test_deep_images_are_as_bright_as_in_eight_bits_with_one_scale_for_all(
    tmp_path, scale, kind, suffix, expected, caplog
):
    caplog.set_level("INFO", "aumclean")
    plain = open_samples(read_samples(deep(tmp_path / "plain", 1, np.uint8, ".png")), 12, cached=False)
    found = open_samples(read_samples(deep(tmp_path / "deep", scale, kind, suffix)), 12, cached=False)
    assert found.samples.decoding.values == expected
    assert np.abs(plain.images.astype(int) - found.images).max() <= 2
    assert f"{expected[1]:g} white in all of them (--value-range chooses)" in caplog.text


def test_where_images_are_too_large_to_decode_all_those_that_tell_are_from_the_whole_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr("aumclean.dataset.decode.DEEP", 3 * 64 * 64)  # pixels of three of the images
    for number in range(20):
        path = tmp_path / ("dark" if number < 12 else "light") / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((64, 64), 900 if number < 12 else 3000, np.uint16)).save(path)
    assert decoding_of(read_samples(tmp_path)).values == (0, 4095)


def test_signed_values_keep_their_order_and_the_range_can_be_said(tmp_path):
    folder = deep(tmp_path / "ct", 16, np.int16, ".tif", offset=-1024)
    samples = read_samples(folder)
    low, high = decoding_of(samples).values
    assert -1024 <= low < -900 and 2700 < high < 3071
    wide = open_samples(read_samples(folder, value_range=(-1024, 3071)), 12, cached=False).images
    plain = open_samples(read_samples(deep(tmp_path / "plain", 1, np.uint8, ".png")), 12, cached=False).images
    assert np.abs(wide.astype(int) - plain).max() <= 2


BROKEN_EXIF = {
    "signed rational": (0x9203, 10, 1, struct.pack("<ii", -1, 0)),
    "rational by zero": (0x011A, 5, 1, struct.pack("<II", 72, 0)),
    "negative short": (0x0128, 8, 1, struct.pack("<h", -1) + b"\0\0"),
    "text as number": (0x010F, 4, 1, struct.pack("<I", 7)),
    "software as short": (0x0131, 3, 1, struct.pack("<HH", 7, 0)),
    "place that is a number": (0x8825, 4, 1, struct.pack("<I", 4000)),
    "pointer out of the file": (0x8769, 4, 1, struct.pack("<I", 60000)),
    "pointer that is text": (0x8769, 2, 4, b"abc\0"),
    "no number": (0x9204, 11, 1, struct.pack("<f", float("nan"))),
    "eight bytes": (0x9999, 16, 1, struct.pack("<Q", 2**40)),
}


@pytest.mark.parametrize("entry", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
def test_images_are_turned_whatever_else_their_exif_holds(entry):
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), entry])
    head, after, tail = struct.pack("<H", len(entries)), 8 + 2 + 12 * len(entries) + 4, b""
    for tag, kind, count, value in entries:
        far = len(value) > 4
        head += struct.pack("<HHI", tag, kind, count)
        head += struct.pack("<I", after + len(tail)) if far else value.ljust(4, b"\0")
        tail += value if far else b""
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + head + struct.pack("<I", 0) + tail
    lying = np.zeros((32, 64, 3), np.uint8)
    lying[16:, :32] = 255  # bottom left: upright it is top left
    encoded = encode(Image.fromarray(lying), "JPEG", exif=exif, quality=95)
    pixels, width, height = decode_image(encoded, 8)
    assert (width, height) == (32, 64)
    assert (pixels[:4, :4].mean(), pixels[4:].mean()) == pytest.approx((255, 0), abs=30)
    assert decode_whole(encoded).shape == (64, 32, 3)
    assert thumbnail(encoded, 16)


def test_the_limit_of_pixels_can_be_raised_and_lowered(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (30, 30)).save(tmp_path / name / "1.png")
    Image.new("L", (100, 90)).save(tmp_path / "a" / "2.png")
    usual = Image.MAX_IMAGE_PIXELS
    opened = open_samples(read_samples(tmp_path, max_pixels=5000), 8, cached=False)
    assert opened.unreadable.to_pylist() == [
        {"path": "a/2.png", "reason": "more than 5000 pixels (decompression bomb)"}
    ]
    assert len(open_samples(read_samples(tmp_path, max_pixels=9000), 8, cached=False)) == 3
    assert usual == Image.MAX_IMAGE_PIXELS


def test_the_two_views_of_a_backbone_are_all_of_the_image_and_its_mirrored_middle():
    image = flat("RGB", (200, 0, 0), (60, 20))
    image.paste((0, 0, 200), (30, 0, 60, 20))
    whole, middle = decode_views(encode(image), 20, (127, 127, 127))
    assert (whole[:6] == 127).all()
    assert (whole[-6:] == 127).all()
    assert whole[10, 1, 0] > 150 > whole[10, 1, 2]
    assert middle[0, 2, 2] > 150 > middle[0, 2, 0]
    assert middle[19, 17, 0] > 150 > middle[19, 17, 2]
