import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.errors import RunError
from aumclean.run.directory import Run, new_run, require_room
from aumclean.run.record import SCHEMA_VERSION, Progress
from aumclean.run.tables import SAMPLES, read_samples, texts_of
from tests.documents import changed, places


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
    run.run_json.write_text("{}")
    with pytest.raises(RunError, match="holds a run already.*--overwrite.*--resume"):
        new_run(tmp_path / "run", "x", overwrite=False)
    (run.path / "margins").mkdir()
    new_run(tmp_path / "run", "x", overwrite=True)
    assert not [entry for entry in run.path.iterdir() if entry.name != ".lock"]
    (run.path / ".run.json.7.part").write_text("left by a kill before the first file")
    new_run(tmp_path / "run", "x", overwrite=False)


def test_room_for_a_run_can_be_asked_for_before_it_is_made(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.json").touch()
    require_room(tmp_path / "a" / "b", overwrite=False)
    assert not (tmp_path / "a").exists()
    with pytest.raises(RunError, match="b: cannot be made .*file is a file"):
        require_room(tmp_path / "file" / "b", overwrite=False)
    with pytest.raises(RunError, match="taken: holds a run already"):
        require_room(tmp_path / "taken", overwrite=False)
    require_room(tmp_path / "taken", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_run_is_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="not a run directory"):
        new_run(tmp_path, "x", overwrite=overwrite)
    with pytest.raises(RunError, match="thesis.txt is a file.; choose another --out"):
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
        ("[" * 100_000, "cannot be read"),
        ("1" * 10_000, "cannot be read"),
        ("\0", "cannot be read"),
    ],
)
def test_foreign_broken_and_newer_runs_are_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=says):
        Run(tmp_path).read()


RECORD = json.loads((Path(__file__).parents[1] / "data" / "run-of-version-1" / "run" / "run.json").read_text())
ANYTHING = [None, "x", "", [], {}, [[]], {"x": {}}, -1, 0.5, 10**30, 1e300, float("nan"), True, "\ud800"]


@pytest.mark.parametrize("where", list(places(RECORD)), ids=lambda where: ".".join(map(str, where)) or "all")
def test_a_record_of_any_wrong_shape_is_read_or_refused_in_one_line(tmp_path, where):
    for value in ANYTHING:
        (tmp_path / "run.json").write_text(json.dumps(changed(RECORD, where, value)))
        try:
            record = Run(tmp_path).read()
        except RunError as error:
            assert str(tmp_path) in str(error) and "\n" not in str(error) and len(str(error)) < 500
        else:
            assert record.draws == len(record.epochs_done) == len(record.training_seconds) == 2


@pytest.mark.parametrize("rows", [359, 361])
def test_a_table_with_another_number_of_samples_is_damaged(own_run, rows):
    whole = pq.read_table(own_run.samples)
    pq.write_table(pa.concat_tables([whole, whole]).slice(0, rows).cast(SAMPLES), own_run.samples)
    for read in (lambda: read_samples(own_run, "path"), lambda: texts_of(own_run, "path")):
        with pytest.raises(RunError, match=rf"samples.parquet: is damaged \({rows} samples, run.json has 360\)"):
            read()


@pytest.mark.parametrize("key", [key for key in RECORD if key not in {"horizon", "finished"}])
def test_a_record_that_lacks_a_key_is_damaged_and_the_key_is_named(tmp_path, key):
    (tmp_path / "run.json").write_text(json.dumps({name: value for name, value in RECORD.items() if name != key}))
    with pytest.raises(RunError, match="schema_version" if key == "schema_version" else rf"damaged \({key}: "):
        Run(tmp_path).read()


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("draws",), 10**9),
        (("epochs_done",), [2]),
        (("epochs_done", 0), 3),
        (("recipe", "epochs"), 10**9),
        (("image_size",), 10**6),
        (("data", "class_names"), ["amber"]),
        (("config", "seed"), 10**30),
        (("judge", "percentile"), 100),
        (("training_seconds", 0), float("inf")),
    ],
)
def test_numbers_beyond_sense_are_refused(tmp_path, where, value):
    (tmp_path / "run.json").write_text(json.dumps(changed(RECORD, where, value)))
    with pytest.raises(RunError, match="run.json: is damaged"):
        Run(tmp_path).read()


def test_a_horizon_of_nothing_is_damaged(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RECORD | {"horizon": {"epochs": None}}))
    with pytest.raises(RunError, match=r"is damaged \(horizon: epochs or later_than must be a number\)"):
        Run(tmp_path).read()


def test_progress_is_checked_too(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RECORD))
    Run(tmp_path).write_progress(1, Progress(epochs_done=1, training_seconds=2.5))
    assert (Run(tmp_path).read().epochs_done, Run(tmp_path).read().training_seconds[1]) == ([2, 1], 2.5)
    Run(tmp_path).progress(1).write_text('{"epochs_done": "many"}')
    with pytest.raises(RunError, match="draw=1.json: is damaged"):
        Run(tmp_path).read()


def test_keys_that_a_later_version_added_are_kept(tmp_path):
    """Within a schema version keys are only added: who does not know one passes it over, and writes it back."""
    from aumclean.scanning.scan import resume

    later = RECORD | {"new": 1, "config": RECORD["config"] | {"colour": "blue"}, "data": RECORD["data"] | {"new": [2]}}
    (tmp_path / "run.json").write_text(json.dumps(later))
    run = Run(tmp_path)
    run.finish(run.read().judge)
    written = json.loads(run.run_json.read_text())
    assert written["new"] == 1 and later["data"].items() <= written["data"].items()
    assert later["config"].items() <= written["config"].items()
    with pytest.raises(RunError, match="options this version does not know .colour."):
        resume(run)


def test_names_that_are_not_utf_8_survive(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(changed(RECORD, ("data", "name"), "caf\udce9")))
    run = Run(tmp_path)
    run.write(run.read())
    assert run.read().data.name == "caf\udce9"


def test_a_cleared_run_leaves_nothing_of_itself(own_run):
    (own_run.path / "notes.txt").write_text("somebody's")
    own_run.clear()
    left = {file.relative_to(own_run.path).as_posix() for file in own_run.path.rglob("*") if file.is_file()}
    assert {name for name in left if not name.endswith(".lock")} == {"notes.txt"}
