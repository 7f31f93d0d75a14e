"""`aumclean duplicates`: near-duplicates, leaks between splits, and copies under other labels."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aumclean.cli.console import progress, say, show, table
from aumclean.cli.help import READ
from aumclean.cli.options import Caching, LimitedReading, OnDevice, Workers, option, with_options
from aumclean.errors import counted

SHOWN = 20  # rows in the terminal


@partial(with_options, first=("out", "features"))
def command(
    data: Annotated[
        list[Path], typer.Argument(help="Image folders or manifests, such as data/train data/test.", show_default=False)
    ],
    reading: LimitedReading,
    computing: OnDevice,
    caching: Caching,
    out: Annotated[Path | None, option("Write all groups to this CSV file.", "--out", "-o")] = None,
    features: Annotated[
        str | None,
        option(
            "Backbone to compare by: auto, timm:NAME[@FILE], torchvision:NAME[@FILE]; none compares pixels. "
            "[default: auto where it is installed]",
            panel=READ,
        ),
    ] = None,
    workers: Workers = None,
) -> None:
    """Find pictures that are nearly the same, within and across data sets.

    A picture in a training and in a test set is a leak; copies under different labels are a conflict. Copies that were
    compressed again, scaled, mirrored or cropped by a few pixels are found.

    Example: `aumclean duplicates photos/train photos/test -o duplicates.csv`
    """
    from aumclean.config.reading import checked
    from aumclean.config.scan import ScanConfig
    from aumclean.files import csv
    from aumclean.scanning.duplicates import find_duplicates

    own = {"features": features, "workers": workers}
    given = {**own, **reading.given(), **computing.given(), **caching.given()}
    config = checked(ScanConfig, **{name: value for name, value in given.items() if value is not None})
    with progress() as track:
        found = find_duplicates(data, config, track=track)
    rows = found.table.to_pylist()
    groups = {row["group"]: row for row in rows}
    facts = [
        ("compared", f"{counted(found.images, 'image')} by {found.by}"),
        ("near copies", f"{counted(len(rows), 'image')} in {counted(len(groups), 'group')}"),
        ("leaks", f"{counted(sum(row['leak'] for row in groups.values()), 'group')} across data sets"),
        ("conflicts", f"{counted(sum(row['conflict'] for row in groups.values()), 'group')} under several labels"),
    ]
    parts = [table("", ("", ""), facts)]
    if rows:
        shown = [(row["group"], f"{row['data']}/{row['path']}", row["label"]) for row in rows[:SHOWN]]
        parts.append(table("Near copies", ("group", "image", "label"), shown, right={"group"}))
    show(*parts)
    if len(rows) > SHOWN and out is None:
        say(f"{len(rows) - SHOWN} more; -o FILE.csv writes them all")
    if out is not None:
        csv.save(out, found.table)
        say(f"all groups: {out}")
