"""A function of many tasks on a Ray cluster, or on the processors of this machine where Ray finds none."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from aumclean.errors import ConfigError, RunError

Task = TypeVar("Task")
Result = TypeVar("Result")


def on_ray(function: Callable[[Task, int], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """The results, as they come; a task whose process died is done again by another.

    Args:
        function: of a task and the number of processors it has. It is sent once to each machine, all that it holds
            included. Where the cluster has GPUs, each task has one.
        tasks: any number.

    Raises:
        ConfigError: when Ray is not installed.
        RunError: when the cluster cannot be reached, or loses a task for good; else what the function raises.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else `uv run` sends the current folder around
    try:
        import ray
    except ImportError:
        raise ConfigError("--ray: Ray is not installed; install aumclean with its extra `ray`") from None
    started = not ray.is_initialized()
    try:
        if started:
            ray.init(logging_level="error", log_to_driver=False)
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        cpus = max(1, int(there.get("CPU", 1)) // gpus) if gpus else 1
        task = ray.remote(num_cpus=cpus, num_gpus=min(1, gpus))(_called)
        shared = ray.put(function)
        waiting = [task.remote(shared, one, cpus) for one in tasks]
        while waiting:
            (done, *_), waiting = ray.wait(waiting)
            yield ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise RunError(f"--ray: {' '.join(str(error).split())[:300]}; repeat the command, what is done stays") from None
    finally:
        if started:
            ray.shutdown()


def _called(function: Callable[[Task, int], Result], task: Task, cpus: int) -> Result:
    return function(task, cpus)
