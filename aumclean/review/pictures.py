"""The pictures of a queue as the page wants them: large, small, made ahead; and which of them look alike."""

import io

import numpy as np
from PIL import Image

from aumclean.dataset.decode import format_of
from aumclean.dataset.pictures import Pictures
from aumclean.review.queue import Queue

WEB_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}
LARGEST_SENT = 2_000_000  # bytes; what is larger, or of another format, goes as a JPEG of at most:
LARGEST_SIDE = 1600
SMALL_SIDE = 256
SMALL_ENOUGH = 8_000  # bytes; goes as it is, so that tiny pictures keep their pixels
MOST_KEPT = 100_000_000  # bytes of small pictures
ALIKE = 6
ALIKE_SIDE = 12
MADE_AHEAD = 5000


class QueuePictures:
    """The images behind a queue; safe to use from several threads."""

    def __init__(self, pictures: Pictures, queue: Queue) -> None:
        self.pictures, self.queue = pictures, queue
        self._small: dict[int, tuple[bytes, str]] = {}
        self._kept = 0
        self._vectors: np.ndarray | None = None

    def large(self, sample_id: int) -> tuple[bytes, str]:
        """An image for the large place, and its media type.

        Raises:
            OSError: when it is gone or has changed since the scan.
        """
        if (whole := self.pictures.in_context(self._known(sample_id), LARGEST_SIDE)) is not None:
            return whole, "image/jpeg"
        encoded = self.pictures.encoded(sample_id)
        media_type = WEB_FORMATS.get(format_of(encoded))
        if media_type is None or len(encoded) > LARGEST_SENT or self.pictures.decoding.values is not None:
            return self.pictures.thumbnail(sample_id, LARGEST_SIDE, quality=90), "image/jpeg"
        return encoded, media_type

    def small(self, sample_id: int) -> tuple[bytes, str]:
        """An image for the grid, and its media type; errors as those of `large`."""
        made = self._small.get(sample_id)
        if made is None:
            encoded = self.pictures.encoded(self._known(sample_id))
            media_type = WEB_FORMATS.get(format_of(encoded)) if len(encoded) <= SMALL_ENOUGH else None
            if media_type is None or self.pictures.decoding.values is not None:
                encoded, media_type = self.pictures.thumbnail(sample_id, SMALL_SIDE, quality=85), "image/jpeg"
            made = encoded, media_type
            if self._kept < MOST_KEPT:
                self._small[sample_id] = made
                self._kept += len(made[0])
        return made

    def make_ahead(self) -> None:
        """Make the small pictures, and find out which look alike; takes seconds, so a thread of its own does it."""
        ids = [row["sample_id"] for row in self.queue.rows[:MADE_AHEAD]]
        vectors = np.full((len(ids), ALIKE_SIDE * ALIKE_SIDE * 3), np.nan, np.float32)
        for at in np.argsort(ids):  # as they lie in a table, which is read in large parts
            try:
                with Image.open(io.BytesIO(self.small(ids[at])[0])) as image:
                    small = image.convert("RGB").resize((ALIKE_SIDE, ALIKE_SIDE), Image.Resampling.BILINEAR)
                    vectors[at] = np.asarray(small, np.float32).ravel()
            except Exception:  # gone, changed or broken: it is like no other
                continue
        self._vectors = vectors

    def alike(self, position: int) -> list[int]:
        """The positions of the queue that look most like one; none before they are known."""
        if self._vectors is None or position >= len(self._vectors):
            return []
        return alike(self._vectors, position, ALIKE)

    def _known(self, sample_id: int) -> int:
        if not 0 <= sample_id < len(self.pictures.rows):
            raise FileNotFoundError(f"there is no sample {sample_id}")
        return sample_id


def alike(vectors: np.ndarray, position: int, count: int) -> list[int]:
    """The positions whose pictures are nearest to one's.

    Args:
        vectors: float32 [positions, features], rows of NaN where there is no picture.
        position: whose neighbours.
        count: how many, at most.
    """
    distance = np.square(vectors - vectors[position]).sum(1)
    distance[position] = np.nan
    order = np.argsort(distance, kind="stable")[:count]
    return [int(found) for found in order if np.isfinite(distance[found])]
