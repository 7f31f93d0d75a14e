"""What a data source lists before any pixel is decoded: paths, labels, and where the bytes are."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from aumclean.dataset.images import Images
from aumclean.files.location import Location

ValueRange = tuple[float, float]
"""What is black and what is white in images whose values are not 0..255."""


@dataclass(frozen=True)
class Decoding:
    """How encoded images become pixels, as far as that is the data set's to say.

    Attributes:
        values: for images of more than 8 bits; None: as found.
        max_pixels: images with more of them are refused; None: Pillow's own limit.
    """

    values: ValueRange | None = None
    max_pixels: int | None = None


AS_FOUND = Decoding()


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of a data source, in its own order.

    Attributes:
        name: a short name for the data, used to name the run.
        source: DATA itself, the file or folder all this was read from.
        root: the folder that `paths` are relative to.
        paths: POSIX paths, unique, string array of length n.
        labels: index into `class_names`, int32 array of length n.
        class_names: every label that occurs, sorted.
        images: where the encoded images are.
        rows: the row of each sample in `images` and `manifest`, ascending int64 array of length n.
        manifest: the table the samples came from without its image column; None when it was a folder.
        label_column: the table's column with the labels.
        notes: what was decided on the user's behalf (the split, the columns), as sentences.
        decoding: how its images become pixels.
    """

    name: str
    source: Location
    root: Location
    paths: pa.Array
    labels: np.ndarray
    class_names: tuple[str, ...]
    images: Images
    rows: np.ndarray
    manifest: pa.Table | None = None
    label_column: str = "label"
    notes: tuple[str, ...] = ()
    decoding: Decoding = AS_FOUND

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, keep: np.ndarray) -> "Samples":
        """The samples at `keep` (ascending int64), with the classes that are left."""
        if len(keep) == len(self):
            return self
        labels = self.labels[keep]
        present, relabeled = np.unique(labels, return_inverse=True)
        return replace(
            self,
            paths=self.paths.take(pa.array(keep)),
            labels=relabeled.astype(np.int32),
            class_names=tuple(self.class_names[label] for label in present),
            rows=self.rows[keep],
        )

    def evenly(self, limit: int) -> "Samples":
        """At most `limit` samples, evenly spaced, so that sorted data keep their class shares."""
        if limit >= len(self):
            return self
        return self.take(np.arange(limit) * len(self) // limit)

    def label_names(self) -> pa.Array:
        """The labels as strings."""
        return pa.array(self.class_names, pa.string()).take(pa.array(self.labels))
