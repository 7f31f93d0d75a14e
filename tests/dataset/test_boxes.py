import json
import os
import re
import shutil
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from aumclean.config.reading import load
from aumclean.dataset.open import open_samples
from aumclean.dataset.pictures import pictures_of
from aumclean.dataset.read import read_samples
from aumclean.dataset.voc import voc_of
from aumclean.decisions.boxes import coco_text, voc_content
from aumclean.errors import DataError
from aumclean.scanning.scan import scan
from tests.conftest import PLANTED_SCAN, write_image

NAMES = ["disc", "square", "bar"]


def scene(rng, size=96):
    """A picture with four shapes on a noisy ground, and (class, left, top, width, height) of each."""
    picture = Image.fromarray(rng.integers(60, 110, (size, size, 3), dtype=np.uint8))
    draw, shapes = ImageDraw.Draw(picture), []
    for corner in range(4):
        kind = int(rng.integers(3))
        left, top = (corner % 2) * 48 + int(rng.integers(4, 16)), (corner // 2) * 48 + int(rng.integers(4, 16))
        width, height = (28, 10) if kind == 2 else (24, 24)
        (draw.ellipse if kind == 0 else draw.rectangle)(
            (left, top, left + width, top + height), fill=[(220, 60, 60), (60, 200, 80), (70, 90, 230)][kind]
        )
        shapes.append((kind, left, top, width, height))
    return picture, shapes


def scenes(folder, count, swapped=()):
    """Pictures below `images`, and what is in each; of the boxes numbered in `swapped` the class is another."""
    rng, found = np.random.default_rng(0), []
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        picture, shapes = scene(rng)
        picture.save(folder / "images" / f"{number:03d}.png")
        found.append([((kind + (4 * number + at in swapped)) % 3, *box) for at, (kind, *box) in enumerate(shapes)])
    return found


def as_coco(folder, found):
    boxes = [(number, box) for number, shapes in enumerate(found) for box in shapes]
    document = {
        "info": {"note": "kept as it is: \u00e9"},
        "images": [{"id": number + 7, "file_name": f"{number:03d}.png"} for number in range(len(found))],
        "annotations": [
            {"id": 100 + at, "image_id": number + 7, "bbox": [float(side) for side in box], "category_id": kind * 10}
            for at, (number, (kind, *box)) in enumerate(boxes)
        ],
        "categories": [{"name": name, "id": kind * 10} for kind, name in enumerate(NAMES)],
    }
    file = folder / "instances_train.json"
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    return file


def as_yolo(folder, found):
    (folder / "labels").mkdir()
    for number, shapes in enumerate(found):
        shares = np.array(
            [[left + width / 2, top + height / 2, width, height] for _, left, top, width, height in shapes]
        )
        rows = zip(shapes, (shares / 96).tolist(), strict=True)
        lines = [f"{shape[0]} {x:.6f} {y:.6f} {width:.6f}  {height:.6f}\r\n" for shape, (x, y, width, height) in rows]
        (folder / "labels" / f"{number:03d}.txt").write_bytes("".join(lines).encode())
    (folder / "data.yaml").write_text(yaml.safe_dump({"path": ".", "train": "images", "names": NAMES}))
    return folder / "data.yaml"


def as_voc(folder, found):
    (folder / "annotations").mkdir()
    for number, shapes in enumerate(found):
        objects = "".join(
            f"\t<object>\r\n\t\t<part><name>head</name></part><name> {NAMES[kind]}</name><!-- <name>none</name> -->\r\n"
            f"\t\t<difficult>{int(kind == 2)}</difficult><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}.0</ymin>"
            f"<xmax>{left + width}</xmax><ymax>{top + height}</ymax></bndbox>\r\n\t</object>\r\n"
            for kind, left, top, width, height in shapes
        )
        text = f"<annotation>\r\n\t<filename>\u00e9</filename>\r\n{objects}\t<name>x</name></annotation>"
        (folder / "annotations" / f"{number:03d}.xml").write_bytes(text.encode())
    return folder


def cut_by_hand(folder, image, box):
    left, top, width, height = box
    margin = 0.1 * max(width, height)
    whole = Image.open(folder / "images" / image)
    bounds = (left - margin, top - margin, left + width + margin, top + height + margin)
    return whole.crop((*np.floor(bounds[:2]).astype(int).tolist(), *np.ceil(bounds[2:]).astype(int).tolist()))


@pytest.mark.parametrize("write", [as_coco, as_yolo, as_voc])
def test_every_box_is_a_sample_cut_out_with_some_context(tmp_path, write):
    found = scenes(tmp_path, 5)
    samples = read_samples(write(tmp_path, found))
    assert len(samples) == 20
    assert samples.paths[0].as_py().endswith("000.png#100" if write is as_coco else "images/000.png#1")
    assert samples.label_names().to_pylist() == [NAMES[box[0]] for shapes in found for box in shapes]
    opened = open_samples(samples, 16, cached=False, workers=1)
    for sample in (0, 7, 19):
        by_hand = cut_by_hand(tmp_path, f"{sample // 4:03d}.png", found[sample // 4][sample % 4][1:])
        small = by_hand.resize((16, 16), Image.Resampling.BILINEAR, reducing_gap=3.0)
        assert (opened.files["width"][sample].as_py(), opened.files["height"][sample].as_py()) == by_hand.size
        np.testing.assert_array_equal(opened.images[sample], np.asarray(small))


def test_what_coco_lists_is_what_its_own_library_reads(tmp_path):
    file = as_coco(tmp_path, scenes(tmp_path, 5))
    samples, theirs = read_samples(file), COCO(str(file))
    for path, label in zip(samples.paths.to_pylist(), samples.label_names().to_pylist(), strict=True):
        one = theirs.loadAnns(int(path.partition("#")[2]))[0]
        assert theirs.loadCats(one["category_id"])[0]["name"] == label
        assert path.startswith(theirs.loadImgs(one["image_id"])[0]["file_name"])


def test_a_picture_that_was_overwritten_is_read_anew_and_what_is_no_file_never(tmp_path):
    box = read_samples(as_coco(tmp_path, scenes(tmp_path, 2))).images.one(0)
    before = box.read_bytes()
    Image.new("RGB", (96, 96)).save(box.picture)
    assert box.read_bytes() != before
    box.picture.unlink()
    os.mkfifo(box.picture)
    with pytest.raises(IsADirectoryError, match="not a regular file"):
        box.read_bytes()


def test_boxes_are_cut_out_before_they_are_corrupted(tmp_path, aumclean):
    file = as_coco(tmp_path, scenes(tmp_path, 3))
    refused = aumclean("corrupt", file, "--rate", "0.1", "--out", tmp_path / "noisy.csv")
    assert refused.code == 2 and "its samples are boxes; cut them out with aumclean clean" in refused.err


def test_crowds_and_boxes_outside_are_said(tmp_path):
    file = as_coco(tmp_path, scenes(tmp_path, 3))
    document = json.loads(file.read_text())
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"][1]["bbox"] = [500, 500, 5, 5]
    document["annotations"][2]["bbox"] = []
    document["images"].append({"id": 99, "file_name": "none.png"})
    file.write_text(json.dumps(document))
    samples = read_samples(file)
    assert [note.partition(": ")[2] for note in samples.notes] == [
        "1 annotations mark crowds; they are left out",
        "1 annotations have no box; they are left out",
        "1 images have no box, so nothing of them is judged",
    ]
    opened = open_samples(samples, 16, cached=False, workers=1)
    assert opened.unreadable["reason"].to_pylist() == ["broken (a box without a pixel in its picture)"]
    document["annotations"][3]["category_id"] = 5
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match="an annotation or what it refers to is missing"):
        read_samples(file)


def test_outlines_and_splits_of_yolo_are_read_and_wrong_lines_named(tmp_path):
    found = scenes(tmp_path, 3)
    file = as_yolo(tmp_path, found)
    (tmp_path / "labels" / "001.txt").write_text("2 .1 .1 .5 .1 .5 .3\n\n0 .5 .5 .2 .2 .99\n")
    (tmp_path / "labels" / "002.txt").unlink()
    file.write_text(yaml.safe_dump({"train": "images", "val": "images", "names": dict(enumerate(NAMES))}))
    samples = read_samples(file)
    assert samples.paths.to_pylist()[4:] == ["images/001.png#1", "images/001.png#3"]
    np.testing.assert_allclose(samples.images.boxes[4:], [[0.1, 0.1, 0.4, 0.2], [0.4, 0.4, 0.2, 0.2]])
    assert "1 images have no box" in samples.notes[0] and "reading 'train'" in samples.notes[1]
    assert len(read_samples(file, split="VAL")) == 6
    (tmp_path / "labels" / "001.txt").write_text("7 .5 .5 .2 .2\n")
    with pytest.raises(DataError, match="001.txt: line 1 is no box of a class that is named"):
        read_samples(file)


def test_yolo_folders_are_found_as_roboflow_and_moved_files_name_them(tmp_path):
    file = as_yolo(tmp_path / "train", scenes(tmp_path / "train", 2))
    expected = read_samples(file).label_names()
    for number, about in enumerate(({"train": "../train/images"}, {"path": "elsewhere", "train": "train/images"})):
        moved = tmp_path / f"{number}.yaml"
        moved.write_text(yaml.safe_dump({**about, "names": NAMES}))
        samples = read_samples(moved)
        assert samples.label_names() == expected and samples.paths[0].as_py() == "train/images/000.png#1"
        assert not len(open_samples(samples, 8, cached=False, workers=1).unreadable)
    assert read_samples(tmp_path / "train").label_names() == expected  # the folder stands for its data.yaml
    moved.write_text(yaml.safe_dump({"train": "gone/images", "names": NAMES}))
    with pytest.raises(DataError, match=r"1.yaml: its 'train' is gone/images, and there is no such folder"):
        read_samples(moved)


def test_what_lies_in_yolo_folders_and_is_not_read_is_counted(tmp_path):
    file = as_yolo(tmp_path, scenes(tmp_path, 2))
    for name in ("images/a.heic", "images/notes.md", "images/._000.png", "labels/a.txt", "labels/classes.txt"):
        (tmp_path / name).write_text("0 .5 .5 .2 .2\n")
    samples = read_samples(file)
    assert len(samples) == 8 and samples.notes == (
        f"{tmp_path}/labels: 1 files of boxes are of no image that can be read, such as a.txt",
        f"{tmp_path}/images: passed over files that are no images: 1 .md, 1 hidden",
        f"{tmp_path}/images: passed over images that cannot be decoded: 1 .heic; convert them to JPEG or PNG",
    )
    (tmp_path / "labels" / "001.txt").write_bytes(b"\xff0 .5")
    with pytest.raises(DataError, match=r"001.txt: cannot be read \('utf-8' codec"):
        read_samples(file)


def test_a_corrected_coco_file_differs_in_the_corrected_fields_only():
    text = """{ "categories":[{"id": 3, "name":"a"},{"id":5,"name":"b"}],
  "annotations" : [ {"id":1, "category_id":3,"x":{"category_id": 3}},
    {"id":2,"category_id" : 3 , "bbox":[1.50,2,3,4]} ,
    {"category_id":5,"id":3}
  ], "info": {"annotations": []}}"""
    assert coco_text(text, {}, set()) == text
    assert coco_text(text, {"2": "b"}, set()) == text.replace('"category_id" : 3 ', '"category_id" : 5 ')
    assert coco_text(text, {}, {"3"}) == text.replace(
        """ ,
    {"category_id":5,"id":3}""",
        "",
    )
    assert coco_text(text, {}, {"1"}) == text.replace(
        """{"id":1, "category_id":3,"x":{"category_id": 3}},
    """,
        "",
    )
    assert json.loads(coco_text(text, {}, {"1", "2", "3"}))["annotations"] == []
    for other in (text, '{"categories": [{"name": "a", "id": 1}], "annotations": [ ]}'):
        with pytest.raises(KeyError, match="annotation 9"):
            coco_text(other, {"9": "a"}, set())


@pytest.mark.parametrize("write", [as_coco, as_yolo, as_voc])
def test_planted_swaps_of_boxes_are_found_and_written_back(tmp_path, aumclean, write):
    swapped = set(np.random.default_rng(1).choice(480, 40, replace=False).tolist())
    file = write(tmp_path, scenes(tmp_path, 120, swapped))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    found = scan(
        read_samples(tmp_path if write is as_yolo else file),  # a folder stands for its data.yaml
        load({"out": tmp_path / "run", "image_size": 12, "features": "none", **PLANTED_SCAN}, environment={}),
    )
    report = found.verdict.report
    flagged = {row["sample_id"] for row in report.to_pylist() if row["flagged"]}
    assert len(flagged & swapped) >= 0.9 * len(flagged) and len(flagged & swapped) >= 0.9 * len(swapped)
    assert pictures_of(found.run).in_context(0, 200).startswith(b"\xff\xd8")
    assert {path: path.read_bytes() for path in before} == before
    done = aumclean("clean", found.run.path, "--policy", "relabel")
    assert done.code == 0, done.err
    with pytest.raises(
        DataError, match="cleaned.csv: lists boxes, such as .*#.*; scan the annotations, which aumclean"
    ):
        read_samples(found.run.path / "cleaned.csv")
    assert "images/000.png:1:" not in aumclean("gate", found.run.path, "--max-flagged", "0").out
    if write is as_coco:
        old, new = (path.read_text("utf-8").splitlines() for path in (file, found.run.path / "cleaned.json"))
        changed = [number for number, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]]
        assert len(changed) == len(flagged) and all('"category_id"' in new[number] for number in changed)
        COCO(str(found.run.path / "cleaned.json"))
    else:
        with zipfile.ZipFile(found.run.path / "cleaned-labels.zip") as archive:
            names = archive.namelist()
            differing = 0
            for name in names:
                old, new = before[tmp_path / name].split(b"\r\n"), archive.read(name).split(b"\r\n")
                pairs = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
                assert all(without_label(one) == without_label(other) for one, other in pairs)
                differing += len(pairs)
            assert differing == len(flagged)


@pytest.mark.parametrize("write", [as_coco, as_yolo, as_voc])
def test_boxes_that_have_changed_since_are_not_cleaned_by_half(tmp_path, aumclean, write):
    file = write(tmp_path, scenes(tmp_path, 5))
    probs = np.full((20, 3), 0.05)
    probs[:, 0] = 0.9
    np.save(tmp_path / "probs.npy", probs)
    given = ["--pred-probs", tmp_path / "probs.npy", "--classes", "disc,square,bar", "-o", tmp_path / "run"]
    assert aumclean("judge", file, *given).code == 0
    report = pq.read_table(tmp_path / "run" / "report.parquet").to_pylist()
    one = next(row for row in report if row["label"] == "square")
    words = f"{one['sample_id']},{one['content_hash']},relabel,bar\n"
    (tmp_path / "said.csv").write_text(f"sample_id,content_hash,decision,new_label\n{words}")
    if write is as_coco:
        file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    elif write is as_yolo:
        file.write_text(file.read_text().replace("bar", "beam"))
    else:
        shutil.rmtree(tmp_path / "annotations")
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("c*") if path.is_file()}
    said = aumclean("clean", tmp_path / "run", "--decisions", tmp_path / "said.csv", "--policy", "weight")
    assert (said.code, said.err.count("\n")) == (2, 1) and "changed since the scan" in said.err, said.err
    assert {path: path.read_bytes() for path in before} == before


