import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.dataset.rows import read_rows
from aumclean.errors import DataError

LOGITS = np.arange(12.0).reshape(4, 3)


def saved(folder, suffix):
    """The bytes of a file with these logits."""
    file = folder / f"whole{suffix}"
    np.save(file, LOGITS) if suffix == ".npy" else np.savez(file, logits=LOGITS)
    return file.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("harm", ["empty", "cut off", "other bytes", "the other kind"])
def test_a_damaged_array_is_named(tmp_path, suffix, harm):
    whole, file = saved(tmp_path, suffix), tmp_path / f"damaged{suffix}"
    other = saved(tmp_path, ".npz" if suffix == ".npy" else ".npy")
    middle = len(whole) // 2
    file.write_bytes(
        {
            "empty": b"",
            "cut off": whole[:-20],
            "other bytes": b"\0" * middle + whole[middle:],
            "the other kind": other,
        }[harm]
    )
    with pytest.raises(DataError, match=f"damaged{suffix}: cannot be read"):
        read_rows(file, "logits")


def test_a_flipped_bit_in_an_archive_of_arrays_is_noticed(tmp_path):
    content = bytearray(saved(tmp_path, ".npz"))
    content[content.index(LOGITS.tobytes()[8:24])] ^= 1
    (tmp_path / "flipped.npz").write_bytes(content)
    with pytest.raises(DataError, match="flipped.npz: cannot be read.*CRC"):
        read_rows(tmp_path / "flipped.npz", "logits")


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.string()])
def test_a_row_without_an_id_is_of_no_sample(tmp_path, kind):
    ids = pa.array([0, None, 2], pa.int64()).cast(kind)
    pq.write_table(pa.table({"id": ids, "cat": [0.0, 1, 2], "dog": [1.0, 0, 0]}), tmp_path / "logits.parquet")
    rows, paths = read_rows(tmp_path / "logits.parquet", "logits"), pa.array(["0", "1", "2"])
    with pytest.raises(DataError, match="1 ids are of no sample, such as 'None'"):
        rows.samples(paths)
    with pytest.raises(DataError, match="lacks 1 of 3 samples, such as 1"):
        rows.of_samples(paths)
