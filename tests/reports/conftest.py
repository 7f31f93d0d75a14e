"""Runs that the page has to cope with."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.run.directory import Run
from aumclean.verdict.judge import judge

HOSTILE_CLASSES = {  # in the order of the alphabet, as the names they stand for
    "amber": "\"><img src=x onerror=document.title='owned'>",
    "blue": "</noscript></table></style>'&{{ 7 * 7 }}\u202e\x07" + "w" * 200,
    "green": "<script>document.title='owned'</script>",
}
HOSTILE_FILE = "a\"b'<b>&amp;<!-- {% x %} javascript&colon;.png"


@pytest.fixture(scope="session")
def altered(finished: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """A copy of the finished run in which classes have other names and files other paths, images included."""

    def alter(classes: dict[str, str], path_of: Callable[[str, str], str]) -> Run:
        folder = tmp_path_factory.mktemp("altered")
        run = Run(Path(shutil.copytree(finished.run.path, folder / "run")))
        samples = pq.read_table(run.samples)
        labels = [classes[label] for label in samples["label"].to_pylist()]
        before = samples["path"].to_pylist()
        paths = [path_of(path, label) for path, label in zip(before, labels, strict=True)]
        for old, new in zip(before, paths, strict=True):
            (folder / "images" / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(finished.root / old, folder / "images" / new)
        # two of the suspects lie under another label too
        first = judge(run).report["sample_id"].to_pylist()[:2]
        hashes, plain = samples["content_hash"].to_pylist(), samples["label"].to_pylist()
        for copy in first:
            original = next(i for i in range(300) if plain[i] != plain[copy] and i not in first)
            hashes[copy] = hashes[original]
            shutil.copy(folder / "images" / paths[original], folder / "images" / paths[copy])
        for name, values in (("path", paths), ("label", labels), ("content_hash", hashes)):
            samples = samples.set_column(samples.column_names.index(name), name, pa.array(values))
        pq.write_table(samples, run.samples)
        record = json.loads(run.run_json.read_text())
        record["data"]["class_names"] = [classes[name] for name in record["data"]["class_names"]]
        record["data"] |= {"root": str(folder / "images"), "name": classes["amber"], "unreadable": 1}
        record["argv"] = ["/bin/aumclean", "scan", classes["blue"]]
        run.run_json.write_text(json.dumps(record))
        with run.unreadable.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "reason"), (classes["green"], "broken (" + classes["amber"] + ")")])
        return run

    return alter


@pytest.fixture(scope="session")
def hostile(altered: Callable[..., Run]) -> Run:
    """Class names and paths that would be markup, script or template if anything let them."""
    return altered(HOSTILE_CLASSES, lambda path, label: f"{path.removesuffix('.png')}/{HOSTILE_FILE}")


@pytest.fixture(scope="session")
def plain(altered: Callable[..., Run]) -> Run:
    """The same with names that mean nothing."""
    names = {name: name for name in HOSTILE_CLASSES}
    return altered(names, lambda path, label: f"{path.removesuffix('.png')}/plain.png")


@pytest.fixture(scope="session")
def large(make_large: Callable[..., Run]) -> Run:
    """1,400 samples of which 1,200 are suspect."""
    return make_large(1400, 1200, 16)
