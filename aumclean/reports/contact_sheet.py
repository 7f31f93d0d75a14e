"""A contact sheet: images with a line of words below each, as one PNG that stays below a size."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from aumclean.dataset.decode import bombs_are_errors, thumbnail
from aumclean.errors import printable

LARGEST = 1_000_000  # bytes
SIDES = (176, 128, 96, 64)  # pixels of an image; the first with which the sheet is small enough
COLUMNS = 6
GAP, LINE = 10, 16  # pixels
MOST_SHOWN = 200  # characters of a name; there is room for some 30
PAPER, INK, QUIET, SHADE = "#ffffff", "#1c2227", "#5a6670", "#f1f3f4"


def contact_sheet(shown: Sequence[tuple[bytes | None, str, str]]) -> bytes:
    """The sheet.

    Args:
        shown: per image its file (None where it is gone), and two lines of words.
    """
    for side in SIDES:
        content = _drawn(shown, side)
        if len(content) <= LARGEST:
            break
    return content


def _drawn(shown: Sequence[tuple[bytes | None, str, str]], side: int) -> bytes:
    columns = min(COLUMNS, len(shown)) or 1
    rows = -(-len(shown) // columns)
    width, height = side + GAP, side + 2 * LINE + GAP
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (encoded, *words) in enumerate(shown):
        left, top = GAP + number % columns * width, GAP + number // columns * height
        pen.rectangle((left, top, left + side - 1, top + side - 1), fill=SHADE)
        picture = _picture(encoded, side)
        if picture is None:
            pen.text((left + 6, top + 6), "no picture", fill=QUIET, font=font)
        else:
            sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
        for line, (text, colour) in enumerate(zip(words, (INK, QUIET), strict=True)):
            pen.text((left, top + side + 2 + LINE * line), _fitting(text, font, side), fill=colour, font=font)
    sink = io.BytesIO()
    palette = sheet.quantize(256)  # dithering needs it beforehand; without, a plain shirt is one flat colour
    sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _picture(encoded: bytes | None, side: int) -> Image.Image | None:
    """At most `side` large; a tiny image enlarged with its pixels, as on the other pages."""
    if encoded is None:
        return None
    try:
        with bombs_are_errors(), Image.open(io.BytesIO(thumbnail(encoded, side, quality=90))) as image:
            factor = min(side, max(96, 4 * max(image.size))) / max(image.size)
            if factor < 2:
                return image.convert("RGB")
            large = (max(1, int(image.width * factor)), max(1, int(image.height * factor)))
            return image.convert("RGB").resize(large, Image.Resampling.NEAREST)
    except Exception:  # as decoders raise for bytes that are no image
        return None


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    text = printable(text[:MOST_SHOWN])
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
