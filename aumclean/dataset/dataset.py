"""The data set that training sees: whole arrays, changed only by making a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Dataset:
    """Images and labels as arrays.

    Attributes:
        images: uint8 of shape [n, height, width, 3], often memory-mapped; float16 when a filter made them, in the same
            units but not bound to 0..255. In their place features of a backbone, float16 [n, views, width]: of each
            image and, where there are two views, of its mirrored middle.
        labels: int64 of shape [n], index into `class_names`.
        class_names: names of the classes; training is as wide as this is long.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        kind, shape = self.images.dtype, self.images.shape
        is_pixels = len(shape) == 4 and shape[3] == 3 and kind in (np.uint8, np.float16)
        is_features = len(shape) == 3 and shape[1] in (1, 2) and kind == np.float16
        if not is_pixels and not is_features:
            raise ValueError(f"images must be uint8 or float16 [n, height, width, 3], not {kind} {shape}")
        if self.labels.shape != (len(self.images),):
            raise ValueError(f"{len(self.images)} images need as many labels, not shape {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> int:
        """Side of the images in pixels, or how many features there are."""
        return int(self.images.shape[1] if self.images.ndim == 4 else self.images.shape[2])

    def with_labels(self, labels: np.ndarray, class_names: Sequence[str] | None = None) -> "Dataset":
        """The same images with other labels."""
        names = self.class_names if class_names is None else tuple(class_names)
        return replace(self, labels=labels.astype(np.int64), class_names=names)

    def with_classes(self, class_names: Sequence[str]) -> "Dataset":
        """The same samples, their labels counted by `class_names`, which hold all of their classes."""
        place = {name: index for index, name in enumerate(class_names)}
        return self.with_labels(np.array([place[name] for name in self.class_names])[self.labels], class_names)

    def with_images(self, images: np.ndarray) -> "Dataset":
        """The same labels with other images."""
        return replace(self, images=images)

    def take(self, keep: np.ndarray) -> "Dataset":
        """The samples at `keep` (int64), with the same classes."""
        return replace(self, images=self.images[keep], labels=self.labels[keep])
