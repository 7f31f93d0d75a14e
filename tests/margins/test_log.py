import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from aumclean.errors import RunError
from aumclean.margins.log import EpochMargins, epoch_file, read_block, read_curves, recorded_epochs, write_epoch


def recorded(ids, seed=0, classes=5):
    rng = np.random.default_rng(seed)
    ids = np.asarray(ids, np.int32)
    return EpochMargins(
        sample_id=ids,
        margin=rng.normal(size=len(ids)).astype(np.float32),
        runner_up=rng.integers(0, classes, len(ids)),
        is_indicator=ids % 4 == 0,
    )


@pytest.fixture
def log(tmp_path):
    """Two draws of three epochs over ten samples."""
    for draw in range(2):
        for epoch in range(3):
            write_epoch(tmp_path, draw, epoch, recorded(range(10), seed=10 * draw + epoch), {"learning_rate": 0.1})
    return tmp_path


def test_what_was_written_is_read_back(log):
    margin, runner_up, is_indicator = read_block(log, 1, range(1, 3), 0, 10)
    expected = [recorded(range(10), seed=10 + epoch) for epoch in (1, 2)]
    np.testing.assert_array_equal(margin, [part.margin for part in expected])
    np.testing.assert_array_equal(runner_up, [part.runner_up for part in expected])
    np.testing.assert_array_equal(is_indicator, expected[0].is_indicator)


def test_a_block_is_a_window_of_the_samples(log):
    whole, window = read_block(log, 0, range(3), 0, 10), read_block(log, 0, range(3), 3, 7)
    np.testing.assert_array_equal(window[0], whole[0][:, 3:7])
    np.testing.assert_array_equal(window[2], whole[2][3:7])


def test_curves_are_the_margins_of_the_samples_asked_for_in_their_order(log, monkeypatch):
    whole = read_block(log, 1, range(3), 0, 10)[0]
    monkeypatch.setattr("aumclean.margins.log.ROW_GROUP", 4)  # so that the samples lie in several blocks
    np.testing.assert_array_equal(read_curves(log, 1, range(1, 3), np.array([9, 0, 5])), whole[1:, [9, 0, 5]].T)
    assert read_curves(log, 0, range(3), np.array([], int)).shape == (0, 3)


def test_parts_of_several_ranks_are_one_epoch(tmp_path):
    whole = recorded(range(9))
    for rank in range(2):
        part = slice(rank, None, 2)
        share = EpochMargins(whole.sample_id[part], whole.margin[part], whole.runner_up[part], whole.is_indicator[part])
        write_epoch(tmp_path, 0, 0, share, {}, rank=rank)
    np.testing.assert_array_equal(read_block(tmp_path, 0, range(1), 0, 9)[0], [whole.margin])


@pytest.mark.parametrize(("ids", "times"), [([0, 1, 3], 0), ([0, 1, 2, 3], 2)])
def test_a_sample_missing_or_recorded_twice_is_refused(tmp_path, ids, times):
    write_epoch(tmp_path, 0, 0, recorded(ids), {})
    if times == 2:
        write_epoch(tmp_path, 0, 0, recorded([2]), {}, rank=1)
    with pytest.raises(RunError, match=f"sample 2 was recorded {times} times in epoch 0"):
        read_block(tmp_path, 0, range(1), 0, 4)


def test_unsorted_or_repeated_ids_are_not_written(tmp_path):
    for ids in ([1, 0], [0, 0]):
        with pytest.raises(ValueError, match="ascend"):
            write_epoch(tmp_path, 0, 0, recorded(ids), {})
    assert not list(tmp_path.rglob("*.parquet"))


def test_epochs_count_up_to_the_first_gap(log):
    assert recorded_epochs(log, 0) == 3
    epoch_file(log, 0, 1).unlink()
    assert recorded_epochs(log, 0) == 1


def test_other_tools_read_the_folder_as_one_table(log):
    pattern = str(log / "**" / "*.parquet")
    by_duckdb = duckdb.sql(
        f"SELECT draw, epoch, sample_id, margin FROM read_parquet('{pattern}', hive_partitioning=true)"
    ).df()
    by_polars = pl.read_parquet(pattern, hive_partitioning=True).to_pandas()
    by_pandas = pd.read_parquet(log)
    keys = ["draw", "epoch", "sample_id"]
    sums = [
        frame.assign(draw=frame["draw"].astype(int), epoch=frame["epoch"].astype(int)).groupby(keys)["margin"].sum()
        for frame in (by_duckdb, by_polars, by_pandas)
    ]
    assert len(sums[0]) == 60
    for other in sums[1:]:
        pd.testing.assert_series_equal(sums[0], other, check_index_type=False)


def test_encoding_and_schedule_are_as_documented(log):
    file = pq.ParquetFile(epoch_file(log, 0, 2))
    column = {
        file.metadata.row_group(0).column(i).path_in_schema: file.metadata.row_group(0).column(i) for i in range(4)
    }
    assert "BYTE_STREAM_SPLIT" in column["margin"].encodings
    assert {part.compression for part in column.values()} == {"ZSTD"}
    assert str(file.schema_arrow.field("runner_up").type) == "int16"
    about = json.loads(file.schema_arrow.metadata[b"aumclean"])
    assert about == {"schema_version": 1, "learning_rate": 0.1}


def test_many_classes_get_a_wider_column(tmp_path):
    part = recorded(range(3))
    many = EpochMargins(part.sample_id, part.margin, np.array([0, 40_000, 1]), part.is_indicator)
    write_epoch(tmp_path, 0, 0, many, {})
    assert read_block(tmp_path, 0, range(1), 0, 3)[1].tolist() == [[0, 40_000, 1]]
