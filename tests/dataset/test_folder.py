import os
import re

import pytest

from aumclean.dataset.read import read_samples
from aumclean.errors import DataError


def test_classes_are_the_folders_in_plain_order(folder):
    samples = read_samples(folder)
    assert samples.class_names == ("amber", "blue", "green")
    assert samples.paths.to_pylist()[:2] == ["amber/000.png", "amber/001.png"]
    assert samples.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert samples.name == "photos"
    assert samples.notes == ()


def test_splits_are_not_classes_and_train_is_read_by_default(folder, tmp_path, save_image):
    for split in ("train", "val"):
        for name in ("a", "b"):
            save_image(tmp_path / "split" / split / name / f"{split}.png")
    samples = read_samples(tmp_path / "split")
    assert samples.paths.to_pylist() == ["train/a/train.png", "train/b/train.png"]
    assert "reading 'train'" in samples.notes[0]
    assert read_samples(tmp_path / "split", split="val").paths.to_pylist() == ["val/a/val.png", "val/b/val.png"]
    with pytest.raises(DataError, match="no split folder 'test'.*it has: train, val"):
        read_samples(tmp_path / "split", split="test")


def test_a_class_may_be_called_test_beside_other_classes_and_that_is_said(folder, save_image):
    save_image(folder / "test" / "x.png")
    samples = read_samples(folder)
    assert samples.class_names == ("amber", "blue", "green", "test")
    assert samples.notes == (f"{folder}: the folders test are read as classes, though they are called like splits",)


def test_splits_inside_class_folders_are_read_as_one_and_said(tmp_path, save_image):
    for path in ("cat/train/1.png", "cat/test/2.png", "dog/train/1.png"):
        save_image(tmp_path / path)
    samples = read_samples(tmp_path, class_folder="first")
    assert len(samples) == 3 and samples.notes == (f"{tmp_path}: the splits test, train are read as one",)


def test_folders_of_images_and_masks_are_no_classes_unless_the_user_says_so(tmp_path, save_image):
    for path in ("images/1.png", "masks/1.png"):
        save_image(tmp_path / path)
    with pytest.raises(DataError, match="images are in images and masks, hardly the names of classes; pass the file"):
        read_samples(tmp_path)
    assert read_samples(tmp_path, class_folder="first").class_names == ("images", "masks")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("photos.tar.gz", b"x", "can be read .*; unpack it"),
        ("list.xlsx", b"x", "can be read .*; save it as CSV or Parquet"),
        ("mnist.npz", b"x", r"can be read .*; pass arrays from Python: aumclean.scan\(\(images, labels\)\)"),
        (
            "labels.json",
            b'{"1.png": "cat"}',
            "neither COCO nor an export of Label Studio; write a list of labels as .jsonl",
        ),
        ("labels.json", b'[{"path": "1.png", "label": "cat"}]', "neither COCO nor an export of Label Studio"),
        (
            "1.xml",
            b"<annotation><object/></annotation>",
            "is no export of CVAT for images; of Pascal VOC pass the folder",
        ),
        ("classes.txt", b"cat\ndog\n", "its lines are not of a path and a label, nor does the first name columns"),
        ("list.csv", b"1.png,cat\n2.png,dog\n", r"its first line is a sample \(1.png, cat\); put the names of columns"),
        ("scans/1.dcm", b"x", r"holds no images.* 1 .dcm. Unpack or convert them, or pass arrays from Python"),
        ("flat/_classes.csv", b"filename, cat\n", r"images are directly in it; .* 1 .csv \(_classes.csv\)"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path, save_image, name, content, says):
    save_image(tmp_path / "flat" / "1.png")
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_samples(file if file.parent == tmp_path else file.parent)


def test_nested_classes_are_refused_until_the_user_says_which_folder_counts(tmp_path, save_image):
    for path in ("animals/cat/1.png", "animals/dog/1.png", "plants/fern/1.png"):
        save_image(tmp_path / path)
    with pytest.raises(DataError, match="nested folders.*'animals' or 'cat'.*--class-folder"):
        read_samples(tmp_path)
    assert read_samples(tmp_path, class_folder="first").class_names == ("animals", "plants")
    assert read_samples(tmp_path, class_folder="last").class_names == ("cat", "dog", "fern")


