import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aumclean.errors import OutputError
from aumclean.files import atomic


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    file = tmp_path / "x.json"
    atomic.write_json(file, {"old": True})
    with pytest.raises(ZeroDivisionError), atomic.replacing(file) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert "old" in file.read_text()


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        end = pipe.open("wb")  # waits for who reads, who then waits for its end
        atomic.write_text(pipe, "whole")
        end.close()
        assert read.result(timeout=10) == "whole"
    assert pipe.is_fifo()


def test_a_folder_is_no_file_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (".", "..", "/", tmp_path):
        with pytest.raises(OutputError, match=r": cannot be written \(is a directory\)$"):
            atomic.write_text(Path(folder), "text")
    assert not list(tmp_path.iterdir())


def test_json_refuses_nan_and_then_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(tmp_path / "x.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_killed_writer_go(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".report.csv.123.part").write_text("half")
    (tmp_path / "deep" / "report.csv").write_text("whole")
    (tmp_path / "deep" / ".clean.123.part" / "cat").mkdir(parents=True)
    (tmp_path / "deep" / ".clean.123.part" / "cat" / ".1.png.123.part").write_text("half")
    atomic.remove_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.csv"]


@pytest.mark.parametrize("before", [False, True])
def test_a_new_folder_appears_whole_or_not_at_all(tmp_path, before):
    target = tmp_path / "out"
    if before:
        target.mkdir()
    with pytest.raises(ZeroDivisionError), atomic.new_folder(target) as folder:
        (folder / "a").write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["out"] * before
    with atomic.new_folder(target) as folder:
        (folder / "a").write_text("whole")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "out"]
    with pytest.raises(OutputError, match="out: exists and is not an empty folder"), atomic.new_folder(target):
        pass
    assert (target / "a").read_text() == "whole"


def test_threads_may_write_the_same_file_at_once(tmp_path):
    both = threading.Barrier(2)

    def write(text):
        with atomic.replacing(tmp_path / "model.json") as temporary:
            temporary.write_text(text)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ("one", "two")))
    assert (tmp_path / "model.json").read_text() in ("one", "two")
