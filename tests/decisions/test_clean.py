import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from aumclean.dataset.read import read_samples
from aumclean.decisions import cleaned
from aumclean.decisions.answers import SCHEMA
from aumclean.decisions.clean import CHANGES, Cleaning, clean, cleaned_table, read_changes, restore
from aumclean.decisions.cleaned import clean_run, copies, write_cleaned
from aumclean.errors import ConfigError, DataError, OutputError
from aumclean.files import csv
from aumclean.run.directory import Run
from aumclean.run.tables import SAMPLES
from aumclean.verdict.judge import judge

LABELS = ["cat", "dog", "cat", "dog", "=cat", "dog"]


def copy_cleaned(*what):
    with copies(*what) as count:
        return count


def report():
    """Samples 0, 1 and 2 are flagged, 2 has no suggestion, 5 was not judged."""
    return pa.table(
        {
            "sample_id": pa.array([2, 0, 1, 3, 4, 5], pa.int32()),
            "content_hash": ["h2", "h0", "h1", "h3", "h4", "h5"],
            "path": ["2.png", "0.png", "1.png", "3.png", "4.png", "5.png"],
            "label": [LABELS[sample] for sample in (2, 0, 1, 3, 4, 5)],
            "suggested_label": pa.array([None, "dog", "cat", "cat", "dog", "cat"]),
            "flagged": pa.array([True, True, True, False, False, None]),
            "aum": [-3.0, -2.0, -1.5, 2.0, 2.5, -9.0],
            "threshold": [-1.0] * 6,
            "label_score": pa.array([0.0, 0.2, 0.45, 0.7, 0.8, None]),
            "reason": pa.array(["too low"] * 3 + [None] * 3),
        }
    )


