"""The baseline: the suspects a team lives with for now, and which images it has seen; a file to commit.

    {"schema_version": 1, "aumclean": "0.1.0",
     "suspects": [{"content_hash": ..., "label": ..., "path": ..., "label_score": ...}, ...],
     "seen": {label: [first digits of the content hash, ...], ...}}

One suspect and one hash per line, sorted, so that a change of the data is a small change of the file. An image is known
by its content and its label: renaming it changes nothing, relabeling it makes it another one.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aumclean import __version__, atomic
from aumclean.errors import ConfigError
from aumclean.gate.subject import Subject, as_arrow, key

SCHEMA_VERSION = 1
ENTRY = ("content_hash", "label", "path", "label_score")


@dataclass(frozen=True)
class Baseline:
    """What is accepted: `suspects` by key, an entry each; `seen`, the keys of all other images that were there."""

    suspects: dict[str, dict[str, Any]]
    seen: frozenset[str]

    def without(self, fixed: Collection[dict[str, Any]]) -> "Baseline":
        """The baseline after some of its entries have been fixed: images it has seen, and suspects no more."""
        gone = {key_of(entry) for entry in fixed}
        return Baseline({name: entry for name, entry in self.suspects.items() if name not in gone}, self.seen | gone)


def key_of(entry: dict[str, Any]) -> str:
    """An entry's key, as `Subject.keys` makes it."""
    return key(entry["content_hash"], entry["label"])


def baseline_of(subject: Subject, suspect: np.ndarray) -> Baseline:
    """The baseline that accepts everything as it is.

    Args:
        subject: a scan.
        suspect: bool [n], in the order of the report.
    """
    entries = subject.report.select(list(ENTRY)).filter(as_arrow(suspect)).to_pylist()
    others = frozenset(name for name, is_suspect in zip(subject.keys, suspect, strict=True) if not is_suspect)
    return Baseline({key_of(entry): entry for entry in entries}, others)


def render(baseline: Baseline) -> str:
    """The file's text."""
    seen = defaultdict(list)
    for name in sorted(baseline.seen):
        digits, _, label = name.partition(" ")
        seen[label].append(digits)
    entries = sorted(baseline.suspects.values(), key=lambda entry: (entry["path"], entry["label"]))
    suspects = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    labels = ",\n".join(
        f"  {json.dumps(label)}: [\n" + ",\n".join(f'   "{digits}"' for digits in found) + "\n  ]"
        for label, found in sorted(seen.items())
    )
    return (
        f'{{\n "schema_version": {SCHEMA_VERSION},\n "aumclean": "{__version__}",\n'
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
        ConfigError: when it is missing, damaged or from a newer version.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        version = document["schema_version"]
        if version > SCHEMA_VERSION:
            raise ConfigError(f"--baseline: {file} has schema version {version}, this aumclean reads {SCHEMA_VERSION}")
        suspects = {key_of(entry): {name: entry[name] for name in ENTRY} for entry in document["suspects"]}
        seen = frozenset(f"{digits} {label}" for label, found in document["seen"].items() for digits in found)
    except FileNotFoundError:
        raise ConfigError(f"--baseline: no file {file}; make it with --write-baseline {file}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"--baseline: {file} is not a baseline ({error}); write a new one") from None
    return Baseline(suspects, seen)
