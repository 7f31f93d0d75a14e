"""Where nothing can be written: a home, cache, run, output or temporary folder that is read-only or not there."""

import ctypes
import math
import os
import tempfile
from pathlib import Path

import pytest

from aumclean.dataset import decode, parallel
from tests.faults.child import in_child
from tests.faults.conftest import COMMANDS, state
from tests.faults.test_interrupts import of_scan

NEW_MOUNTS, READ_ONLY, REMOUNT, BIND, TREE, PRIVATE = 1 << 17, 1, 1 << 5, 1 << 12, 1 << 14, 1 << 18
NOWHERE = "/dev/null/none"  # below a file there is nothing, and nothing can be made


def read_only(*folders):
    """Makes folders read-only for a process: by mounts that only it sees for root, else by their permissions."""

    def mount(source, target, flags):
        if libc.mount(str(source).encode(), str(target).encode(), None, flags, None):
            raise OSError(ctypes.get_errno(), "no mounts here")

    def prepare():
        for folder in folders:
            if os.geteuid():
                Path(folder).chmod(0o555)
            else:
                mount(folder, folder, BIND)
                mount(folder, folder, BIND | REMOUNT | READ_ONLY)

    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: (os.geteuid() or libc.unshare(NEW_MOUNTS) or mount("none", "/", PRIVATE | TREE), prepare())


@pytest.fixture(scope="module", autouse=True)
def can_be_read_only(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    child = os.fork()
    if child == 0:
        try:
            read_only(folder)()
            (folder / "x").write_text("")
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    why = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if why not in {13, 30}:  # permission denied, read-only file system
        pytest.skip("needs a user who cannot write everywhere, or one who may mount")


def homeless(home):
    """Makes a process believe that its home is there."""

    def prepare():
        os.environ.pop("XDG_CACHE_HOME", None)
        os.environ["HOME"] = str(home)
        tempfile.tempdir = str(home)  # and its temporary folder

    return prepare


def refused(done, *named):
    """One line says what cannot be written."""
    (line,) = [line for line in done.err.splitlines() if line.startswith("aumclean: error: ")]
    assert done.code == 2 and "internal error" not in line and "Traceback" not in done.err
    assert all(str(name) in line for name in named), line


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_decode_nothing_need_no_home_and_no_temporary_folder(command, world, tmp_path):
    words = world(command)
    assert in_child(words).code == 0
    after = state(tmp_path)
    words = world(command)
    done = in_child(words, homeless(NOWHERE))
    assert done.code == 0, done.err
    assert state(tmp_path) == after


def test_a_scan_without_a_usable_home_names_the_cache_and_goes_where_it_is_told(folder, tmp_path):
    import torch._dynamo  # noqa: F401 - makes a folder of its own in the temporary one, once in a process

    words = of_scan(folder, tmp_path / "run")
    at = words.index("--cache-dir")
    home = tmp_path / "home"
    home.mkdir()
    for place, prepare in ((NOWHERE, homeless(NOWHERE)), (home, lambda: (homeless(home)(), read_only(home)()))):
        refused(in_child([*words[:at], *words[at + 2 :]], prepare), place, "--cache-dir")
        assert not (tmp_path / "run").exists()
    done = in_child(words, homeless(NOWHERE))
    assert done.code == 0, done.err


def test_a_read_only_cache_is_named_and_no_space_is_asked_for(folder, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    done = in_child(of_scan(folder, tmp_path / "run"), read_only(cache))
    refused(done, cache, "--cache-dir")
    assert "free some space" not in done.err


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or os.geteuid() != 0, reason="needs to mount over /dev/shm")
def test_without_a_usable_shared_memory_one_process_decodes(folder, tmp_path):
    def prepare():
        parallel.STARTING, decode.CHUNK = -math.inf, 5
        read_only("/dev/shm")()

    done = in_child([*of_scan(folder, tmp_path / "run"), "--workers", "2"], prepare)
    assert done.code == 0, done.err
    assert "no processes can be started (read-only file system)" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_read_only_is_named_and_stays_and_other_folders_can_be_written(command, world, tmp_path):
    words = world(command)
    before = state(tmp_path)
    assert in_child(words).code == 0
    after = state(tmp_path)
    for place in (tmp_path / "data" / "run", tmp_path / "work"):
        words = world(command)
        done = in_child(words, read_only(place))
        name = place.relative_to(tmp_path).as_posix()
        written = [file for file in after if before.get(file) != after[file] and file.startswith(f"{name}/")]
        if written or done.code:  # the run is also what is locked
            refused(done, place)
            assert state(tmp_path) == before
        else:
            assert state(tmp_path) == after
