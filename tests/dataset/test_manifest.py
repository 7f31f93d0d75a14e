import json
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.dataset.read import read_samples
from aumclean.errors import DataError

ODD_LABELS = ["001", "NA", "None", "null", "1e5", "true", "ünï", "a,b"]


@pytest.fixture
def images(tmp_path, save_image):
    """Eight images in `pics`, listed as `.paths`."""
    return [save_image(tmp_path / "pics" / f"{number}.png", seed=number) for number in range(8)]


def rows(labels=ODD_LABELS):
    return [(f"pics/{number}.png", label) for number, label in enumerate(labels)]


def write_csv(file, pairs, header=("path", "label"), delimiter=","):
    quoted = [delimiter.join(f'"{cell}"' for cell in line) for line in (header, *pairs)]
    file.write_text("\n".join(quoted) + "\n", encoding="utf-8")
    return file


def write(kind, folder, pairs):
    file = folder / f"list.{kind}"
    if kind == "csv":
        return write_csv(file, pairs)
    if kind == "tsv":
        return write_csv(file, pairs, delimiter="\t")
    if kind == "jsonl":
        file.write_text("".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in pairs))
    else:
        pq.write_table(pa.table({"path": [path for path, _ in pairs], "label": [label for _, label in pairs]}), file)
    return file


@pytest.mark.parametrize("again", range(1, 8))
def test_a_repeated_path_is_found_wherever_it_is_among_blocks(images, tmp_path, monkeypatch, again):
    monkeypatch.setattr("aumclean.dataset.manifest.ROWS", 3)
    pairs = [*reversed(rows()), rows()[again]]
    with pytest.raises(DataError, match=f"'pics/{again}.png' is listed 2 times"):
        read_samples(write("csv", tmp_path, pairs))


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_labels_survive_as_strings_in_every_format(images, tmp_path, kind):
    samples = read_samples(write(kind, tmp_path, rows()))
    assert [samples.class_names[label] for label in samples.labels] == ODD_LABELS
    assert samples.paths.to_pylist() == [path for path, _ in rows()]
    assert [samples.images.one(int(row)) for row in samples.rows] == images


def test_bom_crlf_and_extra_columns_are_kept(images, tmp_path):
    lines = ["path,label,note", *(f"{path},{'x' if i % 2 else 'y'},n{i}" for i, (path, _) in enumerate(rows()))]
    (tmp_path / "list.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    samples = read_samples(tmp_path / "list.csv")
    assert samples.manifest["note"].to_pylist() == [f"n{i}" for i in range(8)]
    assert samples.class_names == ("x", "y")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (("path", "other"), "has no label column.*--label-column"),
        (("other", "label"), "has no path column.*--path-column"),
        (("path", "path"), "'path' more than once"),
    ],
)
def test_unclear_columns_name_the_option(images, tmp_path, header, says):
    with pytest.raises(DataError, match=says):
        read_samples(write_csv(tmp_path / "list.csv", rows(), header=header))


def test_ambiguous_columns_must_be_chosen(images, tmp_path):
    three = [(path, label, "z") for path, label in rows()]
    file = write_csv(tmp_path / "list.csv", three, header=("path", "label", "class"))
    with pytest.raises(DataError, match="may be in label or class; say which with --label-column"):
        read_samples(file)
    assert len(read_samples(file, label_column="label").class_names) == 8
    with pytest.raises(DataError, match="no column 'labl'.*did you mean 'label'"):
        read_samples(file, label_column="labl")


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/passwd", "pics/../../x.png", "https://host/x.png", "s3://b/x.png"]
)
def test_paths_may_not_leave_the_root(images, tmp_path, path):
    file = write_csv(tmp_path / "list.csv", [*rows(), (path, "x")])
    with pytest.raises(DataError, match=r"row 9: path .* is not inside .*--root"):
        read_samples(file)


def test_absolute_paths_below_the_root_are_fine(images, tmp_path):
    file = write_csv(
        tmp_path / "list.csv", [(str(image), label) for image, label in zip(images, "abababab", strict=True)]
    )
    assert read_samples(file).paths.to_pylist() == [f"pics/{number}.png" for number in range(8)]


