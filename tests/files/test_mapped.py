import numpy as np
import pyarrow as pa
import pytest

from aumclean.errors import OutputError
from aumclean.files import mapped


@pytest.fixture
def to_files(monkeypatch):
    """Everything is large."""
    monkeypatch.setattr(mapped, "LARGE", 1)
    monkeypatch.setattr(mapped, "BLOCK", 7)


def test_arrays_in_files_hold_what_arrays_in_memory_hold(to_files):
    array = mapped.empty((2, 5), np.float32)
    assert isinstance(array.base, np.memmap)
    array[:] = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(array.sum(0), [5, 7, 9, 11, 13])
    assert mapped.empty((0,), np.int64).shape == (0,)


def test_what_is_chosen_is_taken_in_order(to_files):
    values, chosen = np.arange(20, dtype=np.float32), np.arange(20) % 3 == 0
    found = mapped.taken(values, chosen, np.float64)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, values[chosen])


def test_blocks_are_all_rows_in_order(to_files):
    assert [row for here in mapped.blocks(16) for row in range(here.start, here.stop)] == list(range(16))
    assert list(mapped.blocks(0)) == []


def test_a_table_of_parts_is_one_table_with_what_they_say_of_themselves():
    whole = pa.table({"a": list(range(9)), "b": ["x", None, "ünder"] * 3}).replace_schema_metadata({"k": "v"})
    found = mapped.table(whole.slice(start, 4) for start in range(0, 9, 4))
    assert found.equals(whole, check_metadata=True)
    assert mapped.table([whole]) is whole


def test_texts_of_parts_can_be_taken_by_row():
    whole = pa.array(["", "a", "ünder", "b" * 99, "c"])
    found = mapped.texts([whole.slice(1, 2), whole.slice(0, 0), whole.slice(3, 2)], 4)
    found.validate(full=True)
    assert found.take(pa.array([3, 0, 2])).to_pylist() == ["c", "a", "b" * 99]
    assert mapped.texts([], 0).to_pylist() == []


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(to_files):
    with pytest.raises(OutputError, match=r"cannot hold temporary files \(.*\); name a folder with room in TMPDIR$"):
        mapped.empty((10**15,), np.uint8)
