"""Several trainings at once in one process: a thread each, with a share of the processors or an own CUDA stream.

Threads are enough, because torch lets go of the interpreter while it computes. So memory holds the images once, Ctrl-C
and the end of the process reach every training, and nothing has to be sent to and fro.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import torch

from aumclean.training.device import own_stream

Training = Callable[[threading.Event], None]
"""Trains; ends early, by `Stopped`, when the event is set."""


class Stopped(Exception):
    """A training ended early because another one failed; the failure itself is what gets reported."""


def side_by_side(trainings: Sequence[Training], jobs: int, device: torch.device) -> None:
    """Run trainings, `jobs` of them at a time.

    A training computes the same as it would alone with as many threads as its share has: `jobs` of them have the
    threads of torch divided among them.

    Args:
        trainings: what to run, begun in this order.
        jobs: how many at a time; one runs in the calling thread, with all threads of torch.
        device: where they compute.

    Raises:
        Whatever the first training to fail raised, when the others have ended too.
    """
    stop = threading.Event()
    if jobs == 1:
        for training in trainings:
            training(stop)
        return
    threads = torch.get_num_threads()

    def run(training: Training) -> None:
        torch.set_num_threads(max(1, threads // jobs))  # OpenMP keeps the number per thread
        with own_stream(device):
            training(stop)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done in as_completed([pool.submit(run, training) for training in trainings]):
                done.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            torch.set_num_threads(threads)
