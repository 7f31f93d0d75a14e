"""Results of a long benchmark: a line of JSON for each, so that a suite which was stopped goes on where it was."""

import io
import json
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def read_results(file: Path) -> list[dict[str, Any]]:
    """The lines of a results file; a last one that was cut off by a crash is left out."""
    lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else [""]
    return [json.loads(line) for line in lines[:-1]]


def append_results(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append the rows of one method at once, after what is whole in the file."""
    whole = file.read_bytes() if file.is_file() else b""
    with file.open("r+b" if file.is_file() else "wb") as stream:
        stream.truncate(whole.rfind(b"\n") + 1)
        stream.seek(0, io.SEEK_END)
        stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process, so that its peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
