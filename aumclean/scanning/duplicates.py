"""Near-duplicates within and across data sets: the same picture twice, in two splits (a leak), or under two labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean.config.scan import ScanConfig
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import Opened, image_size, open_configured
from aumclean.dataset.read import read_samples
from aumclean.errors import DataError
from aumclean.features.near import FINE, grouped, near_pairs, pixel_rows
from aumclean.features.neighbours import nearest, rows_of
from aumclean.features.pixels import PIXELS
from aumclean.progress import Track, untracked
from aumclean.scanning.features import NEIGHBOURS, through_backbone
from aumclean.training.backbone import is_available
from aumclean.training.device import largest_image, make_accelerator


@dataclass(frozen=True)
class Duplicates:
    """Near-duplicates.

    Attributes:
        table: a row per image that is in a group, group by group: `group` (from 1), `data` (as given), `path`, `label`,
            `leak` (whether the group has images of several data), `conflict` (whether it has several labels).
        images: how many were compared.
        by: what they were compared by, a backbone or `pixels`.
    """

    table: pa.Table
    images: int
    by: str


def find_duplicates(data: Sequence[Path], config: ScanConfig, *, track: Track = untracked) -> Duplicates:
    """Compare all images of all data with each other.

    Args:
        data: image folders or manifests; each is compared with itself and with the others.
        config: how they are read and looked at; without `features` by the backbone of the extra, or else by pixels.
        track: shows the progress.

    Raises:
        AumcleanError: when data or backbone cannot be used.
    """
    accelerator = make_accelerator(config.device)
    listed = [read_samples(one, **config.reading()) for one in data]
    size = max(FINE, config.image_size or min(image_size(one, largest_image(accelerator.device)) for one in listed))
    opened = [open_configured(one, size, config, one_class=True, track=track) for one in listed]
    images = np.concatenate([one.images for one in opened])
    if len(images) < 2:
        raise DataError(f"{data[0]}: holds a single readable image; there is nothing to compare it with")
    by = config.features or ("auto" if is_available() else PIXELS)
    if by in {PIXELS, "none"}:
        rows, by = pixel_rows(images), PIXELS
    else:
        looked = [through_backbone(one, by, config, accelerator, track)[1].images for one in opened]
        features = np.concatenate(looked)
        rows = rows_of(Dataset(features, np.zeros(len(features), np.int64), ("all",)))
    neighbours = nearest(rows, NEIGHBOURS, accelerator.device, track)
    group = grouped(len(rows), near_pairs(images, neighbours, by_features=by != PIXELS))
    return Duplicates(_table(data, opened, group), len(rows), by)


def _table(data: Sequence[Path], opened: Sequence[Opened], group: np.ndarray) -> pa.Table:
    source = np.repeat(np.arange(len(opened)), [len(one) for one in opened])
    labels = pa.concat_arrays([one.samples.label_names() for one in opened])
    inside = np.flatnonzero(np.bincount(group, minlength=len(group))[group] > 1)
    order = inside[np.lexsort((inside, group[inside]))]
    _, number = np.unique(group[order], return_inverse=True)
    label = labels.take(pa.array(order)).dictionary_encode().indices.to_numpy()
    return pa.table(
        {
            "group": pa.array(number + 1, pa.int32()),
            "data": pa.array([str(one) for one in data]).take(pa.array(source[order])),
            "path": pa.concat_arrays([one.samples.paths for one in opened]).take(pa.array(order)),
            "label": labels.take(pa.array(order)),
            "leak": pa.array(_differs(number, source[order])),
            "conflict": pa.array(_differs(number, label)),
        }
    )


def _differs(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Whether the group of each row has several values: bool."""
    _, first = np.unique(group, return_index=True)
    several = np.zeros(len(first), bool)
    np.logical_or.at(several, group, value != value[first][group])
    return np.asarray(several[group])
