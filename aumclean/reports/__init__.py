"""Renderers: a verdict in, text or bytes out, of formats of several files a text for each name.

Each format is a file of its own and writes nothing; the page and the exports read the run that the verdict is of.
`render` has them all by name; `write` is the exception: it puts a run's own files in their places.
"""

from typing import Literal

Format = Literal[
    "csv",
    "parquet",
    "json",
    "jsonl",
    "markdown",
    "html",
    "pred-probs",
    "cleanlab",
    "label-studio",
    "cvat",
    "fiftyone",
    "huggingface",
]
FOLDERS = frozenset({"cleanlab", "label-studio", "cvat", "fiftyone", "huggingface"})
"""The formats of several files."""
