import json

import pytest

from aumclean.diagnostics.store import holding, opened
from aumclean.errors import ConfigError, RunError
from aumclean.files import atomic

QUESTION = {"kind": "frequency test", "seeds": (0, 1)}


def ask(path, question, **options):
    with opened(path, "x", question, **options):
        pass


def test_the_same_question_goes_on_and_another_is_refused_by_name(tmp_path):
    with opened(tmp_path / "out", "x", QUESTION) as store:
        store.training("a").parent.mkdir()
        store.training("a").write_text("{}")
    with opened(tmp_path / "out", "x", QUESTION) as store:
        assert store.training("a").is_file()
    with pytest.raises(RunError, match=r"another question \(seeds differ\).*--overwrite"):
        ask(tmp_path / "out", {**QUESTION, "seeds": (0,)})


def test_overwrite_deletes_what_a_diagnostic_wrote_and_nothing_else(tmp_path):
    with opened(tmp_path, "x", QUESTION) as store:
        store.training("a").parent.mkdir()
        store.training("a").write_text("{}")
        store.announce(store.table("accuracy"), store.picture("low", 7).parent)
        store.table("accuracy").write_text("")
        store.picture("low", 7).parent.mkdir()
        store.picture("low", 7).write_text("")
        (tmp_path / ".high.npy.part").write_text("")
        (tmp_path / "mine.txt").write_text("")
        answer = store.read()
        store.write(answer.model_copy(update={"files": [*answer.files, "..", ".", "../escape.txt"]}))
    (tmp_path.parent / "escape.txt").write_text("")
    with opened(tmp_path, "x", {"kind": "other"}, overwrite=True) as store:
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "mine.txt", "diagnostic.json"}
    assert (tmp_path.parent / "escape.txt").is_file()


def test_one_process_writes_at_a_time(tmp_path):
    with opened(tmp_path, "x", QUESTION), pytest.raises(RunError, match="another aumclean is writing"):
        ask(tmp_path, QUESTION)


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "photo.jpg").write_text("")
    with pytest.raises(RunError, match="holds no diagnostic; choose another --out"):
        ask(tmp_path, QUESTION, overwrite=True)


def test_a_folder_in_which_nothing_was_finished_is_held_again(tmp_path):
    for hold in (lambda: holding(tmp_path / "train"), lambda: opened(tmp_path / "test", "x", QUESTION)):
        with pytest.raises(ValueError, match="killed"), hold() as store:
            store.record.unlink(missing_ok=True)
            (store.path / f".anything.1-1{atomic.TEMPORARY_SUFFIX}").write_text("")
            raise ValueError("killed")
        with hold() as store:
            assert not list(store.path.glob(f".*{atomic.TEMPORARY_SUFFIX}"))


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match="--out .*out: exists and holds no trainings"), holding(tmp_path / "out"):
        pass
    with pytest.raises(RunError, match="out: cannot be made"):
        ask(tmp_path / "out", QUESTION)


def test_without_a_place_the_next_free_number_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        with opened(None, "photos-frequency-test", QUESTION) as store:
            assert str(store.path) == f"runs/photos-frequency-test-{number}"


@pytest.mark.parametrize("content", ["{", "[]", '{"question": 1}', json.dumps({"schema_version": 99, "question": 1})])
def test_a_damaged_record_is_one_clear_line(tmp_path, content):
    (tmp_path / "diagnostic.json").write_text(content)
    with pytest.raises(RunError, match=r"diagnostic\.json"):
        ask(tmp_path, QUESTION)


def test_who_interrupts_is_told_what_goes_on_and_so_is_the_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out, again in ((None, r"the same command and --out runs/x-1"), (tmp_path / "out", "the same command")):
        with pytest.raises(KeyboardInterrupt, match=f"^{again}$"), opened(out, "x", QUESTION) as store:
            raise KeyboardInterrupt
        assert store.read().state == "interrupted"
        with opened(store.path, "x", QUESTION):
            assert store.read().state == "running"


def test_what_is_done_stays_done_when_it_is_asked_again_and_interrupted(tmp_path):
    with opened(tmp_path, "x", QUESTION) as store:
        store.write(store.read().model_copy(update={"state": "done"}))
    with pytest.raises(KeyboardInterrupt), opened(tmp_path, "x", QUESTION):
        raise KeyboardInterrupt
    assert store.read().state == "done"
