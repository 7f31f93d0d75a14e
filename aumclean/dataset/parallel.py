"""A function of many tasks, in parallel processes."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from typing import Any, TypeVar

from aumclean.errors import DataError
from aumclean.files import atomic

Task = TypeVar("Task")
Result = TypeVar("Result")

STARTING = 2.0  # seconds of work that starting processes costs

logger = logging.getLogger(__name__)


def in_processes(
    function: Callable[[Task], Result], tasks: Iterable[Task], count: int, *, workers: int
) -> Iterator[Result]:
    """The results in the order of the tasks, which are taken no faster than the results are.

    This process does the first task, and the others too while they promise to take less time than starting processes
    does. Those are loky's, which need no guard in the caller's main module; they are gone when this ends. Where the
    system lets nobody start processes that talk to each other (no usable /dev/shm), this process does all by itself.

    Args:
        function: of one task; both and the result are pickled.
        tasks: any number.
        count: about how many tasks there are.
        workers: how many processes; with one there are none.

    Raises:
        DataError: when one of the processes was killed.
    """
    tasks, seconds = iter(tasks), 0.0
    for done, task in enumerate(tasks, start=1):
        began = time.perf_counter()
        result = function(task)
        seconds += time.perf_counter() - began
        yield result
        if workers > 1 and seconds / done * (count - done) > STARTING:
            break
    else:
        return
    executor = _executor(workers)
    if executor is None:
        yield from map(function, tasks)
        return
    ahead: deque[Any] = deque()
    with executor:
        try:
            for task in tasks:
                ahead.append(executor.submit(function, task))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BrokenExecutor:
            raise DataError(
                "a process that decodes images was ended by the system, as it does where memory is short; give fewer "
                "with --workers"
            ) from None
        finally:
            for future in ahead:
                future.cancel()


def _end_with(parent: int) -> None:
    """End this process soon after its parent: one that was killed cannot say that nobody waits for results any more."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _executor(workers: int) -> Any:
    """Processes, or None where there can be none."""
    import loky

    try:
        return loky.ProcessPoolExecutor(workers, initializer=_end_with, initargs=(os.getpid(),))
    except OSError as error:
        logger.warning("no processes can be started (%s): decoding in this one, slower", atomic.reason(error))
        return None
