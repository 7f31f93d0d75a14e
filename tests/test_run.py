import json

import pytest

from aumclean.errors import RunError
from aumclean.run import SCHEMA_VERSION, Run, new_run


def test_unnamed_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(new_run(None, name, overwrite=False).path) for name in ("cats", "cats", "a b/c", "..")] == [
        "runs/cats-1",
        "runs/cats-2",
        "runs/a-b-c-1",
        "runs/data-1",
    ]


def test_an_empty_folder_may_become_a_run_and_a_run_is_never_replaced_unasked(tmp_path):
    (tmp_path / "run").mkdir()
    run = new_run(tmp_path / "run", "x", overwrite=False)
    run.write({"state": "done"})
    with pytest.raises(RunError, match="holds a run already.*--overwrite.*--resume"):
        new_run(tmp_path / "run", "x", overwrite=False)
    (run.path / "margins").mkdir()
    new_run(tmp_path / "run", "x", overwrite=True)
    assert not [entry for entry in run.path.iterdir() if entry.name != ".lock"]
    (run.path / ".run.json.7.part").write_text("left by a kill before the first file")
    new_run(tmp_path / "run", "x", overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_run_is_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="not a run directory"):
        new_run(tmp_path, "x", overwrite=overwrite)
    with pytest.raises(RunError, match="thesis.txt: cannot be made .file exists.; choose another --out"):
        new_run(tmp_path / "thesis.txt", "x", overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_only_one_may_write(tmp_path):
    run = Run(tmp_path)
    with run.lock(), pytest.raises(RunError, match="another aumclean is writing"), Run(tmp_path).lock():
        pass
    with run.lock():
        pass


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not a run directory"),
        ("{", "cannot be read"),
        (json.dumps({"schema_version": SCHEMA_VERSION + 1}), "upgrade aumclean"),
        (json.dumps({}), "was not written by aumclean"),
    ],
)
def test_foreign_broken_and_newer_runs_are_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=says):
        Run(tmp_path).read()