def test_root_says_where_paths_begin(images, tmp_path):
    (tmp_path / "lists").mkdir()
    file = write_csv(tmp_path / "lists" / "list.csv", rows())
    with pytest.raises(DataError, match="none of its 8 images exists.*--root"):
        read_samples(file)
    assert len(read_samples(file, root=tmp_path)) == 8


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([*rows(), ("pics/./1.png", "x")], "'pics/1.png' is listed 2 times"),
        ([*rows(), ("pics/1.png", "NA")], "'pics/1.png' is listed 2 times"),
        (
            [*rows(), ("pics/1.png", "001")],
            "'pics/1.png' is listed 2 times with the labels 'NA' and '001'; one label per",
        ),
        ([*rows()[:3], ("pics/3.png", " ")], "row 4 has an empty 'label'"),
        ([("", "x")], "row 1 has an empty 'path'"),
    ],
)
def test_repeated_paths_and_empty_cells_are_refused(images, tmp_path, pairs, says):
    with pytest.raises(DataError, match=says):
        read_samples(write_csv(tmp_path / "list.csv", pairs))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("list.csv", b"", "is not a readable csv table"),
        ("list.csv", b"path,label\n", "has no rows"),
        ("list.csv", b"path,label\na.png,x\nb.png,x,y\n", "is not a readable csv table"),
        ("list.csv", b"path,label\na.png,\x81\n", "is not a readable csv table"),
        ("list.jsonl", b'{"path": "a.png", "label": "x"}\n{oops\n', "line 2 is not JSON"),
        ("list.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("list.parquet", b"not parquet", "is not a readable parquet table"),
        ("list.xlsx", b"PK", "is no folder, table or archive that can be read"),
    ],
)
def test_broken_tables_are_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_samples(tmp_path / name)


def test_hugging_face_image_folder(images, tmp_path):
    lines = [json.dumps({"file_name": f"{number}.png", "label": "ab"[number % 2]}) for number in range(8)]
    (tmp_path / "pics" / "metadata.jsonl").write_text("\n".join(lines))
    samples = read_samples(tmp_path / "pics")
    assert samples.class_names == ("a", "b")
    assert samples.name == "pics"
    (tmp_path / "pics" / "metadata.csv").write_text("file_name,label\n")
    with pytest.raises(DataError, match=r"metadata.csv and metadata.jsonl; keep one"):
        read_samples(tmp_path / "pics")


def test_split_column_reads_train_and_says_so(images, tmp_path):
    three = [(path, "ab"[number % 2], "train" if number < 6 else "test") for number, (path, _) in enumerate(rows())]
    file = write_csv(tmp_path / "list.csv", three, header=("path", "label", "split"))
    samples = read_samples(file)
    assert len(samples) == 6
    assert "reading 'train'" in samples.notes[0]
    assert read_samples(file, split="test").paths.to_pylist() == ["pics/6.png", "pics/7.png"]
    with pytest.raises(DataError, match="no row has the split 'val'.*test, train"):
        read_samples(file, split="val")


def encoded(images):
    return [image.read_bytes() for image in images]


@pytest.mark.parametrize(
    "kind",
    [
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        pa.struct([("bytes", pa.large_binary())]),
        pa.binary(),
    ],
    ids=str,
)
def test_images_inside_parquet(images, tmp_path, kind):
    data = encoded(images)
    column = [{"bytes": item} for item in data] if pa.types.is_struct(kind) else data
    pq.write_table(pa.table({"image": pa.array(column, kind), "label": ["a", "b"] * 4}), tmp_path / "set.parquet")
    samples = read_samples(tmp_path / "set.parquet")
    assert samples.paths.to_pylist()[:2] == ["set.parquet/0000000", "set.parquet/0000001"]
    assert [item for chunk in samples.images.chunks(samples.rows, 3) for item in chunk] == data
    some = samples.evenly(3)
    assert [item for chunk in some.images.chunks(some.rows, 2) for item in chunk] == [data[row] for row in some.rows]


def test_hugging_face_class_labels_become_names(images, tmp_path):
    features = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}
    table = pa.table({"image": pa.array(encoded(images), pa.binary()), "label": [0, 1] * 4})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "set.parquet")
    assert read_samples(tmp_path / "set.parquet").class_names == ("cat", "dog")


def test_embedded_images_keep_their_own_names_when_these_differ(images, tmp_path):
    column = [{"bytes": item, "path": f"cat/{number}.jpg"} for number, item in enumerate(encoded(images))]
    pq.write_table(pa.table({"image": column, "label": ["a", "b"] * 4}), tmp_path / "set.parquet")
    assert read_samples(tmp_path / "set.parquet").paths.to_pylist() == [f"cat/{number}.jpg" for number in range(8)]


def test_structs_with_paths_alone_are_a_list_of_files(images, tmp_path):
    column = [{"bytes": None, "path": f"pics/{number}.png"} for number in range(8)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(column, kind), "label": ["a", "b"] * 4}), tmp_path / "set.parquet")
    samples = read_samples(tmp_path / "set.parquet")
    assert [samples.images.one(int(row)) for row in samples.rows] == images
    column[3]["path"] = "/etc/passwd"
    pq.write_table(pa.table({"image": pa.array(column, kind), "label": ["a", "b"] * 4}), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="row 4: path '/etc/passwd' is not inside"):
        read_samples(tmp_path / "bad.parquet")


