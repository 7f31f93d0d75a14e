import numpy as np
import pytest

from aumclean.config.reading import checked
from aumclean.diagnostics.study import Options, asking, open_images, open_study
from aumclean.errors import ConfigError, DataError
from tests.conftest import write_folder
from tests.diagnostics.conftest import write_bands


def options(data, **asked):
    return Options(data=data, device="cpu", **asked)


def test_the_test_split_of_the_data_is_found(study):
    assert (len(study.train), len(study.test)) == (160, 80)
    assert study.train.class_names == study.test.class_names == ("class-0", "class-1", "class-2", "class-3")
    assert study.train.images.shape[1:] == (16, 16, 3)
    assert study.test_paths[0].as_py().startswith("test/class-0/")


def test_without_a_test_part_the_remedies_are_named(tmp_path):
    with pytest.raises(DataError, match=r"has no test part; .*--test PATH.*--holdout 0.2"):
        open_study(options(write_folder(tmp_path / "photos")), limit=None, test_limit=None)


def test_a_share_is_held_out_at_random_and_disjoint(bands):
    held = open_study(options(bands, holdout=0.25), limit=None, test_limit=None)
    assert (len(held.train), len(held.test)) == (120, 40)
    assert not set(held.train_paths.to_pylist()) & set(held.test_paths.to_pylist())
    other = open_study(options(bands, holdout=0.25, seeds=(1,)), limit=None, test_limit=None)
    assert other.test_paths != held.test_paths


def test_limits_keep_the_shares_of_the_classes_and_what_was_asked_goes_before_the_preset(bands):
    small = open_study(options(bands, limit=40), limit=8, test_limit=20)
    assert np.bincount(small.train.labels).tolist() == [10] * 4
    assert np.bincount(small.test.labels).tolist() == [5] * 4


def test_images_that_cannot_be_read_are_left_out_and_said(tmp_path, caplog):
    write_bands(tmp_path, {"all": 5})
    (tmp_path / "all" / "class-1" / "broken.png").write_bytes(b"no picture")
    found = open_study(options(tmp_path / "all", test=tmp_path / "all"), limit=None, test_limit=None)
    assert len(found.train) == 20
    assert "1 of 21 images cannot be read and are left out" in caplog.text


def test_verifying_decodes_both_parts_anew_and_is_no_other_question(bands, tmp_path, caplog):
    caplog.set_level("INFO")
    for verify in (False, True):
        asked = options(bands, cache_dir=tmp_path / "cache", verify=verify, out=tmp_path / "out")
        study = open_study(asked, limit=None, test_limit=None)
        with asking("random-labels fit", asked, study):
            pass
    said = [message for message in caplog.messages if message.endswith("what was decoded before")]
    assert said == [f"{bands}: all {count} images are what was decoded before" for count in (160, 80)]


def test_test_labels_count_as_the_training_labels_do(bands, tmp_path):
    write_bands(tmp_path, {"only": 3})
    for label in (0, 2):
        for file in (tmp_path / "only" / f"class-{label}").iterdir():
            file.unlink()
        (tmp_path / "only" / f"class-{label}").rmdir()
    found = open_study(options(bands, test=tmp_path / "only"), limit=None, test_limit=None)
    assert found.test.labels.tolist() == [1] * 3 + [3] * 3
    with pytest.raises(DataError, match="has the class 'class-0', which the training part lacks"):
        open_study(options(tmp_path / "only", test=bands), limit=None, test_limit=None)


def test_a_test_part_may_be_of_one_class(tmp_path):
    data = write_bands(tmp_path / "data", {"train": 3})
    rest = write_bands(tmp_path / "rest", {"test": 2})
    (data / "test").mkdir()
    (rest / "test" / "class-2").rename(data / "test" / "class-2")
    found = open_study(options(data), limit=None, test_limit=None)
    assert found.test.labels.tolist() == [2, 2]
    images, paths, _ = open_images(options(data, test_split="test"), data, found.train.class_names, 16, limit=None)
    assert images.labels.tolist() == [2, 2] and len(paths) == 2


@pytest.mark.parametrize(
    ("asked", "message"), [({"holdout": 1.5}, "--holdout"), ({"holdout": 0.5, "test_split": "test"}, "give one")]
)
def test_a_test_part_that_makes_no_sense_is_refused(bands, asked, message):
    with pytest.raises(ConfigError, match=message):
        open_study(options(bands, **asked), limit=None, test_limit=None)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, r"--epochs: input should be greater than or equal to 1 \(got 0\)"),
        ("limit", 0, "--limit: input should be greater than or equal to 1"),
        ("test_limit", -1, "--test-limit: input should be greater than or equal to 1"),
        ("batch_size", 1, "--batch-size: input should be greater than or equal to 2"),
        ("image_size", 4, "--image-size: input should be greater than or equal to 8"),
        ("learning_rate", 0.0, "--learning-rate: input should be greater than 0"),
        ("learning_rate", float("nan"), "--learning-rate: input should be a finite number"),
    ],
)
def test_numbers_that_are_too_small_are_refused_before_anything_is_read(tmp_path, name, value, message):
    with pytest.raises(ConfigError, match=message):
        checked(Options, data=tmp_path / "absent", **{name: value})
