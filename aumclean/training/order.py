"""The order of an epoch: all samples shuffled, or blocks of them where the images exceed the memory.

Images that lie on disk are read at random no faster than it seeks. So they are shuffled as `tf.data` and WebDataset do
it: blocks of neighbours come in random order, and the samples of as many blocks as memory can hold are shuffled.
"""

import mmap
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from aumclean import machine

# Bytes of a block at most, and how many of them a buffer has at least: data are often sorted by class, so that a dozen
# blocks hold few classes. docs/lab/speed.md has tables of both.
BLOCK, BLOCKS = 1 << 20, 1 << 10
PIECE = 1 << 24  # bytes that are read before anyone looks whether to go on


def buffer_of(images: np.ndarray, readers: int) -> int:
    """How many samples are shuffled at a time: all, where they take at most half of the memory.

    Else two buffers take that half, the one that is trained on and the one that is being read.

    Args:
        images: [n, ...].
        readers: trainings that read such images at the same time, each in its own order.
    """
    half, n = machine.memory() // 2, len(images)
    return n if images.nbytes <= half else max(1, half // (2 * readers) * n // images.nbytes)


def shuffled(n: int, buffer: int, block: int, generator: torch.Generator) -> torch.Tensor:
    """Each of n samples once, int64 [n].

    Args:
        n: how many there are.
        buffer: how many are shuffled at a time, in whole blocks.
        block: how many neighbours stay in one buffer.
        generator: of chance.
    """
    if buffer >= n:
        return torch.randperm(n, generator=generator)
    blocks, at_once = -(-n // block), max(1, buffer // block)
    turn = torch.randperm(blocks, generator=generator) // at_once  # the buffer that each block is in
    place = turn.repeat_interleave(block)[:n] + torch.rand(n, generator=generator, dtype=torch.float64)
    return place.argsort()


def block_of(images: np.ndarray, buffer: int) -> int:
    """How many images are a block where so many are shuffled at a time."""
    return max(1, min(BLOCK * len(images) // max(1, images.nbytes), buffer // BLOCKS))


def read_ahead(batches: Sequence[torch.Tensor], images: np.ndarray, buffer: int) -> Iterator[torch.Tensor]:
    """The batches; while those of one buffer are trained on, the images of the next are read, as they lie on disk."""
    if buffer >= len(images):
        yield from batches
        return
    parts = np.array_split(np.arange(len(batches)), min(len(batches), -(-len(images) // buffer)))
    buffers = [[batches[number] for number in part] for part in parts]
    with ThreadPoolExecutor(1) as reader:

        def read(some: list[torch.Tensor]) -> list[Future[None]]:
            samples = np.sort(torch.cat(some).numpy())
            pieces = np.array_split(samples, -(-len(samples) * images[:1].nbytes // PIECE))
            return [reader.submit(_touch, images, piece) for piece in pieces]

        try:
            reading = read(buffers[0])
            for now, later in zip(buffers, [*buffers[1:], None], strict=True):
                for piece in reading:
                    piece.result()
                reading = read(later) if later else []
                yield from now
        finally:
            reader.shutdown(cancel_futures=True)


def _touch(images: np.ndarray, samples: np.ndarray) -> None:
    """Have the system read the samples, int64 ascending: those of a mapped file are in its page cache then."""
    base: Any = images
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = isinstance(base, mmap.mmap) and images.flags.c_contiguous
    if mapped and hasattr(mmap, "MADV_WILLNEED"):  # else it reads around each page what nobody asked for
        first = images.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
        for run in np.split(samples, np.flatnonzero(np.diff(samples) != 1) + 1):
            start = first + int(run[0]) * images[0].nbytes
            aligned = start - start % mmap.PAGESIZE
            base.madvise(mmap.MADV_WILLNEED, aligned, start - aligned + len(run) * images[0].nbytes)
    images[samples].max()  # waits for them
