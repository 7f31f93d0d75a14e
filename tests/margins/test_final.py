import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.errors import RunError
from aumclean.margins import final, margins
from aumclean.margins.final import Final, final_margins, read_final, write_final


def drawn(n, classes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, classes)).astype(np.float32), rng.integers(0, classes, n)


@pytest.mark.parametrize(("classes", "kept"), [(2, 1), (5, 4), (6, 5), (40, 5)])
def test_the_largest_other_logits_come_first_and_the_first_is_the_margin(classes, kept):
    logits, labels = drawn(60, classes)
    found = final_margins(logits, labels)
    assert found.margins.shape == found.rivals.shape == (60, kept)
    for row, label, rivals, over in zip(logits, labels, *found, strict=True):
        others = sorted((index for index in range(classes) if index != label), key=lambda index: -row[index])
        np.testing.assert_array_equal(rivals, others[:kept])
        np.testing.assert_array_equal(over, row[label] - row[others[:kept]])
    margin, runner_up = margins(logits, labels)
    np.testing.assert_array_equal(found.margins[:, 0], margin)
    np.testing.assert_array_equal(found.rivals[:, 0], runner_up)


@pytest.mark.parametrize("rows", [7, 1 << 20])
def test_what_was_written_is_read_block_by_block(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(final, "ROW_GROUP", rows)
    written = final_margins(*drawn(50, 9))
    write_final(tmp_path / "final.parquet", written)
    blocks, parts = zip(*read_final(tmp_path / "final.parquet", 50), strict=True)
    assert [block.start for block in blocks] == list(range(0, 50, rows))
    for name, values in zip(Final._fields, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(values), getattr(written, name))


def test_more_classes_than_16_bits_hold_are_kept(tmp_path):
    write_final(tmp_path / "final.parquet", Final(np.full((3, 2), 40_000), np.zeros((3, 2), np.float32)))
    ((_, found),) = read_final(tmp_path / "final.parquet", 3)
    assert (found.rivals == 40_000).all()


@pytest.mark.parametrize("rows", [7, 1 << 20])
@pytest.mark.parametrize("n", [48, 49, 51])
def test_another_number_of_samples_is_refused(tmp_path, monkeypatch, n, rows):
    monkeypatch.setattr(final, "ROW_GROUP", rows)
    write_final(tmp_path / "final.parquet", final_margins(*drawn(50, 3)))
    with pytest.raises(RunError, match="every sample once"):
        for block, found in read_final(tmp_path / "final.parquet", n):
            assert block.stop <= n and len(found.margins) == block.stop - block.start


def test_samples_out_of_order_are_refused(tmp_path):
    write_final(tmp_path / "final.parquet", final_margins(*drawn(3, 3)))
    table = pq.read_table(tmp_path / "final.parquet").take(pa.array([2, 0, 1]))
    pq.write_table(table, tmp_path / "final.parquet")
    with pytest.raises(RunError, match="every sample once"):
        list(read_final(tmp_path / "final.parquet", 3))


@pytest.mark.parametrize("content", [None, b"no Parquet", "another table"])
def test_a_missing_or_damaged_file_is_named_with_the_way_out(tmp_path, content):
    file = tmp_path / "final.parquet"
    if content == "another table":
        pq.write_table(pa.table({"sample_id": [0, 1, 2], "margin": [0.0, 1.0, 2.0]}), file)
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(RunError, match=r"final.parquet.*--threshold indicator"):
        list(read_final(file, 3))
