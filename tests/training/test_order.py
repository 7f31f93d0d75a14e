import threading

import numpy as np
import pytest
import torch

from aumclean import machine
from aumclean.training import order


def shuffled(n, buffer, block, seed=0):
    return order.shuffled(n, buffer, block, torch.Generator().manual_seed(seed)).numpy()


def limit(monkeypatch, size):
    monkeypatch.setattr(machine, "memory", lambda: size)


@pytest.mark.parametrize("buffer", [1, 3, 7, 64, 999, 1000, 5000])
@pytest.mark.parametrize("block", [1, 8, 1001])
def test_an_epoch_has_each_sample_once_and_no_two_epochs_are_alike(buffer, block):
    first, second = shuffled(1000, buffer, block), shuffled(1000, buffer, block, seed=1)
    assert np.sort(first).tolist() == list(range(1000))
    assert (first != second).any() or block > 1000
    assert (first == shuffled(1000, buffer, block)).all()


def test_blocks_are_read_whole_and_mixed_within_a_buffer():
    n, buffer, block = 10_000, 1000, 20
    for samples in shuffled(n, buffer, block).reshape(-1, buffer):
        _, count = np.unique(samples // block, return_counts=True)
        assert (count == block).all()
        assert np.mean(np.diff(samples // block) == 0) < 0.05  # 0.019 of a full shuffle of fifty blocks
        assert np.ptp(samples) > n / 2, "of all parts of the data"


def test_what_fits_is_shuffled_as_a_whole():
    full = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_array_equal(shuffled(1000, 1000, 8), full)


def test_two_buffers_of_each_reader_take_half_of_the_memory(monkeypatch):
    images = np.zeros((1000, 10, 10, 3), np.uint8)
    limit(monkeypatch, 2 * images.nbytes)
    assert order.buffer_of(images, readers=1) == order.buffer_of(images, readers=9) == 1000
    limit(monkeypatch, images.nbytes)
    assert order.buffer_of(images, readers=1) == 250
    assert order.buffer_of(images, readers=2) == 125
    limit(monkeypatch, 10)
    assert order.buffer_of(images, readers=1) == 1


def test_a_buffer_has_many_blocks_however_small_it_is(monkeypatch):
    images = np.zeros((10_000, 8, 8, 3), np.uint8)
    monkeypatch.setattr(order, "BLOCK", 10 * images[0].nbytes)
    monkeypatch.setattr(order, "BLOCKS", 100)
    assert [order.block_of(images, buffer) for buffer in (5000, 1000, 500, 99)] == [10, 10, 5, 1]


def test_what_is_trained_on_has_been_read_and_no_more_than_two_buffers_are(monkeypatch):
    read, images = [], np.zeros((1000, 4, 4, 3), np.uint8)
    monkeypatch.setattr(order, "_touch", lambda _, samples: read.extend(samples))
    batches = torch.from_numpy(shuffled(1000, 200, 10)).tensor_split(50)
    trained: list[int] = []
    for batch in order.read_ahead(batches, images, 200):
        trained += batch.tolist()
        assert set(trained) <= set(read)
        assert len(read) <= len(trained) + 400
    assert sorted(trained) == sorted(read) == list(range(1000))


def test_a_training_that_ends_early_leaves_no_reader():
    images = np.zeros((1000, 4, 4, 3), np.uint8)
    batches = order.read_ahead(torch.arange(1000).tensor_split(50), images, 200)
    next(batches)
    assert threading.active_count() > 1
    before = threading.active_count()
    batches.close()
    assert threading.active_count() < before
