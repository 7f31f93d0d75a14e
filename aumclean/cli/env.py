"""`aumclean env`: what to paste into a bug report."""

import importlib.metadata
import os
import platform

import typer

from aumclean.cli.options import with_options

PACKAGES = ("torch", "torchvision", "accelerate", "numpy", "pandas", "pyarrow", "pillow", "pydantic", "typer", "rich")


@with_options
def command() -> None:
    """Print versions, devices and threads, for a bug report.

    Example: `aumclean env`
    """

    from aumclean import __version__, machine
    from aumclean.dataset.cache import default_cache_dir
    from aumclean.training.device import describe, has_fast_bf16, make_accelerator

    device = make_accelerator("auto").device
    lines = {
        "aumclean": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": f"{machine.cpus()} of {os.cpu_count()}",
        "device": describe(device),
        "bf16": "fast" if has_fast_bf16(device) else "not used by --precision auto",
        "cache": default_cache_dir(),
    }
    lines |= {name: importlib.metadata.version(name) for name in PACKAGES}
    lines |= {name: value for name, value in sorted(os.environ.items()) if name.startswith("AUMCLEAN_")}
    for name, value in lines.items():
        typer.echo(f"{name + ':':<14}{value}")
