"""JSON, for programs: in ASCII, so that no name can speak to a terminal or to the build log that it is printed into."""

import json
from typing import Any


def to_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that a reader of JSON gets back exactly, names that are not UTF-8 included.

    Two number signs occur in names alone; the second is escaped, as runners obey `##vso[` and `##[` in any line.

    Raises:
        ValueError: for a number that is not finite.
    """
    return json.dumps(value, indent=indent, allow_nan=False).replace("##", "#\\u0023")