def decided(**by_sample):
    rows = [
        {"sample_id": int(name[1:]), "decision": what.split()[0], "new_label": ([*what.split(), None])[1],
         "reviewer": "ann", "time": "t", "note": None}
        for name, what in by_sample.items()
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def actions(cleaning):
    return {
        row["sample_id"]: (row["action"], row["new_label"], row["reviewer"]) for row in cleaning.changes.to_pylist()
    }


def test_without_decisions_the_policy_decides_on_the_flagged():
    nothing = decided()
    assert actions(clean(report(), nothing, "drop", "r")) == dict.fromkeys((0, 1, 2), ("remove", None, None))
    assert actions(clean(report(), nothing, "relabel", "r")) == {
        0: ("relabel", "dog", None), 1: ("relabel", "cat", None), 2: ("remove", None, None)
    }  # fmt: skip
    weighed = clean(report(), nothing, "weight", "r")
    assert actions(weighed) == {n: ("weight", LABELS[n], None) for n in (0, 1, 2)}
    assert weighed.weights().tolist() == [0.4, 0.9, 0.0, 1, 1, 1]
    assert weighed.kept.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("policy", ["drop", "relabel", "weight"])
def test_reviewed_samples_follow_the_reviewer_whatever_the_policy(policy):
    said = decided(s0="keep", s1="relabel bird", s2="unsure", s3="remove", s4="relabel dog", s5="unsure")
    found = actions(clean(report(), said, policy, "r"))
    left_to_policy = found.pop(2)
    assert found == {1: ("relabel", "bird", "ann"), 3: ("remove", None, "ann"), 4: ("relabel", "dog", "ann")}
    assert left_to_policy == (("weight", "cat", None) if policy == "weight" else ("remove", None, None))


def test_every_change_says_what_and_why_and_who_whole():
    said = decided(s1="unsure", s3="remove")
    table = pa.table({"file": ["a", "b", "c", "d", "e", "f"], "y": LABELS})
    cleaned, changes = cleaned_table(table, clean(report().slice(2), said, "drop", "run-1"), "y")
    # the report has four samples here, and the table of all is longer than that: ids count
    assert csv.to_csv(changes) == (
        '"sample_id","content_hash","path","action","old_label","new_label","old_weight","weight","reason","reviewer",'
        '"time","run","original"\n'
        '1,"h1","1.png","remove","dog",,,,"too low; the reviewer was unsure",'
        ',,"run-1","{""file"": ""b"", ""y"": ""dog""}"\n'
        '3,"h3","3.png","remove","dog",,,,"decided by a reviewer","ann","t","run-1",'
        '"{""file"": ""d"", ""y"": ""dog""}"\n'
    )
    assert cleaned["file"].to_pylist() == ["a", "c"]


def input_table(**more):
    paths = [f"{n}.png" for n in range(6)]
    extra = [{"a": [n]} for n in range(6)]
    return pa.table({"path": paths, "label": LABELS, "extra": extra, "raw": [b"\xff%d" % n for n in range(6)], **more})


@pytest.mark.parametrize("policy", ["drop", "relabel", "weight"])
@pytest.mark.parametrize("said", [{}, {"s0": "keep", "s1": "relabel =cat", "s4": "remove", "s5": "relabel cat"}])
@pytest.mark.parametrize("weights", [None, ["0.50", "1", "0.25", "2", "1.0", "0"]])
def test_the_changes_and_the_cleaned_table_give_the_original_back(tmp_path, policy, said, weights):
    original = input_table(**({"weight": weights} if weights else {}))
    cleaned, changes = cleaned_table(original, clean(report(), decided(**said), policy, "r"), "label")
    (tmp_path / "changes.csv").write_text(csv.to_csv(csv.guarded(changes)), newline="")
    assert restore(cleaned, read_changes(tmp_path / "changes.csv"), "label").equals(original)
    assert not cleaned.equals(original)


def test_weights_that_were_there_are_multiplied():
    original = input_table(weight=["0.50", "1", "0.25", "2", "1.0", "0"])
    cleaned, changes = cleaned_table(original, clean(report(), decided(), "weight", "r"), "label")
    assert cleaned["weight"].to_pylist() == ["0.2", "0.9", "0.0", "2", "1.0", "0"]
    assert changes["old_weight"].to_pylist() == ["0.50", "1", "0.25"]
    with pytest.raises(DataError, match="not all numbers"):
        cleaned_table(input_table(weight=["heavy"] * 6), clean(report(), decided(), "weight", "r"), "label")


@pytest.mark.parametrize("kind", [pa.int64(), pa.float32()])
def test_weights_that_are_numbers_are_multiplied_and_become_fractions(kind):
    table = input_table(weight=pa.array([1, 1, 1, 2, 1, 0], kind))
    whole, part = clean(report(), decided(), "weight", "r"), clean(report(), decided(), "weight", "r").at(3, 6)
    blocks = [cleaned_table(table, whole, "label")[0], cleaned_table(table.slice(3), part, "label")[0]]
    assert blocks[0]["weight"].to_pylist() == pytest.approx([0.4, 0.9, 0, 2, 1, 0])
    assert blocks[0].schema == blocks[1].schema, "also where none of a block's weights changes"


def test_class_numbers_and_weights_of_data_with_images_come_back_but_no_removed_rows():
    schema = class_label_schema(["=cat", "cat", "dog"]).append(pa.field("weight", pa.float64()))
    numbers = [["=cat", "cat", "dog"].index(label) for label in LABELS]
    table = pa.table({"image": [b"x"] * 6, "label": numbers, "weight": [1, 0.5, 1, 1, 1, 1]}, schema=schema)
    for policy in ("weight", "drop"):
        cleaning = clean(report(), decided(s3="relabel =cat"), policy, "r")
        cleaned, changes = cleaned_table(table, cleaning, "label", noting_rows=False)
        if policy == "weight":
            assert restore(cleaned, changes, "label").equals(table)
            continue
        with pytest.raises(DataError, match="rows that were removed are not in the list of changes, but in the data"):
            restore(cleaned, changes, "label")


def class_label_schema(names):
    about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    fields = [("image", pa.binary()), ("label", pa.int64())]
    return pa.schema(fields, metadata={"huggingface": json.dumps(about)})


@pytest.mark.parametrize("size", [1, 2, 6])
def test_rows_some_at_a_time_are_cleaned_alike_and_class_numbers_stay_numbers(size):
    schema = class_label_schema(["=cat", "cat", "dog"])
    table = pa.table({"image": [b"x"] * 6, "label": [1, 2, 1, 2, 0, 2]}, schema=schema)
    cleaning = clean(report(), decided(s1="keep", s3="relabel =cat"), "weight", "r")
    cleaning2 = clean(report(), decided(s1="keep", s3="relabel =cat"), "drop", "r")

    def in_blocks(cleaning):
        starts = range(0, len(table), size)
        return pa.concat_tables(
            cleaned_table(table.slice(start, size), cleaning.at(start, start + size), "label", noting_rows=False)[0]
            for start in starts
        )

    weighed = in_blocks(cleaning)
    assert weighed["label"].to_pylist() == [1, 2, 1, 0, 0, 2]
    assert weighed["weight"].to_pylist() == [0.4, 1, 0, 1, 1, 1]
    assert json.loads(weighed.schema.metadata[b"huggingface"])["info"]["features"]["weight"]["dtype"] == "float64"
    rest = in_blocks(cleaning2)
    assert rest["label"].to_pylist() == [2, 0, 0, 2]
    assert rest.schema.equals(schema, check_metadata=True)


@pytest.mark.parametrize("kind", [pa.int8(), pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_labels_keep_their_type(kind):
    numbers = ["3", "5", "3", "5", "3", "5"]
    column = pa.array(numbers).cast(kind.value_type if pa.types.is_dictionary(kind) else kind).cast(kind)
    table = pa.table({"path": list("abcdef"), "label": column})
    cleaned, _ = cleaned_table(
        table, clean(report(), decided(s0="relabel 5", s1="keep", s2="keep"), "drop", "r"), "label"
    )
    assert cleaned.schema.field("label").type == kind
    assert [str(value) for value in cleaned["label"].to_pylist()] == ["5", *numbers[1:]]


def a_change(run, sample, action, new_label=None):
    """A cleaning of one sample."""
    one = pq.read_table(run.samples).to_pylist()[sample]
    row = {
        "sample_id": sample,
        "path": one["path"],
        "action": action,
        "old_label": one["label"],
        "new_label": new_label,
    }
    samples = pq.read_metadata(run.samples).num_rows
    return clean_of(samples, [row])


def clean_of(samples, rows):
    return Cleaning(pa.Table.from_pylist(rows, CHANGES), weighs=False, samples=samples)


def test_the_cleaned_folder_is_data_again_and_the_sources_are_as_they_were(own_run, planted, tmp_path):
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in planted.root.rglob("*.png")}
    paths = pq.read_table(own_run.samples)["path"].to_pylist()
    removed, moved = paths[0], paths[200]
    new_label = "amber" if not moved.startswith("amber") else "blue"
    rows = [
        {"sample_id": 0, "path": removed, "action": "remove", "old_label": removed.split("/")[0]},
        {"sample_id": 200, "path": moved, "action": "relabel", "old_label": "x", "new_label": new_label},
    ]
    assert copy_cleaned(own_run, clean_of(360, rows), tmp_path / "clean") == 359
    again = read_samples(tmp_path / "clean")
    expected = {path: path.split("/")[0] for path in paths[1:] if path != moved} | {
        f"{new_label}/{moved.split('/')[1]}": new_label
    }
    assert dict(zip(again.paths.to_pylist(), again.label_names().to_pylist(), strict=True)) == expected
    assert not (tmp_path / "clean" / paths[5]).samefile(planted.root / paths[5])
    assert (tmp_path / "clean" / paths[5]).read_bytes() == (planted.root / paths[5]).read_bytes()
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in planted.root.rglob("*.png")} == before


def renamed(run, root, labels, paths):
    """The run as if its first samples had been files of these labels and paths, which are made below `root`."""
    table = pq.read_table(run.samples).slice(0, len(paths))
    for old, new in zip(table["path"].to_pylist(), paths, strict=True):
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / new).write_bytes((pq_root(run) / old).read_bytes())
    for name, values in (("path", paths), ("label", labels)):
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, run.samples)
    record = run.read()
    data = record.data.model_copy(
        update={"source": str(root), "root": str(root), "samples": len(paths), "class_names": sorted({*labels, "x"})}
    )
    run.write(record.model_copy(update={"data": data}))


