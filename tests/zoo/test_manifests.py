"""Manifests as strangers and broken programs write them, before a command that reads all of one."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import anything, damaged

ROWS = [(f"{number}.png", f"class {number % 2}") for number in range(8)]
TEXT = "path,label\n" + "".join(f"{path},{label}\n" for path, label in ROWS)
LINES = "".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in ROWS)


def of_text():
    yield "nul", "csv", TEXT.replace("class 1", "a\0b")
    yield "bom", "csv", "\ufeff" + TEXT
    yield "utf-16", "csv", TEXT.encode("utf-16")
    yield "latin-1", "csv", TEXT.replace("class 1", "caf\xe9").encode("latin-1")
    yield "long cell", "csv", TEXT.replace("class 1", "x" * 300_000)
    yield "long name", "csv", TEXT.replace("3.png", "x" * 5000 + ".png")
    yield "open quote", "csv", TEXT.replace("class 1", '"class 1', 1)
    yield "quotes inside", "csv", TEXT.replace("class 1", '"cl""ass, 1"')
    yield "ragged", "csv", TEXT + "9.png\n"
    yield "too many cells", "csv", TEXT + "9.png,a,b,c\n"
    yield "lines in cells", "csv", TEXT.replace("class 1", '"a\n::error::b"')
    yield "cr alone", "csv", TEXT.replace("\n", "\r")
    yield "crlf", "csv", TEXT.replace("\n", "\r\n")
    yield "header twice", "csv", TEXT.replace("path,label", "path,path,label")
    yield "no header", "csv", TEXT.partition("\n")[2]
    yield "header alone", "csv", "path,label\n"
    yield "empty header", "csv", TEXT.replace("path,label", ",label")
    yield "semicolons", "csv", TEXT.replace(",", ";")
    yield "one class", "csv", TEXT.replace("class 1", "class 0")
    yield "empty label", "csv", TEXT.replace("class 1", "", 1)
    yield "blank label", "csv", TEXT.replace("class 1", "  ", 1)
    yield "repeated path", "csv", TEXT.replace("3.png", "2.png")
    yield "another column", "csv", TEXT.replace("label", "true_label")
    yield "thousand columns", "csv", ",".join(["path", "label", *map(str, range(1000))]) + "\na,b" + "," * 1000
    for name, path in {
        "up": "../secret.png", "far up": "../" * 60 + "etc/passwd", "absolute": "/etc/passwd", "url": "http://x/y.png",
        "file url": "file:///etc/passwd", "nul": "a\0b.png", "folder": ".", "device": "/dev/zero", "empty": '""',
        "back": "a/../../x.png", "home": "~/x.png", "windows": "C:\\x.png", "percent": "%2e%2e/x.png",
    }.items():  # fmt: skip
        yield f"path {name}", "csv", TEXT.replace("3.png", path)
        yield f"path {name}", "jsonl", LINES.replace("3.png", json.dumps(path)[1:-1])
    for number, value in enumerate(anything()):
        yield f"label {number}", "jsonl", LINES + json.dumps({"path": "9.png", "label": value}) + "\n"
        yield f"path {number}", "jsonl", LINES + json.dumps({"path": value, "label": "a"}) + "\n"
        yield f"row {number}", "jsonl", LINES + json.dumps(value) + "\n"
    yield "digits", "jsonl", LINES + '{"path": "9.png", "label": ' + "9" * 5000 + "}\n"
    yield "exponent", "jsonl", LINES + '{"path": "9.png", "label": 1e999}\n'
    yield "not a number", "jsonl", LINES + '{"path": "9.png", "label": NaN}\n'
    yield "nested", "jsonl", LINES + '{"path": "9.png", "label": ' + "[" * 60_000 + "\n"
    yield "nested whole", "jsonl", LINES + '{"path": "9.png", "label": ' + "[" * 500 + "]" * 500 + "}\n"
    yield "key twice", "jsonl", LINES + '{"path": "9.png", "path": "10.png", "label": "a"}\n'
    yield "many keys", "jsonl", LINES + json.dumps({str(number): 1 for number in range(20_000)}) + "\n"
    yield "an array", "jsonl", json.dumps([{"path": "0.png", "label": "a"}])
    yield "another ending", "txt", TEXT
    yield "csv as parquet", "parquet", TEXT
    yield "csv as jsonl", "jsonl", TEXT
    yield "jsonl as csv", "csv", LINES


def of_tables():
    paths, labels = [path for path, _ in ROWS], [label for _, label in ROWS]
    numbers = pa.array([0, 1] * 4)
    nested = pa.array([{"a": label} for label in labels])
    columns = {
        "integers": numbers,
        "floats": pa.array([0.5, float("nan")] * 4),
        "booleans": pa.array([True, False] * 4),
        "times": pa.array([0, 1] * 4, pa.timestamp("ms")),
        "decimals": pa.array([0, 1] * 4).cast(pa.decimal128(38, 2)),
        "dictionary": pa.array(labels).dictionary_encode(),
        "large strings": pa.array(labels, pa.large_string()),
        "binary": pa.array([label.encode() for label in labels]),
        "lists": pa.array([[label] for label in labels]),
        "structs": nested,
        "nulls": pa.nulls(8),
        "some nulls": pa.array([None, *labels[1:]]),
        "not utf-8": pa.array([b"\xff\xfe", *[label.encode() for label in labels[1:]]]).view(pa.string()),
    }
    for name, column in columns.items():
        yield f"labels as {name}", pa.table({"path": paths, "label": column})
        yield f"paths as {name}", pa.table({"path": column, "label": labels})
    for number, feature in enumerate(
        [
            {"_type": "ClassLabel", "names": ["a", "b"]}, {"_type": "ClassLabel"}, {"_type": "ClassLabel", "names": ""},
            {"_type": "ClassLabel", "names": "ab"}, {"_type": "ClassLabel", "names": [1, 2]}, {"_type": ["ClassLabel"]},
            {"_type": "ClassLabel", "names": None}, {"_type": "ClassLabel", "names": {}}, [], None, "ClassLabel", 5,
        ]
    ):  # fmt: skip
        about = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
        yield f"feature {number}", pa.table({"path": paths, "label": numbers}).replace_schema_metadata(about)
    for number, text in enumerate([b"[", b"null", b"[" * 60_000, b"9" * 5000, b"\xff", b'{"info": []}']):
        yield (
            f"metadata {number}",
            pa.table({"path": paths, "label": labels}).replace_schema_metadata({"huggingface": text}),
        )
    for number, image in enumerate(
        [
            {"bytes": b"no image", "path": "x"}, {"bytes": b"", "path": None}, {"bytes": None, "path": None},
            {"bytes": "text", "path": "x"}, {"bytes": 5, "path": 6}, {"bytes": [1], "path": "x"},
        ]
    ):  # fmt: skip
        yield f"embedded {number}", pa.table({"image": pa.array([image] * 8), "label": labels})
    yield "two images", pa.table({"a": [b"x"] * 8, "b": [b"y"] * 8, "label": labels})
    yield "no rows", pa.table({"path": paths, "label": labels}).slice(0, 0)


def cases():
    for name, suffix, text in of_text():
        yield pytest.param(
            suffix, text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"), id=f"{suffix}-{name}"
        )
    for name, table in of_tables():
        sink = pa.BufferOutputStream()
        try:
            pq.write_table(table, sink)
        except pa.ArrowException:  # no file of this kind can exist
            continue
        yield pytest.param("parquet", sink.getvalue().to_pybytes(), id=f"parquet-{name}")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"path": [path for path, _ in ROWS], "label": [label for _, label in ROWS]}), sink)
    rng = random.Random(0)
    for suffix, content in (
        ("csv", TEXT.encode()),
        ("jsonl", LINES.encode()),
        ("parquet", sink.getvalue().to_pybytes()),
    ):
        for name, changed in damaged(content, rng):
            if changed is not None:
                yield pytest.param(suffix, changed, id=f"{suffix}-{name}")
    for number in range(25):
        flipped = bytearray(sink.getvalue().to_pybytes())
        for _ in range(1 + number % 4):
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        yield pytest.param("parquet", bytes(flipped), id=f"parquet-bytes {number}")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images that manifests name."""
    folder = tmp_path_factory.mktemp("photos")
    for path, _ in ROWS:
        (folder / path).write_bytes(b"never decoded here")
    return folder


@pytest.mark.parametrize(("suffix", "content"), list(cases()))
def test_a_manifest_is_read_or_refused_in_one_line_that_names_it(photos, ask, tally, tmp_path, suffix, content):
    file, out = photos / f"list.{suffix}", tmp_path / ("out.parquet" if suffix == "parquet" else "out.csv")
    file.write_bytes(content)
    outcome, _ = ask("corrupt", file, "--noise", "uniform", "--rate", "0.5", "-o", out, named=[file])
    file.unlink()
    tally(f"manifest: {suffix}", outcome)
    assert out.exists() == (outcome == "right")
    if outcome == "right":
        made = pq.read_table(out) if suffix == "parquet" else None
        assert made is None or {"true_label"} <= set(made.column_names)
