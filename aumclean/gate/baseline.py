"""The baseline: the suspects a team lives with for now, and which images it has seen; a file to commit.

    {"schema_version": 1, "aumclean": "0.1.0",
     "repeat_deviation": 0.25,
     "suspects": [{"content_hash": ..., "label": ..., "path": ..., "label_score": ...}, ...],
     "seen": {label: [first digits of the content hash, ...], ...}}

One suspect and one hash per line, sorted, so that a change of the data is a small change of the file. An image is known
by its content and its label: renaming it changes nothing, relabeling it makes it another one.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from aumclean import __version__
from aumclean.errors import ConfigError
from aumclean.files import atomic
from aumclean.files.records import Record, Share, read_record
from aumclean.gate.subject import Subject, as_arrow, key


class Suspect(Record):
    """A sample."""

    content_hash: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file.")
    label: str = Field(description="Its label.")
    path: str = Field(description="Where it was.")
    label_score: Share | None = Field(description="0 to 1, low is suspect; null when not judged.")

    @property
    def key(self) -> str:
        """What it is called, as `Subject.keys` calls it."""
        return key(self.content_hash, self.label)


class Baseline(Record):
    """The suspects that a team lives with for now, and which images it has seen."""

    schema_version: Literal[1] = Field(default=1, description="Version of this form of file.")
    aumclean: str = Field(default=__version__, description="Version that wrote it.")
    repeat_deviation: float = Field(
        default=0.0, ge=0, description="What another scan changes, as the summary of the scan behind it says."
    )
    suspects: list[Suspect] = Field(description="What is accepted for now.")
    seen: dict[str, list[Annotated[str, Field(pattern="^[0-9a-f]{12}$")]]] = Field(
        description="All other images that were there, by label: the first 12 digits of their content hashes."
    )

    @cached_property
    def suspect_keys(self) -> frozenset[str]:
        """Keys of the suspects."""
        return frozenset(suspect.key for suspect in self.suspects)

    @cached_property
    def seen_keys(self) -> frozenset[str]:
        """Keys of all other images that were there."""
        return frozenset(key(digits, label) for label, found in self.seen.items() for digits in found)

    def without(self, fixed: Collection[Suspect]) -> "Baseline":
        """The baseline after some of its entries have been fixed: images it has seen, and suspects no more."""
        gone = {suspect.key for suspect in fixed}
        left = [suspect for suspect in self.suspects if suspect.key not in gone]
        return baseline(left, self.seen_keys | gone, self.repeat_deviation)


def baseline(suspects: Iterable[Suspect], others: Iterable[str], repeat_deviation: float) -> Baseline:
    """The baseline that accepts these suspects, and has seen the images with these keys."""
    accepted = {suspect.key: suspect for suspect in suspects}.values()
    seen = defaultdict(list)
    for name in sorted(others):
        digits, _, label = name.partition(" ")
        seen[label].append(digits)
    in_order = sorted(accepted, key=lambda one: (one.path, one.label))
    return Baseline(repeat_deviation=repeat_deviation, suspects=in_order, seen=dict(sorted(seen.items())))


def baseline_of(subject: Subject, suspect: np.ndarray) -> Baseline:
    """The baseline that accepts everything as it is.

    Args:
        subject: a scan.
        suspect: bool [n], in the order of the report.
    """
    rows = subject.report.select(list(Suspect.model_fields)).filter(as_arrow(suspect)).to_pylist()
    others = {name for name, is_suspect in zip(subject.keys, suspect, strict=True) if not is_suspect}
    return baseline([Suspect(**row) for row in rows], others, subject.summary.repeat_deviation)


def render(baseline: Baseline) -> str:
    """The file's text."""
    suspects = ",\n".join(f"  {json.dumps(suspect.model_dump())}" for suspect in baseline.suspects)
    labels = ",\n".join(
        f"  {json.dumps(label)}: [\n" + ",\n".join(f'   "{digits}"' for digits in found) + "\n  ]"
        for label, found in baseline.seen.items()
    )
    return (
        f'{{\n "schema_version": {baseline.schema_version},\n "aumclean": "{__version__}",\n'
        f' "repeat_deviation": {baseline.repeat_deviation},\n'
        f' "suspects": [\n{suspects}\n ],\n "seen": {{\n{labels}\n }}\n}}\n'
    )


def write_baseline(file: Path, baseline: Baseline) -> None:
    """Replace the file.

    Raises:
        OutputError: when it cannot be written.
    """
    atomic.write_text(file, render(baseline))


def read_baseline(file: Path) -> Baseline:
    """Read a baseline.

    Raises:
        ConfigError: when there is none.
        RunError: when it is damaged or from a newer version.
    """
    try:
        return read_record(file, Baseline, remedy="write a new one with --write-baseline")
    except FileNotFoundError:
        raise ConfigError(f"--baseline: no file {file}; make it with --write-baseline {file}") from None