def without_label(line):
    """A line of YOLO or of `as_voc`."""
    return re.sub(rb"^\d|(?<=</part><name> )\w+", b"", line)


def voc(folder, names, lists=()):
    for name in names:
        box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        found = f"<object><name>{name}</name>{box}</object><object><name>{name}</name></object>"
        (folder / "Annotations").mkdir(parents=True, exist_ok=True)
        (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{found}</annotation>")
        write_image(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for name, listed in dict(lists).items():
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{one}\n" for one in listed))
    return folder


def test_the_lists_of_a_voc_data_set_are_its_splits(tmp_path):
    lists = {"trainval": ["a", "b", "c"], "train": ["a", "b"], "val": ["c"], "a_train": ["a  1", "b -1"]}
    data = voc(tmp_path, ["a", "b", "c", "d"], lists)
    for split, expected in ((None, "ab"), ("train", "ab"), ("trainval", "abc")):
        found = read_samples(data, split=split)
        assert found.paths.to_pylist() == [f"JPEGImages/{name}.jpg#1" for name in expected]
    assert read_samples(data, split="validation", one_class=True).label_names().to_pylist() == ["c"]
    assert read_samples(data).notes == (
        f"{data} has the splits train, trainval, val; reading 'train' (--split chooses)",
        f"{data}: 1 images are in none of its splits; they are not read",
        f"{data}: 2 objects have no box; they are left out",
    )
    with pytest.raises(DataError, match=r"has no split 'test' \(--split\); it has: train, trainval, val$"):
        read_samples(data, split="test")


def test_xml_files_beside_their_pictures_are_pascal_voc_too(tmp_path):
    """As LabelImg writes them, and Roboflow with a folder for each split."""
    for split in ("train", "valid"):
        voc(tmp_path / split, ["a", "b"])
        for file in [*tmp_path.glob(f"{split}/*/*.*")]:
            file.rename(tmp_path / split / file.name)
        for name in ("JPEGImages", "Annotations", "ImageSets/Main", "ImageSets"):
            (tmp_path / split / name).rmdir()
    (tmp_path / "train" / "notes.md").touch()
    write_image(tmp_path / "train" / "c.jpg")
    samples = read_samples(tmp_path)
    assert samples.paths.to_pylist() == ["train/a.jpg#1", "train/b.jpg#1"]
    assert samples.label_names().to_pylist() == ["a", "b"]
    assert samples.notes == (
        f"{tmp_path} has the splits train, valid; reading 'train' (--split chooses)",
        f"{tmp_path}/train: passed over files that are no images: 1 .md",
        f"{tmp_path}: 1 images have no box, so nothing of them is judged",
        f"{tmp_path}: 2 objects have no box; they are left out",
    )
    opened = open_samples(samples, 8, cached=False, workers=1)
    assert len(opened.samples) == 2
    assert read_samples(tmp_path, split="val").paths.to_pylist() == ["valid/a.jpg#1", "valid/b.jpg#1"]
    assert voc_of(tmp_path).file_of("valid/a.jpg") == tmp_path / "valid" / "a.xml"

    inside = read_samples(tmp_path / "valid")
    assert inside.paths.to_pylist() == ["a.jpg#1", "b.jpg#1"]
    assert voc_of(tmp_path / "valid").file_of("a.jpg") == tmp_path / "valid" / "a.xml"


def test_a_folder_with_other_xml_files_is_no_pascal_voc(tmp_path):
    for name in ("a/1.jpg", "b/1.jpg"):
        write_image(tmp_path / name)
    (tmp_path / "annotations.xml").write_text("<annotations><image/></annotations>")
    assert voc_of(tmp_path) is None
    assert read_samples(tmp_path).label_names().to_pylist() == ["a", "b"]


def test_what_of_a_voc_data_set_cannot_be_read_is_counted_or_named(tmp_path):
    data = voc(tmp_path, ["a", "b", "c"])
    (data / "JPEGImages" / "a.jpg").unlink()
    (data / "Annotations" / "c.xml").unlink()
    (data / "Annotations" / "._b.xml").write_bytes(b"\0")
    (data / "JPEGImages" / "notes.md").touch()
    samples = read_samples(data)
    assert f"{data}: 1 images have no box, so nothing of them is judged" in samples.notes
    assert f"{data}/JPEGImages: passed over files that are no images: 1 .md" in samples.notes
    opened = open_samples(samples, 8, cached=False, workers=1, one_class=True)
    assert opened.unreadable.to_pylist() == [{"path": "JPEGImages/a.jpg#1", "reason": "missing"}]
    for text, said in (
        ("<annotation>", "is not readable XML"),
        ("<annotation><object/></annotation>", "object 1 has no name"),
        ("<a><object><name>x</name><bndbox/></object></a>", "the box of object 1 has sides that are no numbers"),
    ):
        (data / "Annotations" / "b.xml").write_text(text)
        with pytest.raises(DataError, match=f"b.xml: {said}"):
            read_samples(data)
    with pytest.raises(DataError, match=r"b.xml: .* of Pascal VOC pass the folder of Annotations"):
        read_samples(data / "Annotations" / "b.xml")


def test_a_corrected_voc_file_differs_in_the_corrected_names_only():
    content = (
        '<?xml version="1.0"?>\n<annotation><folder>\u00fc</folder>\n'
        "  <object><part><name>a</name></part>\n<name >\n a </name></object>\n"
        "  <object><name><![CDATA[a]]></name></object><object><name>a</name></object></annotation>\n"
    ).encode()
    assert voc_content(content, {}) == content
    assert voc_content(content, {1: "b<\u00e9"}) == content.replace(b"<name >\n a ", b"<name >\n b&lt;&#233; ")
    changed = voc_content(content, {2: "b", 3: None})
    assert changed == content.replace(b"<![CDATA[a]]>", b"b").replace(b"<object><name>a</name></object></ann", b"</ann")
    removed = voc_content(content, {1: None, 2: None, 3: None})
    assert removed == b'<?xml version="1.0"?>\n<annotation><folder>\xc3\xbc</folder></annotation>\n'
    with pytest.raises(LookupError):
        voc_content(content, {4: "b"})


def label_studio(folder, tasks):
    file = folder / "export.json"
    listed = [{"data": {"image": url}, "annotations": [{"result": found}] if found else []} for url, found in tasks]
    file.write_text(json.dumps(listed))
    return file


def choices(*names):
    return [{"type": "choices", "value": {"choices": list(names)}}]


def test_exports_of_label_studio_are_data(tmp_path, save_image):
    for name in ("cat/1.png", "cat/2.png", "up load.png"):
        save_image(tmp_path / name)
    tasks = [
        ("/data/local-files/?d=pets/cat/1.png", choices("cat")),
        ("https://host/pets/cat/2.png?x=1", choices("dog")),
        ("/data/upload/3/1a2b3c4d-up%20load.png", choices("cat")),
        ("/data/local-files/?d=cat/none.png", []),
    ]
    samples = read_samples(label_studio(tmp_path, tasks))
    labels = dict(zip(samples.paths.to_pylist(), samples.label_names().to_pylist(), strict=True))
    assert labels == {"cat/1.png": "cat", "cat/2.png": "dog", "up load.png": "cat"}
    assert "1 images have no label yet" in samples.notes[0]
    box = {"x": 25, "y": 50, "width": 50, "height": 25}
    rectangles = [{"type": "rectanglelabels", "value": {**box, "rectanglelabels": [name]}} for name in ("cat", "dog")]
    samples = read_samples(label_studio(tmp_path, [("cat/1.png", rectangles)]))
    assert samples.paths.to_pylist() == ["cat/1.png#1", "cat/1.png#2"]
    np.testing.assert_allclose(samples.images.boxes[0], [0.25, 0.5, 0.5, 0.25])
    with pytest.raises(DataError, match="'cat/1.png' has the labels 'cat' and 'dog'; one label per image is judged"):
        read_samples(label_studio(tmp_path, [("cat/1.png", choices("cat", "dog"))]))
    with pytest.raises(DataError, match="labels of whole images and of boxes"):
        read_samples(label_studio(tmp_path, [("cat/1.png", choices("cat")), ("cat/2.png", rectangles)]))


def test_what_most_annotators_say_counts_and_who_differs_is_named(tmp_path, save_image):
    tasks = []
    for number, answers in enumerate((["cat", "cat", "dog"], ["cat", "dog"], ["cat", "cat"])):
        save_image(tmp_path / f"{number}.png")
        annotations = [{"result": choices(name)} for name in answers]
        tasks.append({"data": {"image": f"/data/upload/{number}.png"}, "annotations": annotations})
    file = tmp_path / "export.json"
    file.write_text(json.dumps(tasks))
    samples = read_samples(file)
    assert samples.label_names().to_pylist() == ["cat", "dog", "cat"]
    assert samples.notes[0].startswith(f"{file}: 2 images have several annotations that differ (0.png, 1.png)")


def test_answers_of_other_kinds_and_tracks_are_counted_and_broken_boxes_named(tmp_path, save_image):
    save_image(tmp_path / "1.png")
    other = [{"type": "taxonomy", "value": {"taxonomy": [["a"]]}}, {"type": "choices"}]
    with pytest.raises(DataError, match="labels no image.* 1 labels are taxonomy; they are left out"):
        read_samples(label_studio(tmp_path, [("1.png", other)]))
    rectangle = [{"type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["cat"]}}]
    with pytest.raises(DataError, match="a box of '1.png' has .* not all numbers"):
        read_samples(label_studio(tmp_path, [("1.png", rectangle)]))
    file = tmp_path / "video.xml"
    file.write_text("<annotations><track label='cat'><box frame='0'/></track></annotations>")
    with pytest.raises(DataError, match="labels no image.* 1 labels are tracks of a video"):
        read_samples(file)
    file.write_text("<annotations><image name='1.png'><box label='cat' xtl='a'/></image></annotations>")
    with pytest.raises(DataError, match="a box of '1.png' has .* not all numbers"):
        read_samples(file)


def test_exports_of_cvat_are_data(tmp_path, save_image):
    for name in ("1.png", "2.png"):
        save_image(tmp_path / "images" / name)
    file = tmp_path / "annotations.xml"
    file.write_text(
        "<annotations><image name='1.png'><tag label='cat'/></image><image name='2.png'><tag label='dog'/></image>"
        "<image name='3.png'/></annotations>"
    )
    samples = read_samples(file)
    assert samples.label_names().to_pylist() == ["cat", "dog"]
    assert len(open_samples(samples, 8, cached=False, workers=1)) == 2
    box = "<box label='{}' xtl='1' ytl='2' xbr='5.5' ybr='9'/>"
    file.write_text(f"<annotations><image name='1.png'>{box.format('cat')}{box.format('dog')}</image></annotations>")
    np.testing.assert_allclose(read_samples(file).images.boxes[1], [1, 2, 4.5, 7])
    file.write_text("<annotations><image name='1.png'><tag label='cat'/><tag label='dog'/></image></annotations>")
    with pytest.raises(DataError, match="'1.png' has the labels 'cat' and 'dog'; one label per image is judged"):
        read_samples(file)


def test_what_exports_hold_beside_labels_of_one_kind_is_counted(tmp_path, save_image):
    tasks, lines = [], []
    for number in range(6):
        save_image(tmp_path / f"{number}.png")
        label, turn = ("cat", "dog")[number % 2], 45 * (number == 3)
        box = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": turn, "rectanglelabels": [label]}
        outline = {"type": "polygonlabels", "value": {"polygonlabels": [label], "points": [[1, 1], [9, 9], [1, 9]]}}
        results = [{"id": str(number), "type": "rectanglelabels", "value": box}] if number else []
        results += [outline] if number < 2 else []
        again = [{**one, "id": "other"} for one in results] if number != 4 else []
        tasks.append({"data": {"image": f"{number}.png"}, "annotations": [{"result": again}, {"result": results}]})
        boxes = f'<box label="{label}" xtl="0" ytl="0" xbr="5" ybr="5" rotation="{turn}"/>' * (number > 0)
        shapes = f'<polygon label="{label}" points="1,1;9,9;1,9"/>' * (number < 2)
        lines.append(f'<image name="{number}.png">{boxes}{shapes}</image>')
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    (tmp_path / "boxes.xml").write_text(f"<annotations>{''.join(lines)}</annotations>")
    turned = "1 boxes are turned; each is cut out as if it were not"
    said = {
        "tasks.json": [
            "2 labels are polygonlabels; they are left out",
            "1 images have several annotations that differ (4.png); the most frequent counts, of as many the last",
        ],
        "boxes.xml": ["2 labels are polygon; they are left out"],
    }
    for name, notes in said.items():
        samples = read_samples(tmp_path / name)
        assert len(samples) == 5
        assert sorted(samples.notes) == sorted(f"{tmp_path / name}: {note}" for note in [*notes, turned])
