import shutil

import pytest
from PIL import Image

from aumclean.errors import DataError
from aumclean.scanning.demo import make_digits


def test_the_demo_replaces_what_it_made(tmp_path):
    images, truth = make_digits(tmp_path / "demo", seed=0)
    first = truth.read_bytes()
    make_digits(tmp_path / "demo", seed=1)
    assert truth.read_bytes() != first
    assert len(list(images.rglob("*.png"))) == 1797


def a_picture_of_the_users(images, truth):
    Image.new("L", (8, 8)).save(images / "3" / "0000-mine.png")


def a_changed_digit(images, truth):
    Image.new("L", (8, 8)).save(next(images.rglob("*.png")))


def no_picture(images, truth):
    (images / "notes.txt").write_text("mine")


def another_list(images, truth):
    truth.write_text("path,label\n3/0000.png,3\n")


def a_link_to_the_users_folder(images, truth):
    images.rename(images.with_name("mine"))
    images.symlink_to(images.with_name("mine"))


@pytest.mark.parametrize(
    "change", [a_picture_of_the_users, a_changed_digit, no_picture, another_list, a_link_to_the_users_folder]
)
def test_the_demo_deletes_nothing_that_is_not_its_own(tmp_path, change):
    images, truth = make_digits(tmp_path / "demo")
    change(images, truth)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(DataError, match="was not made by the demo"):
        make_digits(tmp_path / "demo", seed=1)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_run_beside_the_images_stays(tmp_path):
    make_digits(tmp_path / "demo")
    (tmp_path / "demo" / "run").mkdir()
    (tmp_path / "demo" / "run" / "run.json").write_text("{}")
    shutil.rmtree(tmp_path / "demo" / "images")
    make_digits(tmp_path / "demo")
    assert (tmp_path / "demo" / "run" / "run.json").is_file()