def test_numbered_folders_that_hold_the_same_folders_are_said_to_be_parts(tmp_path, save_image):
    for path in ("part_1/cat/1.png", "part_1/dog/1.png", "part_2/cat/2.png", "part_2/dog/2.png", "part_10/cat/1.png"):
        save_image(tmp_path / path)
    said = (
        f"{tmp_path}: part_1, part_10, part_2 differ by a number alone and hold the same folders, as parts of a set "
        "do; --class-folder last takes these for the classes"
    )
    with pytest.raises(DataError, match=rf"'part_1' or 'cat'; .*\. {re.escape(said)}$"):
        read_samples(tmp_path)
    assert read_samples(tmp_path, class_folder="first").notes == (said,)
    samples = read_samples(tmp_path, class_folder="last")
    assert (samples.class_names, len(samples), samples.notes) == (("cat", "dog"), 5, ())


@pytest.mark.parametrize(
    "paths",
    [
        ("id_1/train/1.png", "id_1/test/2.png", "id_2/train/1.png"),
        ("size_1/cat/1.png", "size_1/dog/1.png", "size_2/fern/1.png", "size_2/moss/1.png"),
        ("red/cat/1.png", "red/dog/1.png", "blue/cat/1.png", "blue/dog/1.png"),
        ("id_1/photos/1.png", "id_2/photos/1.png"),
    ],
)
def test_other_folders_are_not_said_to_be_parts(tmp_path, save_image, paths):
    for path in paths:
        save_image(tmp_path / path)
    assert not any("parts of a set" in note for note in read_samples(tmp_path, class_folder="first").notes)


def test_several_folders_of_one_split_are_read_when_the_user_says_how(tmp_path, save_image):
    for path in ("train_1/cat/1.png", "train_1/dog/1.png", "train_2/cat/2.png"):
        save_image(tmp_path / path)
    with pytest.raises(DataError, match="train_1, train_2 are one split; --class-folder last reads all, --split NAME"):
        read_samples(tmp_path)
    assert len(read_samples(tmp_path, split="train_1")) == 2
    samples = read_samples(tmp_path, class_folder="last")
    assert (samples.class_names, len(samples)) == (("cat", "dog"), 3)
    assert samples.notes == (f"{tmp_path}: the splits train_1, train_2 are read as one",)
    save_image(tmp_path / "test" / "cat" / "1.png")
    for split in (None, "training"):
        with pytest.raises(DataError, match="train_1, train_2 are one split; name one of them with --split"):
            read_samples(tmp_path, split=split)
    assert len(read_samples(tmp_path, split="test", one_class=True)) == 1


def test_hidden_files_and_other_files_are_no_images(folder, save_image):
    (folder / "amber" / "notes.txt").write_text("x")
    save_image(folder / "amber" / ".hidden.png")
    save_image(folder / ".thumbnails" / "x.png")
    assert len(read_samples(folder)) == 12


def test_suffixes_count_in_any_case(folder):
    (folder / "amber" / "000.png").rename(folder / "amber" / "000.PNG")
    assert len(read_samples(folder)) == 12


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: None, "no such file or folder"),
        (lambda root: root.mkdir(), "holds no images"),
        (lambda root: (root / "only").mkdir(parents=True), "holds no images"),
    ],
)
def test_nothing_to_read_is_said(tmp_path, make, says):
    make(tmp_path / "photos")
    with pytest.raises(DataError, match=says):
        read_samples(tmp_path / "photos")


def test_loose_images_and_a_single_class_are_refused(tmp_path, save_image):
    save_image(tmp_path / "x.png")
    with pytest.raises(DataError, match="are directly in it"):
        read_samples(tmp_path)
    save_image(tmp_path / "a" / "1.png")
    with pytest.raises(DataError, match="is in no class folder"):
        read_samples(tmp_path)
    (tmp_path / "x.png").unlink()
    with pytest.raises(DataError, match="all 1 images have the label 'a'"):
        read_samples(tmp_path)


def test_limit_is_spread_over_the_classes(folder):
    samples = read_samples(folder, limit=6)
    assert samples.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(read_samples(folder, limit=99)) == 12


def test_links_in_a_circle_end(folder):
    for name in ("amber", "blue"):
        (folder / name / "back").symlink_to(folder)
    assert len(read_samples(folder, class_folder="first")) == 12


