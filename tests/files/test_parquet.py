import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.errors import RunError
from aumclean.files import parquet

SCHEMA = pa.schema([pa.field("a", pa.int32(), nullable=False), ("b", pa.string())])


def table(rows=300):
    return pa.table({"a": list(range(rows)), "b": [f"name {row % 7}" for row in range(rows)]}, schema=SCHEMA)


def test_no_flipped_bit_changes_a_table_without_a_word(tmp_path):
    file, rng = tmp_path / "t.parquet", random.Random(0)
    whole = parquet.to_parquet(table())
    noticed = 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        file.write_bytes(flipped)
        try:
            assert parquet.read(file, SCHEMA).equals(table())
        except RunError as error:
            noticed += 1
            assert str(file) in str(error)
    assert noticed > len(whole) / 3


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (pa.table({"a": [1]}), "cannot be read"),
        (pa.table({"a": ["1"], "b": ["x"]}), "is damaged .a has string, not int32"),
        (pa.table({"a": pa.array([None], pa.int32()), "b": ["x"]}), "a has int32 and 1 nulls"),
    ],
)
def test_another_table_is_refused_by_name(tmp_path, other, says):
    pq.write_table(other, tmp_path / "t.parquet")
    with pytest.raises(RunError, match=f"t.parquet: .*{says}.*scan again"):
        parquet.read(tmp_path / "t.parquet", SCHEMA)


def test_what_older_versions_wrote_without_checksums_is_read(tmp_path):
    pq.write_table(table(), tmp_path / "t.parquet")
    assert parquet.read(tmp_path / "t.parquet", SCHEMA).equals(table())


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match=r"none.parquet: cannot be read .*; do that"):
        parquet.read(tmp_path / "none.parquet", None, remedy="do that")
