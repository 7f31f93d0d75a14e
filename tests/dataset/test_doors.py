"""The same 180 images through every door: the same contents, labels, pixels and flags."""

import io
import math
import os
import shutil
import tarfile
import uuid
import zipfile
from collections.abc import Iterator

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from moto.server import ThreadedMotoServer

from aumclean.config.reading import load
from aumclean.dataset.corrupt import corrupt
from aumclean.dataset.open import open_samples
from aumclean.dataset.pictures import pictures_of
from aumclean.dataset.read import read_samples
from aumclean.door.data import samples_of
from aumclean.errors import DataError
from aumclean.progress import untracked
from aumclean.scanning.scan import scan
from tests.conftest import PLANTED_SCAN, write_folder

PER_CLASS = 60


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of three classes with 60 images each, and where other forms of it go."""
    root = tmp_path_factory.mktemp("doors")
    write_folder(root / "photos", PER_CLASS)
    return root


def listed(root):
    return [(path.relative_to(root / "photos").as_posix(), path) for path in sorted((root / "photos").rglob("*.png"))]


def as_folder(root):
    return root / "photos"


def as_csv(root):
    lines = ["path;label", *(f"photos\\{name};{name.split('/')[0]}".replace("/", "\\") for name, _ in listed(root))]
    (root / "list.csv").write_text("\r\n".join(lines), encoding="utf-16")
    return root / "list.csv"


def as_two_parquet_shards(root):
    names = ["amber", "blue", "green"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    (root / "hub" / "data").mkdir(parents=True)
    (root / "hub" / "README.md").write_text("# photos")
    for number, part in enumerate(np.array_split(np.arange(3 * PER_CLASS), 2)):
        rows = [listed(root)[row] for row in part]
        images = [{"bytes": path.read_bytes(), "path": name} for name, path in rows]
        labels = [names.index(name.split("/")[0]) for name, _ in rows]
        made = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
        made.to_parquet(root / "hub" / "data" / f"train-{number:05d}-of-00002.parquet", batch_size=77)
    shutil.copy(root / "hub/data/train-00001-of-00002.parquet", root / "hub/data/test-00000-of-00001.parquet")
    return root / "hub"


def as_hive_folders(root):
    rows = [{"image": {"bytes": path.read_bytes(), "path": name}, "label": name.split("/")[0], "split": "train"}
            for name, path in listed(root)]  # fmt: skip
    tests = [{**row, "split": "test"} for row in rows[::20]]
    pq.write_to_dataset(pa.Table.from_pylist([*rows, *tests]), root / "hive", partition_cols=["split", "label"])
    return root / "hive"


def as_saved_to_disk(root):
    names = ["amber", "blue", "green"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    columns = {
        "image": [str(path) for _, path in listed(root)],
        "label": [names.index(name.split("/")[0]) for name, _ in listed(root)],
    }
    made = datasets.Dataset.from_dict(columns, features=features)
    parts = datasets.DatasetDict({"train": made, "test": made.select(range(5))})
    parts.save_to_disk(root / "saved", num_shards={"train": 2, "test": 1})
    datasets.load_from_disk(root / "saved")["train"].filter(lambda row: row["label"] == 0)  # keeps its result there
    return root / "saved"


def as_list_without_header(root):
    lines = [f"photos/{name} {name.split('/')[0]}" for name, _ in listed(root)]
    (root / "train.txt").write_text("\n".join(lines))
    return root / "train.txt"


def as_list_without_suffixes(root):
    lines = ["id,label", *(f"{name.removesuffix('.png')},{name.split('/')[0]}" for name, _ in listed(root))]
    (root / "train.csv").write_text("\n".join(lines))
    return root / "train.csv"


def as_two_tars(root):
    (root / "tars").mkdir()
    with webdataset.ShardWriter(f"file:{root}/tars/train-%06d.tar", maxcount=90, verbose=0) as sink:
        for name, path in listed(root):
            key = name.removesuffix(".png")
            sink.write({"__key__": key, "png": path.read_bytes(), "json": {"label": name.split("/")[0], "id": 7}})
    return root / "tars" / "train-{000000..000001}.tar"


def as_zip(root):
    with zipfile.ZipFile(root / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in reversed(listed(root)):
            archive.write(path, f"photos/{name}")
        archive.writestr("__MACOSX/photos/amber/._000.png", b"x")
    return root / "photos.zip"


def as_objects_in_memory(root):
    store = fsspec.filesystem("memory")
    for name, path in listed(root):
        store.pipe(f"/photos/{name}", path.read_bytes())
    return "memory://photos"


def as_list_of_addresses(root):
    as_objects_in_memory(root)
    lines = ["path,label", *(f"memory://photos/{name},{name.split('/')[0]}" for name, _ in listed(root))]
    (root / "addresses.csv").write_text("\n".join(lines))
    return root / "addresses.csv"


def as_s3(root):
    store, bucket = fsspec.filesystem("s3"), f"photos-{uuid.uuid4()}"
    store.mkdir(bucket)
    store.pipe({f"{bucket}/set/{name}": path.read_bytes() for name, path in listed(root)})
    return f"s3://{bucket}/set"


def as_tars_in_s3(root):
    store = fsspec.filesystem("s3")
    store.mkdir("tars")
    with tarfile.open(root / "one.tar", "w") as archive:
        for name, path in listed(root):
            archive.add(path, name)
    store.put(str(root / "one.tar"), "tars/one.tar")
    return "s3://tars/one.tar"


def as_hugging_face(root):
    return datasets.load_dataset(
        "imagefolder", data_dir=str(root / "photos"), split="train", cache_dir=str(root / "hf")
    )


DOORS = [
    as_folder, as_csv, as_two_parquet_shards, as_hive_folders, as_saved_to_disk, as_list_without_header,
    as_list_without_suffixes, as_two_tars, as_zip, as_objects_in_memory, as_list_of_addresses, as_s3, as_tars_in_s3,
    as_hugging_face,
]  # fmt: skip


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    """An S3 server on loopback."""
    server = ThreadedMotoServer(port=0)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        yield
    server.stop()


@pytest.fixture(scope="module")
def plain(source):
    return open_samples(read_samples(source / "photos"), 12, cached=False, workers=1)


def read(door, root, **options):
    data = door(root)
    if door is as_list_of_addresses:
        options["root"] = "memory://photos"
    if door is as_list_without_suffixes:
        options |= {"root": root / "photos", "path_column": "id"}
    if isinstance(data, datasets.Dataset):
        return samples_of(data, options, root / "of-objects", False, untracked)
    return read_samples(data, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_the_same_images_through_every_door(door, source, plain, s3):
    samples = read(door, source)
    if door is as_hugging_face:
        with samples as (of_objects, _):
            found = open_samples(of_objects, 12, cached=False, workers=1)
    else:
        found = open_samples(samples, 12, cached=False, workers=1)
    assert len(found) == 3 * PER_CLASS
    assert found.content_hash().equals(plain.content_hash())
    assert found.samples.label_names().to_pylist() == plain.samples.label_names().to_pylist()
    assert found.digest() == plain.digest()
    np.testing.assert_array_equal(found.images, plain.images)
    assert len(set(found.samples.paths.to_pylist())) == 3 * PER_CLASS
    chosen = np.array([0, 5, 89, 90, 179])
    each = [item for chunk in found.samples.images.chunks(found.samples.rows[chosen], 2) for item in chunk]
    for row, item in zip(chosen.tolist(), each, strict=True):
        one = found.samples.images.one(int(found.samples.rows[row]))
        as_bytes = [part if isinstance(part, bytes) else part.read_bytes() for part in (item, one)]
        assert as_bytes == [listed(source)[row][1].read_bytes()] * 2


@pytest.fixture(scope="module")
def mixed_up(source, tmp_path_factory):
    """The same images with wrong labels: the folder that holds them as `photos`, and a scan of these."""
    root = tmp_path_factory.mktemp("mixed-up")
    shutil.copytree(source / "photos", root / "photos")
    for number in range(10):  # two wrong labels, the same in every form
        names = (root / "photos" / "amber" / f"{number:03d}.png", root / "photos" / "blue" / f"{number:03d}.png")
        contents = [name.read_bytes() for name in names]
        for name, content in zip(names, reversed(contents), strict=True):
            name.write_bytes(content)
    return root, scan(read_samples(root / "photos"), load({"out": root / "run", **PLANTED_SCAN}, environment={}))


def flagged_of(found):
    report = found.verdict.report.sort_by("sample_id")
    return report.filter(report["flagged"])["sample_id"].to_pylist()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    "door",
    [as_two_parquet_shards, as_hive_folders, as_saved_to_disk, as_two_tars, as_zip, as_s3],
    ids=lambda door: door.__name__,
)
def test_the_same_images_are_flagged_and_shown_through_every_door(door, mixed_up, tmp_path, s3, monkeypatch):
    monkeypatch.setattr("aumclean.dataset.parallel.STARTING", -math.inf)  # so that processes decode
    root, expected = mixed_up
    found = scan(read(door, root), load({"out": tmp_path / "run", "workers": 2, **PLANTED_SCAN}, environment={}))
    assert flagged_of(found) == flagged_of(expected) != []
    if door is not as_saved_to_disk:  # which keeps no folders in the names of images
        assert found.verdict.summary.flagged_digest == expected.verdict.summary.flagged_digest
    shown = pictures_of(found.run)
    assert [shown.encoded(row) for row in (0, 75, 179)] == [
        pictures_of(expected.run).encoded(row) for row in (0, 75, 179)
    ]
    assert b"data:image/jpeg" in found.run.html.read_bytes()
    if door in {as_two_parquet_shards, as_hive_folders, as_saved_to_disk}:  # images of others are not in the manifest
        again = read_samples(found.run.cleaned("parquet"))
        assert len(again) == found.verdict.summary.samples - found.verdict.summary.flagged
        assert again.class_names == ("amber", "blue", "green")


def tar_of(file, members):
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return file


def test_webdataset_labels_are_cls_before_json_before_txt(tmp_path):
    members = {
        "a/0.jpg": b"x",
        "a/0.cls": b"3\n",
        "a/0.json": b"{}",
        "1.webp": b"x",
        "1.json": b'"dog"',
        "1.txt": b"no",
    }
    samples = read_samples(tar_of(tmp_path / "set.tar", members))
    assert samples.paths.to_pylist() == ["1.webp", "a/0.jpg"]
    assert samples.label_names().to_pylist() == ["dog", "3"]
    assert samples.name == "set"


def test_what_a_webdataset_tar_holds_beside_samples_is_counted(tmp_path):
    members = {
        "0.jpg": b"x",
        "0.cls": b"a",
        "1.jpg": b"x",
        "1.cls": b"b",
        "2.heic": b"x",
        "2.cls": b"a",
        "._0.jpg": b"x",
    }
    samples = read_samples(tar_of(tmp_path / "set.tar", members))
    assert samples.paths.to_pylist() == ["0.jpg", "1.jpg"]
    assert samples.notes == (
        f"{tmp_path / 'set.tar'}: passed over files that are no images: 1 hidden",
        f"{tmp_path / 'set.tar'}: passed over images that cannot be decoded: 1 .heic; convert them to JPEG or PNG",
        f"{tmp_path / 'set.tar'}: 1 labels are of no image that can be read, such as 2",
    )


@pytest.mark.parametrize("kind", [".tar", ".zip"])
def test_images_of_the_same_name_in_two_archives_are_two_samples(tmp_path, kind):
    for shard in range(2):
        members = {"cat/1.png": b"%d" % shard, "dog/1.png": b"x"}
        if kind == ".tar":
            tar_of(tmp_path / f"{shard}.tar", members)
            continue
        with zipfile.ZipFile(tmp_path / f"{shard}.zip", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    samples = read_samples(tmp_path)
    names = [f"{shard}{kind}/{name}" for name in ("cat/1.png", "dog/1.png") for shard in range(2)]
    assert samples.paths.to_pylist() == names
    items = [item for chunk in samples.images.chunks(samples.rows, 3) for item in chunk]
    contents = [item if isinstance(item, bytes) else item.read_bytes() for item in items]
    assert contents == [b"0", b"1", b"x", b"x"]


def test_arrow_files_far_away_are_refused_with_a_remedy(tmp_path):
    datasets.Dataset.from_dict({"label": [0, 1]}).save_to_disk(tmp_path / "saved")
    fsspec.filesystem("memory").put(f"{tmp_path}/saved", "/saved", recursive=True)
    with pytest.raises(DataError, match=r"memory://saved/.*arrow: .* this machine only; copy it here, or keep Parquet"):
        read_samples("memory://saved")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (
            {"0.jpg": b"x", "0.cls": b"1", "1.jpg": b"x"},
            "1 samples have no .cls, .json or .txt with a label, such as 1",
        ),
        ({"0.jpg": b"x", "0.json": b'["cat", "dog"]'}, "0.json has several labels; one label per image is judged"),
        ({"0.jpg": b"x", "0.json": b'{"label": ["cat", "dog"]}'}, "has several labels; one label per image is judged"),
        ({"0.jpg": b"x", "0.json": b'{"breed": 1, "age": 2}'}, "say which of its keys is the label .*: age, breed"),
        ({"0.jpg": b"x", "0.json": b"{"}, "0.json is not JSON"),
        ({"0.jpg": b"x", "0.cls": b" "}, "0.cls has no label"),
        ({"0.jpg": b"x", "0.cls": b"1", "1.jpg": b"x", "1.json": b"NaN"}, "1 rows have no number in its labels"),
        ({"0.jpg": b"x", "0.json": b"[" * 100_000}, "0.json is not JSON"),
        ({"0.jpg": b"x", "0.json": rb'"\ud800"'}, r"set.tar: the name '\\ud800' is not UTF-8; rename it"),
        ({"\udcff.jpg": b"x", "\udcff.cls": b"1"}, r"set.tar: the name '\\udcff.jpg' is not UTF-8; rename it"),
        ({"0.jpg": b"x", "0.png": b"x", "0.cls": b"1"}, "has several images"),
        ({"0.jpg": b"x", "1.jpg": b"x"}, "images are directly in it"),
    ],
)
def test_what_is_wrong_in_a_tar_is_named(tmp_path, members, says):
    with pytest.raises(DataError, match=says):
        read_samples(tar_of(tmp_path / "set.tar", members))


def test_in_a_tar_of_class_folders_names_may_differ_by_their_suffix_alone(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("x/1.png", "x/1.jpg", "y/1.png"):
            archive.addfile(tarfile.TarInfo(name))
    assert read_samples(tmp_path / "a.tar").paths.to_pylist() == ["x/1.jpg", "x/1.png", "y/1.png"]


def test_broken_and_compressed_archives_are_named(tmp_path):
    for name in ("a.tar", "b.zip"):
        (tmp_path / name).write_bytes(b"x" * 2000)
        with pytest.raises(DataError, match=f"{name}: is not a readable archive"):
            read_samples(tmp_path / name)


@pytest.mark.parametrize("harm", ["name", "version", "local name"])
def test_names_and_versions_that_zip_does_not_know_are_one_line_or_cost_themselves(source, tmp_path, harm):
    file = tmp_path / "photos.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for number, (name, path) in enumerate(listed(source)[::12]):
            archive.write(path, f"{name.partition('/')[0]}/{'é' * (not number)}{number}.png")
    content, central = file.read_bytes(), file.read_bytes().index(b"PK\1\2")
    if harm == "version":
        content = content[: central + 6] + b"\x63" + content[central + 7 :]
    else:
        content = content.replace("é".encode(), b"\xff\xfe", 2 if harm == "name" else 1)
    file.write_bytes(content)
    if harm == "local name":
        assert len(open_samples(read_samples(file), 12, cached=False, workers=1).unreadable) == 1
    else:
        with pytest.raises(DataError, match="photos.zip: is not a readable archive"):
            read_samples(file)


def test_images_of_a_tar_that_are_links_are_counted(tmp_path):
    for folder in "xyz":
        (tmp_path / "photos" / folder).mkdir(parents=True)
        (tmp_path / "photos" / folder / "1.png").write_bytes(folder.encode())
    (tmp_path / "photos" / "z" / "2.png").hardlink_to(tmp_path / "photos" / "x" / "1.png")
    (tmp_path / "photos" / "z" / "notes.txt").symlink_to("1.png")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "photos", "photos")
    samples = read_samples(tmp_path / "a.tar")
    assert len(samples) == 3 and len(samples.notes) == 1
    assert "a.tar: 1 images are links to others, such as photos/" in samples.notes[0]


def test_a_damaged_member_of_a_zip_costs_itself_alone(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name, path in listed(source)[::12]:
            archive.write(path, name)
        damaged = archive.infolist()[0]
    content = bytearray((tmp_path / "photos.zip").read_bytes())
    content[damaged.header_offset + 60] ^= 255
    (tmp_path / "photos.zip").write_bytes(content)
    opened = open_samples(read_samples(tmp_path / "photos.zip"), 12, cached=False, workers=1)
    assert opened.unreadable.to_pylist() == [
        {"path": damaged.filename, "reason": f"in the archive: bad crc-32 for file '{damaged.filename}'"}
    ]
    assert len(opened) == 14


def test_a_zip_of_windows_with_an_empty_class_folder_is_read_and_a_name_that_is_there_twice_refused(source, tmp_path):
    file, image = tmp_path / "photos.zip", (source / "photos/amber/000.png").read_bytes()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("photos\\amber\\1.png", "photos\\blue\\1.png"):
            archive.writestr(name, image)
        archive.writestr("photos/fox/", b"")
    samples = read_samples(file)
    assert samples.paths.to_pylist() == ["amber/1.png", "blue/1.png"] and samples.images.one(1) == image
    assert samples.notes == (f"{file}: class folders without an image: fox",)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("photos\\amber\\1.png", image)
    with pytest.raises(DataError, match=r"photos.zip: 'photos.zip/amber/1.png' is listed 2 times"):
        read_samples(file)


@pytest.mark.parametrize("harm", ["cut in a head", "damaged head", "two put together"])
def test_a_tar_whose_end_was_not_reached_is_refused(tmp_path, harm):
    file = tmp_path / "photos.tar"
    tar_of(file, {f"{number}.{kind}": b"0" * 600 for number in range(4) for kind in ("png", "cls")})
    whole, second = file.read_bytes(), 2 * 1536  # a head of 512 bytes and two blocks for each member
    broken = {
        "cut in a head": whole[: second + 100],
        "damaged head": whole[:second] + b"\xff" * 512 + whole[second + 512 :],
        "two put together": whole + whole,
    }
    file.write_bytes(broken[harm])
    with pytest.raises(DataError, match=r"photos.tar: is damaged or cut off at byte [\d,]+, or several put together"):
        read_samples(file)


def test_folders_that_say_columns_are_said_and_a_value_may_be_missing(tmp_path):
    table = pa.table({"image": [{"bytes": bytes([number]), "path": None} for number in range(8)],
                      "class": ["a b", "c/d"] * 4, "year": ["1", "2", None, None] * 2})  # fmt: skip
    pq.write_to_dataset(table, tmp_path / "hive", partition_cols=["class", "year"])
    samples = read_samples(tmp_path / "hive")
    assert samples.class_names == ("a b", "c/d") and samples.notes == (
        f"{tmp_path / 'hive'}: the names of its folders say class, year",
    )
    assert samples.manifest["year"].to_pylist() == ["1", "1", None, None, "2", "2", None, None]
    corrupted = corrupt(samples, tmp_path / "noisy.parquet", noise="uniform", rate=1.0)
    assert corrupted.wrong == 8 and len(read_samples(tmp_path / "noisy.parquet")) == 8


def test_empty_class_folders_of_a_tar_are_named(source, tmp_path):
    (tmp_path / "photos" / "fox").mkdir(parents=True)
    for name in ("amber", "blue"):
        shutil.copytree(source / "photos" / name, tmp_path / "photos" / name)
    for top in ("photos", "."):
        with tarfile.open(tmp_path / "photos.tar", "w") as archive:
            archive.add(tmp_path / "photos", top)
        assert read_samples(tmp_path / "photos.tar").notes == (
            f"{tmp_path}/photos.tar: class folders without an image: fox",
        )


def test_what_lies_beside_shards_is_counted_and_several_folders_are_said(tmp_path):
    images = [{"bytes": bytes([number]), "path": None} for number in range(2)]
    for folder in ("plain", "turned"):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"image": images, "label": ["a", "b"]}), tmp_path / folder / "part-0.parquet")
    for name in ("README.md", "old.rar", ".gitattributes"):
        (tmp_path / name).write_text("x")
    samples = read_samples(tmp_path)
    assert samples.paths.to_pylist()[1:3] == ["plain/part-0.parquet/0000001", "turned/part-0.parquet/0000000"]
    assert samples.notes == (
        f"{tmp_path}: reads the files of 2 folders as one: plain, turned",
        f"{tmp_path}: passed over files that are no images: 1 .md, 1 .rar, 1 hidden",
    )


@pytest.mark.parametrize("name", ["photos.parquet", "photos [2024]", "year=2024", "linked"])
def test_shards_are_found_whatever_their_folder_is_called_and_behind_links(tmp_path, name):
    folder = tmp_path / ("elsewhere" if name == "linked" else name)
    folder.mkdir()
    for part in range(2):  # as Spark writes `photos.parquet`
        table = pa.table(
            {"image": [{"bytes": bytes([part, label]), "path": None} for label in range(2)], "label": [0, 1]}
        )
        pq.write_table(table, folder / f"part-{part}.parquet")
    if name == "linked":
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "data").symlink_to(folder)
        (folder / "back").symlink_to(tmp_path / "linked")
    samples = read_samples(tmp_path / name)
    assert [path.rpartition("/")[2] for path in samples.paths.to_pylist()] == ["0000000", "0000001"] * 2
    assert [samples.images.one(row) for row in range(4)] == [b"\0\0", b"\0\1", b"\1\0", b"\1\1"]
    pattern = read_samples(folder / "part-{0..1}.parquet")
    assert len(pattern) == 4 and pattern.manifest.column_names == ["label"]  # folders above it say nothing


def test_a_closed_folder_of_shards_is_named_but_for_those_of_systems(tmp_path, monkeypatch):
    pq.write_table(pa.table({"image": [b"x", b"y"], "label": ["a", "b"]}), tmp_path / "part-0.parquet")
    (tmp_path / "lost+found").mkdir()
    real = os.scandir

    def closed(path):
        if os.fspath(path).endswith(("lost+found", "more")):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert len(read_samples(tmp_path)) == 2
    (tmp_path / "more").mkdir()
    with pytest.raises(DataError, match=r"more: cannot be read \(permission denied\)"):
        read_samples(tmp_path)


def test_shards_without_the_images_of_the_others_and_splits_that_are_lists_are_named(tmp_path):
    images, labels = [{"bytes": b"x", "path": "1"}, {"bytes": b"y", "path": "2"}], ["a", "b"]
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": [b"z", b"w"], "label": labels}), tmp_path / "b.parquet")
    samples = read_samples(tmp_path)
    assert [samples.images.one(row) for row in range(4)] == [b"x", b"y", b"z", b"w"]
    for others in ({}, {"image": ["1.png", "2.png"]}):
        pq.write_table(pa.table({"label": labels} | others), tmp_path / "b.parquet")
        with pytest.raises(DataError, match="b.parquet: has no images in 'image', where the other files have them"):
            read_samples(tmp_path)
    pq.write_table(pa.table({"image": images, "label": labels, "split": [["train"]] * 2}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet: column 'split' holds list<.*>, not one text per row"):
        read_samples(tmp_path / "a.parquet")


def test_the_split_of_shards_is_in_their_names_or_folders(tmp_path):
    table = pa.table({"image": [b"x", b"y"], "label": ["a", "b"]})
    for name in (
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/validation-00000.parquet",
    ):
        (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, tmp_path / "hub" / name)
    samples = read_samples(tmp_path / "hub")
    assert (len(samples), samples.name) == (4, "hub")
    assert samples.paths[3].as_py() == "train-00001-of-00002.parquet/0000001"
    assert "has the splits train, validation; reading 'train' (--split chooses)" in samples.notes[0]
    assert len(read_samples(tmp_path / "hub", split="val")) == 2
    assert len(read_samples(tmp_path / "hub" / "data" / "train-*.parquet")) == 4
    with pytest.raises(DataError, match="no file is of the split 'test' .*; it has: train, validation"):
        read_samples(tmp_path / "hub", split="test")
    for nothing in ("test-*.parquet", "nowhere/*.parquet"):
        with pytest.raises(DataError, match="no file is called so"):
            read_samples(tmp_path / "hub" / "data" / nothing)


def test_addresses_that_cannot_be_reached_are_one_line(s3, monkeypatch):
    for address in ("s3://no-such-bucket/x", "s3://no-such-bucket/x.tar", "memory://nothing"):
        with pytest.raises(DataError, match=f"{address}: "):
            read_samples(address)
    with pytest.raises(DataError, match="nosuch://a: "):
        read_samples("nosuch://a")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_credentials_that_are_set_after_a_refusal_count(source, s3, monkeypatch):
    address = as_s3(source)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    with monkeypatch.context() as without:
        for name in names:
            without.delenv(name)
        with pytest.raises(DataError, match="credentials"):
            read_samples(address)
    assert len(read_samples(address)) == 3 * PER_CLASS


def test_addresses_in_a_list_may_not_leave_what_the_root_says(tmp_path):
    (tmp_path / "list.csv").write_text("path,label\nmemory://photos/a.png,x\nmemory://secret/b.png,y\n")
    with pytest.raises(DataError, match="row 1: path 'memory://photos/a.png' is not inside"):
        read_samples(tmp_path / "list.csv")
    with pytest.raises(DataError, match="row 2: 'memory://secret/b.png' is not below memory://photos; say --root"):
        read_samples(tmp_path / "list.csv", root="memory://photos")
