"""What a release hands out: the package and its licence, the sources, and what all of it rests on; nothing else."""

import json
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SDIST = {
    "aumclean", "tests", "examples", "docs", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", ".gitignore",
    ".pre-commit-hooks.yaml", "pyproject.toml", "PKG-INFO",
}  # fmt: skip
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".ci").is_dir() or shutil.which("uv") is None, reason="needs a checkout and uv"),
]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The folder that `.ci/release` fills."""
    out = tmp_path_factory.mktemp("release")
    subprocess.run([ROOT / ".ci" / "release", out], check=True)
    return out


def files_of_package():
    return {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "aumclean").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_holds_the_package_and_its_licence_alone(released):
    (wheel,) = released.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == files_of_package()
    assert {name.partition(".dist-info/")[2] for name in about} == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip


def test_the_sdist_holds_what_pyproject_lists_alone(released):
    (sdist,) = released.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.split("/")[0] for name in names} <= SDIST
    assert files_of_package() <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".lock", ".part"))]


def test_the_bill_of_materials_names_every_requirement(released):
    bill = json.loads((released / "aumclean.cdx.json").read_text())
    listed = {component["name"] for component in bill["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert bill["bomFormat"] == "CycloneDX"
    assert {requirement.split(">")[0] for requirement in project["dependencies"]} <= listed