def test_a_class_that_cannot_be_looked_into_is_no_class_that_is_not_there(folder, monkeypatch):
    real = os.scandir

    def closed(path):
        if os.fspath(path).endswith("blue"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DataError, match="blue: cannot be read .permission denied."):
        read_samples(folder)


@pytest.mark.parametrize("split", ["../photos", "sub/train", ".."])
def test_a_split_is_a_name_not_a_path(folder, split):
    with pytest.raises(DataError, match="has no split folder"):
        read_samples(folder, split=split)


def test_splits_beside_other_folders_must_be_chosen(tmp_path, save_image):
    for path in ("train/a/1.png", "train/b/1.png", "docs/a/1.png"):
        save_image(tmp_path / path)
    with pytest.raises(DataError, match="has train beside other folders; say --split train"):
        read_samples(tmp_path)
    assert len(read_samples(tmp_path, split="train")) == 2


def test_names_that_are_not_utf8_are_said(folder):
    try:
        (folder / "amber" / "000.png").rename(folder / "amber" / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match="is not UTF-8; rename it"):
        read_samples(folder)


def test_every_kind_of_image_that_pillow_reads_is_listed(tmp_path):
    suffixes = [".jfif", ".jpe", ".jp2", ".apng", ".avif", ".tga", ".qoi", ".PBM", ".ico", ".psd"]
    for number, suffix in enumerate(suffixes):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[number % 2] / f"{number}{suffix}").write_bytes(b"x")
    samples = read_samples(tmp_path)
    assert (len(samples), samples.notes) == (len(suffixes), ())


def test_what_is_passed_over_is_counted_by_kind_and_folders_are_named(folder, save_image):
    for name in ("a.heic", "b.heic", "notes.txt", "README", "Thumbs.db", ".DS_Store", ".hidden.png"):
        (folder / "amber" / name).write_bytes(b"x")
    save_image(folder / "amber" / "@eaDir" / "x.png")
    save_image(folder / "__MACOSX" / "amber" / "x.png")
    (folder / "fox").mkdir()
    (folder / "wolf").symlink_to(folder / "blue")
    samples = read_samples(folder)
    assert len(samples) == 12
    said = " / ".join(note.removeprefix(f"{folder}: ") for note in samples.notes)
    assert "images that cannot be decoded: 2 .heic; convert them to JPEG or PNG" in said
    assert "no images: 1 .txt (notes.txt), 1 hidden, 1 without a suffix" in said
    assert "hidden and system folders: @eaDir (1), __MACOSX (1)" in said
    assert "links to folders that are read already: wolf" in said
    assert "class folders without an image: fox, wolf" in said


def test_what_lies_beside_split_folders_is_counted(tmp_path, save_image):
    for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "loose.png"):
        save_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    samples = read_samples(tmp_path)
    assert len(samples) == 2 and samples.notes[1:] == (
        f"{tmp_path}: 1 images are in none of its split folders; they are not read",
        f"{tmp_path}: passed over files that are no images: 1 .txt (notes.txt)",
    )


def test_images_that_a_metadata_file_does_not_list_are_counted_and_its_splits_said(tmp_path, save_image):
    for split in ("train", "test"):
        lines = ["file_name,label"]
        for number in range(5):
            save_image(tmp_path / split / f"{number}.png", seed=number)
            lines.append(f"{number}.png,{'ab'[number % 2]}")
        (tmp_path / split / "metadata.csv").write_text("\n".join(lines[:-1]))
    samples = read_samples(tmp_path)
    assert len(samples) == 4 and samples.notes == (
        f"{tmp_path} has the splits test, train; reading 'train' (--split chooses)",
        f"{tmp_path}/train: 1 images are not listed in metadata.csv, such as 4.png",
    )


@pytest.mark.parametrize("splits", [("Train", "VALIDATION"), ("training_set", "val_set"), ("train1", "val2017")])
def test_split_folders_count_in_any_case(tmp_path, save_image, splits):
    train, _ = splits
    for split in splits:
        for name in ("a", "b"):
            save_image(tmp_path / split / name / f"{split}.png")
    assert read_samples(tmp_path).paths.to_pylist() == [f"{train}/a/{train}.png", f"{train}/b/{train}.png"]
    assert len(read_samples(tmp_path, split="val")) == 2
