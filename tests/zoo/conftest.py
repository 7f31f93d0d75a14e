"""What every part of the zoo asks of a command: an answer, or one line that names what is at fault; and a tally."""

import json
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from aumclean.files import parquet

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "data" / "run-of-version-1"
PAGE = ROOT / "docs" / "lab" / "zoo.md"
SECONDS = 5  # of processor time, when a command's libraries have been loaded
WARM: set[str] = set()  # commands whose have
OUTCOMES = ("right", "failed", "refused", "quarantined")
SEEN: dict[str, Counter] = {}


@pytest.fixture
def tally():
    """Count an outcome of a kind of animal."""

    def count(kind, outcome):
        assert outcome in OUTCOMES
        SEEN.setdefault(kind, Counter())[outcome] += 1

    return count


@pytest.fixture
def ask(aumclean):
    """Run a command; gives `right`, `failed` (the gate's exit code 1) or `refused`, and what it wrote."""

    def asked(*words, named):
        begun = time.process_time()
        done = aumclean(*words)
        took = time.process_time() - begun
        assert took < SECONDS or words[0] not in WARM, f"{words}: took {took:.1f} s of processor time"
        WARM.add(words[0])
        assert "Traceback" not in done.err and "internal error" not in done.err, done.err[:2000]
        assert done.code in {0, 1, 2}, (done.code, done.err)
        if done.code == 2:
            (line,) = [line for line in done.err.splitlines() if line.startswith("aumclean: error: ")]
            assert any(str(name) in done.err for name in named), (line, named)
            assert len(line) < 2000, len(line)
            assert done.out == ""
            return "refused", done
        return ("failed" if done.code else "right"), done

    return asked


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """The finished run of the tests' data, with its photographs and scores where it says they are. Do not change it."""
    folder = Path(shutil.copytree(STORED, tmp_path_factory.mktemp("stored") / "data"))
    for file in (folder / "run" / "run.json", folder / "scores" / "scores.json"):
        text = file.read_text().replace('"/data/', f'"{folder}/')
        file.write_text(text.replace('"threshold": "estimate"', '"threshold": "estimate", "target_recall": 0.5'))
    for file in folder.rglob("*.parquet"):  # which an older version wrote, without checksums
        parquet.write(pq.ParquetFile(file).read(), file)
    return folder


def pytest_sessionfinish():
    """With UPDATE_DOCS, write the table of the zoo; in one process, as the others see only their own part."""
    if os.environ.get("UPDATE_DOCS") and SEEN and "PYTEST_XDIST_WORKER" not in os.environ:
        rows = [
            f"| {kind} | {sum(of.values())} | " + " | ".join(str(of[name]) for name in OUTCOMES) + " |"
            for kind, of in sorted(SEEN.items())
        ]
        total = sum((of for of in SEEN.values()), Counter())
        rows.append(f"| all | {sum(total.values())} | " + " | ".join(str(total[name]) for name in OUTCOMES) + " |")
        head, _, rest = PAGE.read_text().partition("<!-- zoo -->\n")
        _, _, tail = rest.partition("<!-- end -->")
        table = "\n".join(["| kind | cases | " + " | ".join(OUTCOMES) + " |", "| --- " * 6 + "|", *rows])
        PAGE.write_text(f"{head}<!-- zoo -->\n{table}\n<!-- end -->{tail}")


def damaged(content, rng):
    """Ways, `DAMAGES`, in which a disk, a download or a person damages a file: name and bytes (None: it is gone)."""
    yield "gone", None
    yield "empty", b""
    yield "cut", content[: len(content) // 2]
    yield "short", content[:-1]
    yield "zeros", bytes(len(content))
    yield "random", rng.randbytes(max(16, len(content) // 4))
    yield "twice", content + content
    for number in range(3):
        flipped = bytearray(content or b"\0")
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        yield f"flipped {number}", bytes(flipped)


DAMAGES = [name for name, _ in damaged(b"", random.Random(0))]


def put(file, content):
    """Replace a file; None deletes it."""
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def anything():
    """JSON values of every kind, for places where another kind is expected."""
    return [None, "x", "", [], {}, [[]], {"x": {}}, -1, 0.5, 10**30, 1e300, True, "\ud800", "x" * 200_000]


def as_json(value):
    """A value in JSON, not finite numbers too."""
    return json.dumps(value)
