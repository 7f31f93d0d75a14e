"""Features and pixels of a data set put into the cache, where every later scan of the same images finds them."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from aumclean import machine
from aumclean.config.scan import ScanConfig
from aumclean.dataset.cache import decoded, default_cache_dir
from aumclean.dataset.open import image_size, with_decoding
from aumclean.dataset.samples import Samples
from aumclean.features.extract import add_missing, keys_of, store_of
from aumclean.features.on_ray import on_ray
from aumclean.progress import Track, untracked
from aumclean.training.backbone import Backbone, load_backbone
from aumclean.training.device import Device, largest_image, make_accelerator

SHARD = 4096  # samples of a task; each task makes the backbone ready, which takes a second or two


@dataclass(frozen=True)
class Filled:
    """What became of some samples.

    Attributes:
        images: how many could be read.
        added: of how many different ones the cache had no features.
        unreadable: path and reason of the others.
    """

    images: int
    added: int
    unreadable: pa.Table

    def __len__(self) -> int:
        return self.images + len(self.unreadable)


def fill(samples: Samples, name: str, config: ScanConfig, *, ray: bool = False, track: Track = untracked) -> Filled:
    """Look at all images through a backbone, but at those whose features are in the cache; decode them for training.

    Args:
        samples: any.
        name: of the backbone, as of `load_backbone`.
        config: where the cache is, how many processes decode, and the size of the images that a network is trained on.
        ray: whether to do it in tasks of a Ray cluster, `SHARD` samples each. Every machine of it must see images and
            cache under the same names.
        track: shows the progress.

    Raises:
        AumcleanError: when backbone, images, cache or cluster cannot be used.
    """
    samples = replace(with_decoding(samples), manifest=None)
    largest = largest_image(make_accelerator(config.device).device)
    cache_dir = (config.cache_dir or default_cache_dir()).absolute()
    look = partial(
        _fill_some,
        samples,
        load_backbone(name),
        size=config.image_size or image_size(samples, largest),
        cache_dir=cache_dir,
        limit_gib=config.cache_limit,
        device=config.device,
    )
    n = len(samples)
    if not ray:
        return look(range(n), config.workers or machine.cpus(), track=track)
    shards = [range(start, min(start + SHARD, n)) for start in range(0, n, SHARD)]
    done = list(track(on_ray(look, shards), "looking through the backbone", 0, n))
    unreadable = pa.concat_tables([one.unreadable for one in done]).sort_by("path")
    return Filled(sum(one.images for one in done), sum(one.added for one in done), unreadable)


def _fill_some(
    samples: Samples,
    backbone: Backbone,
    some: range,
    workers: int,
    *,
    size: int,
    cache_dir: Path,
    limit_gib: float,
    device: Device,
    track: Track = untracked,
) -> Filled:
    """Do it for the samples at `some` positions."""
    here = samples.take(np.arange(some.start, some.stop))
    found = decoded(here, size, workers=workers, cache_dir=cache_dir, limit_gib=limit_gib, track=track)
    reasons = pa.table({"path": here.paths.cast(pa.string()), "reason": found.files["reason"]})
    added = add_missing(
        store_of(cache_dir, backbone, here.decoding),
        here.take(found.readable),
        keys_of(found.files["sha256"].take(pa.array(found.readable))),
        backbone,
        limit_gib=limit_gib,
        workers=workers,
        device=make_accelerator(device).device,
        track=track,
    )
    return Filled(len(found.readable), added, reasons.filter(reasons["reason"].is_valid()))
