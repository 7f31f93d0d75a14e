import math
import os
import signal
import subprocess
import sys
import time

import loky
import psutil
import pytest

from aumclean.dataset import parallel
from aumclean.dataset.parallel import in_processes
from aumclean.errors import DataError


def double(number):
    return 2 * number


def process(_):
    return os.getpid()


def unhurried(_):
    time.sleep(0.1)
    return os.getpid()


def test_processes_start_where_what_is_left_takes_longer_than_to_start_them(monkeypatch):
    monkeypatch.setattr(parallel, "STARTING", 0.5)
    assert set(in_processes(process, range(9), 9, workers=2)) == {os.getpid()}
    first, *others = in_processes(unhurried, range(9), 9, workers=2)
    assert first == os.getpid()
    assert first not in others


@pytest.fixture
def at_once(monkeypatch):
    """Processes start however little is left to do."""
    monkeypatch.setattr(parallel, "STARTING", -math.inf)


def test_results_come_in_the_order_of_the_tasks(at_once):
    assert list(in_processes(double, iter(range(9)), 9, workers=2)) == list(range(0, 18, 2))


def test_no_more_processes_work_than_asked_for(at_once):
    """Beside them loky has two that only clean up."""
    working = set()
    for _ in in_processes(process, range(30), 30, workers=2):
        children = psutil.Process().children(recursive=True)
        working |= {child.pid for child in children if "popen_loky_posix" in " ".join(child.cmdline())}
    assert len(working) == 2


def test_where_no_process_can_be_started_this_one_does_all_and_says_so(at_once, monkeypatch, caplog):
    def refused(workers, **options):
        raise PermissionError(13, "Permission denied")  # as without a usable /dev/shm

    monkeypatch.setattr(loky, "ProcessPoolExecutor", refused)
    assert set(in_processes(process, range(9), 9, workers=2)) == {os.getpid()}
    assert "no processes can be started (permission denied)" in caplog.text


def killed_where_it_is_not_the_parent(parent):
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_the_system_ends_is_said_in_one_line(at_once):
    with pytest.raises(DataError, match="was ended by the system, .* memory is short; give fewer with --workers$"):
        list(in_processes(killed_where_it_is_not_the_parent, [os.getpid()] * 9, 9, workers=2))


SLOWLY = """
import os, sys, time
from aumclean.dataset import parallel

def slowly(number):
    if number:
        os.write(1, f"{os.getpid()}\\n".encode())  # at once, where print writes the end of the line by itself
        time.sleep(60)

parallel.STARTING = float("-inf")
list(parallel.in_processes(slowly, range(9), 9, workers=2))
"""


def test_processes_end_with_the_one_that_was_killed(tmp_path):
    (tmp_path / "slowly.py").write_text(SLOWLY)
    parent = subprocess.Popen([sys.executable, tmp_path / "slowly.py"], stdout=subprocess.PIPE, text=True)
    children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
    trackers = [child for child in psutil.Process(parent.pid).children(recursive=True) if child not in children]
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs([*children, *trackers], timeout=60)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
