"""`aumclean features`: decode images and look at them beforehand, on one machine or on a Ray cluster."""

from functools import partial
from typing import Annotated

import typer

from aumclean.cli.console import progress, say_notes, show, table
from aumclean.cli.help import COMPUTE, READ
from aumclean.cli.options import CacheDir, Data, LimitedReading, OnDevice, Workers, option, with_options
from aumclean.errors import counted

SHOWN = 5  # unreadable images in the terminal


@partial(with_options, first=("features", "ray"))
def command(
    data: Data,
    reading: LimitedReading,
    computing: OnDevice,
    features: Annotated[
        str | None,
        option("Backbone: auto, timm:NAME[@FILE] or torchvision:NAME[@FILE]. [default: auto]", panel=READ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Run as tasks on a Ray cluster.", rich_help_panel=COMPUTE),
    ] = False,
    workers: Workers = None,
    cache_dir: CacheDir = None,
) -> None:
    """Compute the features of all images with a backbone, and keep them in the cache.

    A later scan of the same images finds them there, together with the small images that a network is trained on.
    Images whose features are in the cache already are skipped.

    Example: `aumclean features photos/ --ray --cache-dir /shared/cache`
    """
    from aumclean.config.reading import checked
    from aumclean.config.scan import ScanConfig
    from aumclean.dataset.cache import default_cache_dir
    from aumclean.dataset.read import read_samples
    from aumclean.features.fill import fill

    given = {"features": features, "workers": workers, "cache_dir": cache_dir, **reading.given(), **computing.given()}
    config = checked(ScanConfig, **{name: value for name, value in given.items() if value is not None})
    samples = read_samples(data, **config.reading())
    say_notes(samples)
    with progress() as track:
        done = fill(samples, config.features or "auto", config, ray=ray, track=track)
    facts = [
        ("images", f"{done.images:,}"),
        ("looked at now", f"{done.added:,}"),
        ("unreadable", f"{len(done.unreadable):,}"),
        ("cache", str(config.cache_dir or default_cache_dir())),
    ]
    bad = [f"- {row['path']}: {row['reason']}" for row in done.unreadable.slice(0, SHOWN).to_pylist()]
    more = len(done.unreadable) - len(bad)
    show(table("", ("", ""), facts), *bad, *([f"- {counted(more, 'other')}"] if more > 0 else []))
