"""Chance: every purpose has a stream of its own, spawned by name from the one seed, so that no two coincide.

Plain lists of numbers as seeds do coincide: NumPy pads them with zeros, so that `SeedSequence([s])` is
`SeedSequence([s, 0])`.
"""

import zlib

import numpy as np


def spawned(seed: int, *names: str | int) -> np.random.SeedSequence:
    """The seed sequence of a purpose, such as `spawned(0, "training", 1)` of the second draw's training."""
    key = tuple(zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names)
    return np.random.SeedSequence(seed, spawn_key=key)


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy's generator of a purpose."""
    return np.random.default_rng(spawned(seed, *names))


def number(seed: int, *names: str | int) -> int:
    """A seed for torch, 63 bits."""
    return int(spawned(seed, *names).generate_state(1, np.uint64)[0] >> 1)
