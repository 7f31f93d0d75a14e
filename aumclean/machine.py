"""What this process may use of its machine, by the limits of its container, too."""

from contextlib import suppress
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def cpus() -> int:
    """Processors this process may use, by its affinity and by the quota of its container."""
    import loky  # a third of a second, which only those who start processes should wait for

    return int(loky.cpu_count())


def memory() -> int:
    """Bytes this process may use: those of the machine, or the least limit of a control group that it is in."""
    from psutil import virtual_memory  # which what reads finished runs does without

    limits = [virtual_memory().total]
    with suppress(OSError):  # no Linux
        for line in OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":  # of version 2, which has one tree for all
                limits += _limits(CONTROL_GROUPS, path, "memory.max")
            elif "memory" in controllers.split(","):
                limits += _limits(CONTROL_GROUPS / "memory", path, "memory.limit_in_bytes")
    return int(min(limits))


def free_memory() -> int:
    """Bytes of these that nobody uses."""
    from psutil import virtual_memory

    return min(memory(), int(virtual_memory().available))


def _limits(tree: Path, path: str, name: str) -> list[int]:
    """The limits of a group and of those above it. Inside a container its own group is the top of the tree."""
    group, found = Path(path.strip("/")), []
    for above in (group, *group.parents):
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            found.append(int((tree / above / name).read_text()))
    return found