def test_a_thumbnail_beside_a_path_is_not_the_image(images, tmp_path):
    table = pa.table({"path": [path for path, _ in rows()], "label": ODD_LABELS, "thumb": pa.array([b"x"] * 8)})
    pq.write_table(table, tmp_path / "set.parquet")
    assert read_samples(tmp_path / "set.parquet").paths.to_pylist() == [path for path, _ in rows()]


def test_rows_of_other_splits_may_be_incomplete(images, tmp_path):
    three = [
        (path, "ab"[number % 2] if number < 6 else "", "train" if number < 6 else "test")
        for number, (path, _) in enumerate(rows())
    ]
    samples = read_samples(write_csv(tmp_path / "list.csv", three, header=("path", "label", "split")))
    assert len(samples) == 6


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (pa.array([[1.0]] * 8), "column 'label' holds list"),
        (pa.array([5] * 8), "is not a readable parquet table"),
    ],
)
def test_labels_must_be_texts_or_known_classes(images, tmp_path, label, says):
    features = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}
    table = pa.table({"path": [path for path, _ in rows()], "label": label})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "set.parquet")
    with pytest.raises(DataError, match=says):
        read_samples(tmp_path / "set.parquet")


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (("Train", "Val", "Test"), 4),
        (("TRAIN", "VALID", "TEST"), 4),
        (("training", "validation", "testing"), 4),
        ((" train", " val", " test"), 4),
    ],
)
@pytest.mark.parametrize("column", ["split", "Split", "set"])
def test_split_words_count_in_any_case_and_with_blanks(images, tmp_path, words, read, column):
    lines = [(path, "ab"[number % 2], words[number // 4 * (1 + number % 2)]) for number, (path, _) in enumerate(rows())]
    file = write_csv(tmp_path / "list.csv", lines, header=("path", "label", column))
    samples = read_samples(file)
    assert len(samples) == read and f"reading '{words[0]}'" in samples.notes[0]
    assert len(read_samples(file, split="test", one_class=True)) == 2
    assert len(read_samples(file, split=words[1].upper(), one_class=True)) == 2


def test_two_ways_to_write_train_are_one_split(images, tmp_path):
    lines = [
        (path, "ab"[number % 2], ("train", "Train", "test")[number % 3]) for number, (path, _) in enumerate(rows())
    ]
    samples = read_samples(write_csv(tmp_path / "list.csv", lines, header=("path", "label", "split")))
    assert len(samples) == 6 and "reading 'train' and 'Train'" in samples.notes[0]


def test_split_words_that_nobody_knows_are_said(images, tmp_path):
    lines = [(path, "ab"[number % 2], "train" if number < 5 else "extra") for number, (path, _) in enumerate(rows())]
    samples = read_samples(write_csv(tmp_path / "list.csv", lines, header=("path", "label", "split")))
    assert len(samples) == 5 and "3 rows are of no split that is known (split: 'extra')" in samples.notes[1]
    lines = [(path, label, f"fold{len(path) % 2}") for path, label, _ in lines]
    samples = read_samples(write_csv(tmp_path / "list.csv", lines, header=("path", "label", "split")))
    assert len(samples) == 8 and "none of them a word for training; all rows are read" in samples.notes[0]


@pytest.mark.parametrize(
    ("columns", "read", "splits"),
    [
        ({"is_valid": "00010001"}, [0, 1, 2, 4, 5, 6], "train, val"),
        ({"Is_Valid": ["False", "True"] * 4}, [0, 2, 4, 6], "train, val"),
        ({"is_valid": "00010001", "is_test": "10000000"}, [1, 2, 4, 5, 6], "test, train, val"),
        ({"is_train": "01111110"}, [1, 2, 3, 4, 5, 6], "test, train"),
    ],
)
def test_columns_that_say_yes_or_no_are_splits(images, tmp_path, columns, read, splits):
    lines = [(path, "ab"[at // 2 % 2], *(said[at] for said in columns.values())) for at, (path, _) in enumerate(rows())]
    file = write_csv(tmp_path / "list.csv", lines, header=("path", "label", *columns))
    samples = read_samples(file)
    assert samples.paths.to_pylist() == [f"pics/{number}.png" for number in read]
    assert f"has the splits {splits} (column '{' and '.join(columns)}'); reading 'train'" in samples.notes[0]
    rest = [read_samples(file, split=name, one_class=True) for name in splits.split(", ") if name != "train"]
    assert sorted(path for part in rest for path in part.paths.to_pylist()) == [
        f"pics/{number}.png" for number in range(8) if number not in read
    ]


@pytest.mark.parametrize("said", ["11101111", "11111111"])
def test_what_is_valid_in_most_rows_is_no_validation_set(images, tmp_path, said):
    lines = [(path, label, yes) for (path, label), yes in zip(rows(), said, strict=True)]
    file = write_csv(tmp_path / "list.csv", lines, header=("path", "label", "is_valid"))
    samples = read_samples(file)
    assert len(samples) == 8
    count = said.count("1")
    assert f"the column 'is_valid' says yes in {count} of 8 rows, too many for a validation set" in samples.notes[0]
    assert len(read_samples(file, split="val")) == count


@pytest.mark.parametrize(
    "lines", ["pics/{0}.png {1}", "pics/{0}.png\ta {1}", "pics/{0}.png,{1}", "\ufeffpics/{0}.png {1}"]
)
def test_a_list_of_paths_and_labels_needs_no_header(images, tmp_path, lines):
    file = tmp_path / "train.txt"
    first, *others = (lines.format(number, number % 2) for number in range(8))
    file.write_text("\n".join([first, *(other.lstrip("\ufeff") for other in others)]), encoding="utf-8")
    samples = read_samples(file)
    assert [samples.images.one(int(row)) for row in samples.rows] == images
    assert samples.class_names in {("0", "1"), ("a 0", "a 1")}
    assert samples.notes == (f"{file} has no names of columns; each line is read as a path and a label",)


def test_a_list_of_paths_with_blanks_is_told_to_be_a_csv(tmp_path):
    (tmp_path / "train.txt").write_text("my pics/0.png 0\nmy pics/1.png 1\n")
    with pytest.raises(DataError, match="a path with blanks .* cannot be told from its label; write path,label as CSV"):
        read_samples(tmp_path / "train.txt")


def test_a_list_of_names_without_suffix_finds_its_files_and_a_column_its_name_with_blanks(images, tmp_path):
    lines = [(str(number), str(number % 2)) for number in range(9)]
    file = write_csv(tmp_path / "list.csv", lines, header=("id", " breed"))
    samples = read_samples(file, path_column="id", label_column="breed", root=tmp_path / "pics")
    assert samples.paths.to_pylist() == [f"{number}.png" for number in range(9)]
    assert samples.images.one(7) == images[7]
    with pytest.raises(DataError, match="none of its 9 images exists .such as .*/0.; say --root DIR"):
        read_samples(file, path_column="id", label_column="breed")


def test_boxes_in_a_table_are_not_read_and_that_is_said(images, tmp_path):
    lines = [(path, label, "1") for path, label in rows()]
    samples = read_samples(write_csv(tmp_path / "list.csv", lines, header=("path", "label", "xmin")))
    assert "the boxes in 'xmin' are not read, each image is judged whole" in samples.notes[0]


def test_a_column_that_says_more_than_yes_or_no_is_no_split(images, tmp_path):
    lines = [(path, "ab"[number % 2], number % 3) for number, (path, _) in enumerate(rows())]
    assert len(read_samples(write_csv(tmp_path / "list.csv", lines, header=("path", "label", "is_valid")))) == 8


@pytest.mark.parametrize("column", ["fold", "kfold"])
def test_folds_are_all_read_and_each_can_be_chosen(images, tmp_path, column):
    lines = [(path, "ab"[number % 2], number // 2 % 2) for number, (path, _) in enumerate(rows())]
    file = write_csv(tmp_path / "list.csv", lines, header=("path", "label", column))
    samples = read_samples(file)
    assert len(samples) == 8 and f"the column '{column}' has 0, 1, none of them" in samples.notes[0]
    assert read_samples(file, split="1").paths.to_pylist() == [f"pics/{number}.png" for number in (2, 3, 6, 7)]


@pytest.mark.parametrize("delimiter", [";", "|", "\t", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("sep", [True, False])
def test_tables_are_read_as_spreadsheets_write_them(images, tmp_path, delimiter, encoding, sep):
    lines = [f"sep={delimiter}"] * sep + [delimiter.join(("note", "Label", "path"))]
    lines += [
        delimiter.join(('"a, b; c"', "café" if number % 2 else "thé", path)) for number, (path, _) in enumerate(rows())
    ]
    (tmp_path / "list.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))
    samples = read_samples(tmp_path / "list.csv")
    assert (samples.class_names, len(samples)) == (("café", "thé"), 8)
    assert ["Windows-1252" in note for note in samples.notes] == [True] * (encoding == "cp1252")


@pytest.mark.parametrize("there", ["/home/me/data/", "C:\\Users\\me\\", "D:/"])
def test_absolute_paths_of_another_machine_are_found_below_the_root(images, tmp_path, there):
    written = [(there + (path.replace("/", "\\") if "\\" in there else path), label) for path, label in rows()]
    file = write_csv(tmp_path / "list.csv", written)
    samples = read_samples(file)
    assert samples.paths.to_pylist() == [path for path, _ in rows()]
    assert any("of another machine is taken for" in note for note in samples.notes)
    deeper = read_samples(file, root=tmp_path / "pics")
    assert deeper.paths.to_pylist() == [path.removeprefix("pics/") for path, _ in rows()]
    with pytest.raises(DataError, match="row 9: path .* is not inside"):
        read_samples(write_csv(tmp_path / "list.csv", [*written, ("/etc/passwd", "x")]))


def test_paths_of_windows_are_found(images, tmp_path):
    file = write_csv(tmp_path / "list.csv", [(path.replace("/", "\\"), label) for path, label in rows()])
    samples = read_samples(file)
    assert samples.paths.to_pylist() == [path for path, _ in rows()]
    with pytest.raises(DataError, match="row 9: path .* is not inside"):
        read_samples(write_csv(tmp_path / "list.csv", [*rows(), ("..\\..\\secret.png", "x")]))


@pytest.mark.parametrize(("listed", "stored"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_accents_of_one_character_or_two_are_the_same_file(tmp_path, save_image, listed, stored):
    names = [f"é{number}.png" for number in range(4)]
    for name in names:
        save_image(tmp_path / unicodedata.normalize(stored, name))
    pairs = [(unicodedata.normalize(listed, name), "ab"[number % 2]) for number, name in enumerate(names)]
    samples = read_samples(write_csv(tmp_path / "list.csv", pairs))
    assert all(samples.images.one(int(row)).is_file() for row in samples.rows)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_labels_that_are_no_number_are_counted(images, tmp_path, kind):
    labels = [1.0, 0.0, float("nan"), 1.0, 0.0, 1.0, float("nan"), 0.0]
    file = tmp_path / f"list.{kind}"
    if kind == "csv":
        write_csv(file, [(path, str(label)) for (path, _), label in zip(rows(), labels, strict=True)])
    elif kind == "jsonl":
        file.write_text(
            "".join(json.dumps({"path": p, "label": v}) + "\n" for (p, _), v in zip(rows(), labels, strict=True))
        )
    else:
        pq.write_table(pa.table({"path": [path for path, _ in rows()], "label": labels}), file)
    with pytest.raises(DataError, match="2 rows have no number in 'label'|row 3 has an empty 'label' .2 such rows"):
        read_samples(file)


def test_a_class_may_be_called_nan_beside_words(images, tmp_path):
    pairs = [(path, ("nan", "pita")[number % 2]) for number, (path, _) in enumerate(rows())]
    assert read_samples(write_csv(tmp_path / "list.csv", pairs)).class_names == ("nan", "pita")


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog", "cat|dog", "cat", "dog", "cat", "dog", "cat"],
        ["cat", "dog", "dog; cat", "cat", "dog", "cat", "dog", "cat"],
        ['["cat", "dog"]', '["cat"]'] * 4,
        ["['cat', 'dog']", "['dog']"] * 4,
        [["cat", "dog"], ["cat"]] * 4,
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_several_labels_per_image_are_refused_by_name_with_the_remedy(images, tmp_path, kind, labels):
    pairs = [(path, label) for (path, _), label in zip(rows(), labels, strict=True)]
    if kind == "csv":
        pairs = [(path, str(label).replace('"', '""')) for path, label in pairs]
    with pytest.raises(DataError, match="'label' h.*several labels per image.*one label per image is judged: keep one"):
        read_samples(write(kind, tmp_path, pairs))


def test_a_metadata_file_that_is_not_ours_does_not_hide_the_class_folders(folder):
    (folder / "metadata.csv").write_text("camera,exposure\nx,1\n")
    samples = read_samples(folder)
    assert len(samples) == 12 and "metadata.csv lacks a column" in samples.notes[0]
    with pytest.raises(DataError, match="has no label column"):
        read_samples(folder, source="manifest")
    lines = [f"{path},{'xy'[number % 2]}" for number, path in enumerate(samples.paths.to_pylist())]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    assert read_samples(folder).class_names == ("x", "y")
    assert "--source folder" in read_samples(folder).notes[0]
    assert read_samples(folder, source="folder").class_names == ("amber", "blue", "green")
