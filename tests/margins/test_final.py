import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.errors import RunError
from aumclean.margins.final import read_final, write_final


def test_what_was_written_is_read(tmp_path):
    margin = np.random.default_rng(0).normal(size=50).astype(np.float32)
    write_final(tmp_path / "final.parquet", margin, np.full(50, 40_000))
    np.testing.assert_array_equal(read_final(tmp_path / "final.parquet", 50), margin)
    assert pq.read_schema(tmp_path / "final.parquet").field("runner_up").type == pa.int32()


def test_margins_are_joined_by_sample_id_and_not_by_row(tmp_path):
    table = pa.table({"sample_id": pa.array([2, 0, 1], pa.int32()), "margin": pa.array([2.0, 0.0, 1.0], pa.float32())})
    pq.write_table(table, tmp_path / "final.parquet")
    np.testing.assert_array_equal(read_final(tmp_path / "final.parquet", 3), [0, 1, 2])


@pytest.mark.parametrize("n", [49, 51])
def test_another_number_of_samples_is_refused(tmp_path, n):
    write_final(tmp_path / "final.parquet", np.zeros(50, np.float32), np.zeros(50, int))
    with pytest.raises(RunError, match="every sample once"):
        read_final(tmp_path / "final.parquet", n)


def test_a_missing_file_is_named_with_the_way_out(tmp_path):
    with pytest.raises(RunError, match=r"final.parquet.*--threshold indicator"):
        read_final(tmp_path / "final.parquet", 3)
