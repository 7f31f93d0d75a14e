import pytest

from aumclean import atomic


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    file = tmp_path / "x.json"
    atomic.write_json(file, {"old": True})
    with pytest.raises(ZeroDivisionError), atomic.replacing(file) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert "old" in file.read_text()


def test_json_refuses_nan_and_then_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(tmp_path / "x.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_killed_writer_go(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".report.csv.123.part").write_text("half")
    (tmp_path / "deep" / "report.csv").write_text("whole")
    atomic.remove_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.csv"]
