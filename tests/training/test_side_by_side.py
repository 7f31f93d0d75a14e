import threading
from functools import partial

import numpy as np
import pytest
import torch

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.training import loop
from aumclean.training.device import make_accelerator
from aumclean.training.models import check_model
from aumclean.training.side_by_side import Stopped, side_by_side

CPU = torch.device("cpu")
RECIPE = Recipe("resnet9", epochs=2, learning_rate=0.02, batch_size=16, weight_decay=1e-4)
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
DATASET = Dataset(IMAGES, np.arange(60) % 3, ("a", "b", "c"))


def margins_of(jobs, seeds=(0, 1, 2)):
    """The margins of trainings with these seeds, `jobs` at a time."""
    found, accelerator = {}, make_accelerator("cpu")

    def train(seed, stop):
        found[seed] = [epoch.margin for epoch in loop.train(DATASET, RECIPE, seed=seed, accelerator=accelerator)]

    side_by_side([partial(train, seed) for seed in seeds], jobs, CPU)
    return {seed: np.stack(margins) for seed, margins in found.items()}


@pytest.mark.parametrize("jobs", [2, 3])
def test_side_by_side_computes_bit_for_bit_what_one_after_the_other_does(jobs):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone, together = margins_of(1), margins_of(jobs)
    finally:
        torch.set_num_threads(threads)
    assert alone.keys() == together.keys()
    for seed, margin in alone.items():
        np.testing.assert_array_equal(margin, together[seed])


def test_the_threads_of_torch_are_divided_and_given_back():
    threads, seen = torch.get_num_threads(), []
    torch.set_num_threads(4)
    try:
        side_by_side([lambda stop: seen.append(torch.get_num_threads())] * 2, 2, CPU)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)
    assert seen == [2, 2]


def test_a_failure_stops_the_others_and_is_what_gets_raised():
    begun, ended = threading.Event(), []

    def endless(stop):
        begun.set()
        if not stop.wait(timeout=30):
            ended.append("never told")
        ended.append("told")
        raise Stopped

    def failing(stop):
        begun.wait(timeout=30)
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        side_by_side([endless, failing, lambda stop: ended.append("begun too late")], 2, CPU)
    assert ended[0] == "told"


def test_networks_that_draw_chance_while_they_train_are_known():
    assert not check_model("resnet9", 3, 8)
    assert check_model("mobilenet_v3_small", 3, 32)