@pytest.mark.parametrize(
    ("paths", "copied"),
    [
        (["a/x.png", "b/x.png"], ["x-1.png", "x.png"]),
        (["a/x-2.png", "a/x.png", "b/x.png"], ["x-2-1.png", "x-2.png", "x.png"]),  # the second choice is taken too
        (["a/x-3.png", "a/x-3-1.png", "a/x.png", "b/x.png"], ["x-3-1.png", "x-3-2.png", "x-3.png", "x.png"]),
    ],
    ids=["taken", "second choice taken", "third choice taken"],
)
def test_files_that_want_one_name_are_all_kept_and_no_original_changes(own_run, tmp_path, paths, copied):
    root = tmp_path / "data"
    renamed(own_run, root, ["amber"] * len(paths), paths)
    before = {file: file.read_bytes() for file in root.rglob("*.png")}
    assert copy_cleaned(own_run, clean_of(len(paths), []), tmp_path / "clean") == len(paths)
    made = sorted((tmp_path / "clean" / "amber").iterdir())
    assert [file.name for file in made] == copied
    assert sorted(file.read_bytes() for file in made) == sorted(before.values())
    for file in made:
        file.write_bytes(b"edited in place")
    assert {file: file.read_bytes() for file in root.rglob("*.png")} == before


