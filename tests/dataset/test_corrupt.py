import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from aumclean.dataset.corrupt import corrupt
from aumclean.dataset.read import read_samples
from aumclean.errors import ConfigError, DataError


def test_the_noisy_manifest_keeps_the_truth_beside_and_is_data(folder, tmp_path):
    samples = read_samples(folder)
    made = corrupt(samples, tmp_path / "noisy.csv", noise="uniform", rate=0.5, seed=1)
    table = pa.csv.read_csv(made.file)
    assert table.column_names == ["path", "label", "true_label"]
    wrong = np.array(table["label"].to_pylist()) != np.array(table["true_label"].to_pylist())
    assert 0 < made.wrong == wrong.sum()
    assert made.root is None
    again = read_samples(made.file)
    assert again.images.one(0) == tmp_path / "photos" / "amber" / "000.png"
    assert again.label_names().to_pylist() == table["label"].to_pylist()


def test_elsewhere_it_says_which_root_to_scan_with(folder, tmp_path):
    (tmp_path / "lists").mkdir()
    made = corrupt(read_samples(folder), tmp_path / "lists" / "noisy.parquet", noise="flip", rate=1.0)
    assert made.root == folder
    assert len(read_samples(made.file, root=made.root)) == 12


def test_pairs_are_mistaken_as_listed(folder, tmp_path):
    made = corrupt(read_samples(folder), tmp_path / "n.csv", noise="pairs", rate=1.0, pairs=["amber=blue"])
    table = pa.csv.read_csv(made.file)
    assert table["label"].to_pylist() == ["blue"] * 8 + ["green"] * 4
    assert made.wrong == 4


def test_images_inside_parquet_stay_inside(folder, tmp_path):
    samples = read_samples(folder)
    images = [{"bytes": (folder / path).read_bytes(), "path": None} for path in samples.paths.to_pylist()]
    source = tmp_path / "set.parquet"
    pq.write_table(pa.table({"image": images, "label": samples.label_names().dictionary_encode()}), source)
    made = corrupt(read_samples(source, limit=5), tmp_path / "noisy.parquet", noise="uniform", rate=1.0)
    table = pq.read_table(made.file)
    rows = np.arange(5) * 12 // 5
    assert table["image"].to_pylist() == [images[row] for row in rows]
    assert table["true_label"].to_pylist() == [samples.label_names()[row].as_py() for row in rows]
    assert made.wrong == 5
    assert read_samples(made.file).label_names().to_pylist() == table["label"].to_pylist()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rate": 1.5}, "--rate: 1.5"),
        ({"noise": "pairs"}, "--pair FROM=TO goes with --noise pairs"),
        ({"pairs": ["a=b"]}, "--pair FROM=TO goes with --noise pairs"),
        ({"noise": "pairs", "pairs": ["amber=bleu"]}, "no class 'bleu'; did you mean 'blue'"),
        ({"imbalance": 0.5}, "--imbalance: 0.5 is no ratio"),
        ({"imbalance": float("inf")}, "--imbalance: inf is no ratio"),
        ({"out": "noisy.txt"}, "must end in .csv or .parquet"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(folder, tmp_path, options, says):
    arguments = {"noise": "uniform", "rate": 0.2, "out": "noisy.csv", **options}
    with pytest.raises(ConfigError, match=says):
        corrupt(read_samples(folder), tmp_path / arguments.pop("out"), **arguments)
    assert not list(tmp_path.glob("noisy*"))


def test_a_corrupted_manifest_is_not_corrupted_again(folder, tmp_path):
    made = corrupt(read_samples(folder), tmp_path / "noisy.csv", noise="flip", rate=0.5)
    with pytest.raises(DataError, match="true_label"):
        corrupt(read_samples(made.file), tmp_path / "twice.csv", noise="flip", rate=0.5)


def test_nothing_is_overwritten_least_of_all_the_source(folder, tmp_path):
    made = corrupt(read_samples(folder), tmp_path / "list.csv", noise="uniform", rate=0.0)
    before = made.file.read_bytes()
    with pytest.raises(ConfigError, match="list.csv: exists"):
        corrupt(read_samples(made.file), made.file, noise="uniform", rate=1.0)
    assert made.file.read_bytes() == before


def test_instance_noise_sees_the_images_wherever_they_lie(make_folder, tmp_path):
    folder = make_folder(tmp_path / "photos", per_class=40)
    samples = read_samples(folder)
    images = [{"bytes": (folder / path).read_bytes(), "path": None} for path in samples.paths.to_pylist()]
    source = tmp_path / "set.parquet"
    pq.write_table(pa.table({"image": images, "label": samples.label_names()}), source)
    options = {"noise": "instance", "rate": 0.4, "seed": 1, "cache_dir": tmp_path / "cache"}
    made = corrupt(samples, tmp_path / "noisy.csv", **options)
    table = pa.csv.read_csv(made.file)
    assert table["label"].to_pylist() != table["true_label"].to_pylist()
    inside = pq.read_table(corrupt(read_samples(source), tmp_path / "noisy.parquet", **options).file)
    assert inside["label"].to_pylist() == table["label"].to_pylist()
    again = corrupt(samples, tmp_path / "again.csv", **options)
    assert again.file.read_bytes() == made.file.read_bytes()


def test_instance_noise_must_see_every_image(folder, tmp_path):
    (folder / "blue" / "002.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"blue/002.png: not an image; --noise instance .* 1 cannot be read"):
        corrupt(read_samples(folder), tmp_path / "noisy.csv", noise="instance", rate=0.4, cache_dir=tmp_path / "c")
    assert not (tmp_path / "noisy.csv").exists()


def test_verifying_decodes_the_images_of_instance_noise_anew(folder, tmp_path, caplog):
    samples = read_samples(folder)
    caplog.set_level("INFO")
    for name, verify in (("first.csv", False), ("second.csv", True)):
        corrupt(samples, tmp_path / name, noise="instance", rate=0.4, cache_dir=tmp_path / "cache", verify=verify)
    assert caplog.messages == [f"{samples.source}: all 12 images are what was decoded before"]


def test_imbalance_comes_before_the_noise_and_keeps_rows_and_images_together(make_folder, tmp_path):
    folder = make_folder(tmp_path / "photos", per_class=20)
    made = corrupt(read_samples(folder), tmp_path / "few.csv", noise="flip", rate=1.0, imbalance=4)
    table = pa.csv.read_csv(made.file)
    assert table["true_label"].to_pylist() == ["amber"] * 20 + ["blue"] * 10 + ["green"] * 5
    assert table["label"].to_pylist() == ["blue"] * 20 + ["green"] * 10 + ["amber"] * 5
    assert [path.split("/")[1] for path in table["path"].to_pylist()] == table["true_label"].to_pylist()
    assert made.samples == made.wrong == 35
