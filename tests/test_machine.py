import os

import pytest
from psutil import virtual_memory

from aumclean import machine


@pytest.fixture
def control_groups(monkeypatch, tmp_path):
    """Write files of a tree of control groups; `own` is what the system says of this process."""

    def make(own, **limits):
        monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
        monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "cgroup")
        (tmp_path / "cgroup").write_text(own)
        for name, limit in limits.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{limit}\n")

    return make


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": 1000}, 1000),
        ("0::/\n", {"memory.max": "max"}, None),
        ("0::/pod/job\n", {"pod/job/memory.max": "max", "pod/memory.max": 2000}, 2000),
        ("0::/pod/job\n", {"memory.max": 3000}, 3000),  # of a container, which sees its own group at the top
        ("5:cpu,memory:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": 4000}, 4000),
        ("5:memory:/job\n", {"memory/memory.limit_in_bytes": 5000}, 5000),
        ("5:memory:/job\n", {"memory/memory.limit_in_bytes": 1 << 62}, None),
        ("5:cpu:/job\n", {"memory/memory.limit_in_bytes": 6000}, None),
    ],
)
def test_the_memory_is_the_least_limit_of_the_control_groups(control_groups, own, limits, expected):
    control_groups(own, **limits)
    assert machine.memory() == (expected or virtual_memory().total)
    assert machine.free_memory() <= machine.memory()


def test_without_control_groups_it_is_the_memory_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "none")
    assert machine.memory() == virtual_memory().total


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to processors")
def test_only_processors_this_process_may_use_count():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