def pq_root(run):
    return Path(run.read().data.root)


@pytest.mark.parametrize(
    ("label", "says"),
    [("../up", "cannot be the name of a folder"), (".hidden", "cannot be"), ("a/b", "cannot be"), ("..", "cannot be")],
)
def test_a_class_that_is_no_folder_name_is_refused_and_nothing_is_left(own_run, tmp_path, label, says):
    with pytest.raises(DataError, match=says):
        copy_cleaned(own_run, a_change(own_run, 5, "relabel", label), tmp_path / "clean")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_a_place_in_the_data_or_in_use_is_refused(own_run, planted, tmp_path):
    nothing = clean_of(360, [])
    (tmp_path / "full" / "x").mkdir(parents=True)
    for place in (planted.root, planted.root / "new", planted.root.parent, tmp_path / "full"):
        with pytest.raises((DataError, OutputError), match="(inside the data|not an empty folder).*; choose another"):
            copy_cleaned(own_run, nothing, place)
    assert not (planted.root / "new").exists()


def test_an_image_that_changed_since_the_scan_stops_the_copy(own_run, tmp_path):
    table = pq.read_table(own_run.samples)
    hashes = ["0" * 64, *table["content_hash"].to_pylist()[1:]]
    pq.write_table(table.set_column(3, "content_hash", pa.array(hashes)), own_run.samples)
    with pytest.raises(DataError, match="has changed since the scan"):
        copy_cleaned(own_run, clean_of(360, []), tmp_path / "clean")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_data_that_were_moved_are_copied_from_where_they_are(own_run, tmp_path):
    renamed(own_run, tmp_path / "data", ["amber"] * 2, ["a/x.png", "a/y.png"])
    (tmp_path / "data").rename(tmp_path / "now")
    with pytest.raises(DataError, match=r"a/x.png: cannot be read .* \(missing\); name where .* --data"):
        copy_cleaned(own_run, clean_of(2, []), tmp_path / "clean")
    assert copy_cleaned(Run(own_run.path, tmp_path / "now"), clean_of(2, []), tmp_path / "clean") == 2
    record = own_run.read()
    own_run.write(record.model_copy(update={"data": record.data.model_copy(update={"pictures": False})}))
    with pytest.raises(DataError, match="--copy-to: the samples of .* are no images"):
        copy_cleaned(own_run, clean_of(2, []), tmp_path / "other")


