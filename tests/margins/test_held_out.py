from dataclasses import replace

import numpy as np
import pytest

from aumclean.errors import RunError
from aumclean.margins.held_out import HeldOut, log_softmax, most_held_out, read_held_out, read_part, write_held_out


def held(ids, fold, n_classes, seed=0):
    logits = np.random.default_rng(seed).normal(size=(len(ids), n_classes)).astype(np.float32) * 3
    return HeldOut(np.array(ids, np.int64), np.full(len(ids), fold, np.int32), log_softmax(logits))


def test_parts_are_read_together_by_sample(tmp_path):
    first, second = held([1, 4, 9], 0, 7), held([0, 4, 5], 1, 7, seed=1)
    write_held_out(tmp_path / "part-0.parquet", first)
    write_held_out(tmp_path / "part-1.parquet", second)
    found = read_held_out(tmp_path, 7)
    assert found.sample.tolist() == [0, 1, 4, 4, 5, 9]
    assert found.fold.tolist() == [1, 0, 0, 1, 1, 0]
    np.testing.assert_allclose(found.log_probs[[1, 2, 5]], first.log_probs, atol=0.01)


def test_what_peers_take_samples_for_is_kept(tmp_path):
    peers = (np.array([3, 0, 6], np.int32), np.array([3, 1, 6], np.int32))
    write_held_out(tmp_path / "features.parquet", replace(held([1, 4, 9], 0, 7), peers=peers))
    found = read_part(tmp_path / "features.parquet", 7).peers
    assert [one.tolist() for one in found] == [[3, 0, 6], [3, 1, 6]]


def test_of_many_classes_the_likeliest_are_kept_and_the_rest_share_what_is_left(tmp_path):
    whole = held(range(5), 0, 400)
    write_held_out(tmp_path / "part-0.parquet", whole)
    found = read_held_out(tmp_path, 400).log_probs
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=0.01)
    top = np.argsort(-whole.log_probs, axis=1)[:, :100]
    np.testing.assert_allclose(*(np.take_along_axis(each, top, 1) for each in (found, whole.log_probs)), atol=0.01)


def test_a_missing_a_damaged_and_another_run_s_file_are_refused(tmp_path):
    with pytest.raises(RunError, match="scan anew"):
        read_held_out(tmp_path, 3)
    write_held_out(tmp_path / "part-0.parquet", held([0], 0, 4))
    with pytest.raises(RunError, match="4 classes"):
        read_held_out(tmp_path, 3)
    (tmp_path / "part-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match="cannot be read"):
        read_held_out(tmp_path, 4)


def test_of_many_classes_fewer_samples_are_kept():
    assert most_held_out(10, 2) == 20_000
    assert most_held_out(10_000, 2) == 1000
