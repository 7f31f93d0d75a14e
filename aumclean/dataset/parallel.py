"""A function of many tasks, in parallel processes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

Task = TypeVar("Task")
Result = TypeVar("Result")

SERIAL_BELOW = 4  # tasks: starting processes costs more than it saves


def in_processes(
    function: Callable[[Task], Result], tasks: Iterable[Task], count: int, *, workers: int
) -> Iterator[Result]:
    """The results in the order of the tasks, which are taken no faster than the results are.

    With loky's processes (joblib brings them), which need no guard in the caller's main module; they are gone when this
    ends.

    Args:
        function: of one task; both and the result are pickled.
        tasks: any number.
        count: about how many tasks there are.
        workers: how many processes; with one, or few tasks, there are none.
    """
    if workers == 1 or count < SERIAL_BELOW:
        yield from map(function, tasks)
        return
    ahead: deque[Any] = deque()
    with ProcessPoolExecutor(workers) as executor:
        try:
            for task in tasks:
                ahead.append(executor.submit(function, task))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