def embedded(run, tmp_path):
    """The run as if its images had lain in a Parquet file, with ClassLabel numbers, a broken one after each of them."""
    samples = pq.read_table(run.samples).to_pylist()
    names = sorted({row["label"] for row in samples})
    images = []
    for row in samples:
        images += [(pq_root(run) / row["path"]).read_bytes(), b"broken"]
    labels = [names.index(row["label"]) for row in samples for _ in range(2)]
    pq.write_table(pa.Table.from_pylist([{**row, "row": 2 * n} for n, row in enumerate(samples)], SAMPLES), run.samples)
    file = tmp_path / "data.parquet"
    pq.write_table(pa.table({"image": images, "label": labels}, schema=class_label_schema(names)), file)
    record = run.read()
    status = file.stat()
    about = {
        "source": str(file), "root": str(tmp_path), "image_column": "image", "label_column": "label",
        "source_bytes": status.st_size, "source_changed_ns": status.st_mtime_ns,
    }  # fmt: skip
    run.write(record.model_copy(update={"data": record.data.model_copy(update=about)}))
    return file


@pytest.mark.parametrize("rows", [7, 1024])
def test_images_in_a_table_are_cleaned_into_a_table_that_is_data_again(own_run, tmp_path, rows, monkeypatch):
    monkeypatch.setattr(cleaned, "STREAMED_ROWS", rows)
    file = embedded(own_run, tmp_path)
    cleaning = a_change(own_run, 7, "relabel", "green")
    out, changes = tmp_path / "c.parquet", tmp_path / "changes.csv"
    write_cleaned(own_run, cleaning, [out], changes)
    again = read_samples(out)
    assert pq.read_table(out)["image"].to_pylist() == pq.read_table(file)["image"].to_pylist()[::2]
    old = pq.read_table(own_run.samples)["label"].to_pylist()
    assert again.label_names().to_pylist() == [*old[:7], "green", *old[8:]]
    assert len(read_changes(changes)) == 1
    with pytest.raises(DataError, match=r"must be \.parquet"):
        write_cleaned(own_run, cleaning, [tmp_path / "c.csv"], changes)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="is of the data that were scanned, and would be lost; name a new file"):
        clean_run(own_run, judge(own_run).report, decided(), "drop", file, None)
    assert file.read_bytes() == before
    assert copy_cleaned(own_run, cleaning, tmp_path.parent / f"{tmp_path.name}-copy") == 360
    name = Path(pq.read_table(own_run.samples)["path"][7].as_py()).name
    copied = tmp_path.parent / f"{tmp_path.name}-copy" / "green" / name
    assert np.asarray(Image.open(io.BytesIO(copied.read_bytes()))).shape == (12, 12, 3)


def test_writing_a_cleaned_manifest_keeps_the_input_s_columns(own_run, tmp_path):
    n = pq.read_metadata(own_run.samples).num_rows
    own = pa.table({"id": [f"i{k}" for k in range(n)], "y": pq.read_table(own_run.samples)["label"]})
    pq.write_table(own, own_run.manifest)
    record = own_run.read()
    own_run.write(record.model_copy(update={"data": record.data.model_copy(update={"label_column": "y"})}))
    write_cleaned(own_run, a_change(own_run, 3, "relabel", "green"), [tmp_path / "c.csv"], tmp_path / "changes.csv")
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert (lines[0], lines[4], len(lines)) == ('"id","y"', '"i3","green"', n + 1)
    assert (tmp_path / "changes.csv").read_text().count("\n") == 2
