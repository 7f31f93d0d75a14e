"""Two processes, as torchrun starts them, on one CPU."""

import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from aumclean.run import Run
from aumclean.scan import resume


def torchrun(*arguments, processes=2):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    return subprocess.run(
        [*command, "-m", "aumclean", *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.fixture(scope="module")
def together(planted, tmp_path_factory):
    """The planted folder scanned by two processes."""
    out = tmp_path_factory.mktemp("together") / "run"
    done = torchrun(
        "scan", planted.root, "--device", "cpu", "--epochs", "8", "--batch-size", "16", "--no-flip", "--out", out
    )
    assert done.returncode == 0, done.stderr
    return Run(out), done


@pytest.mark.slow
def test_two_processes_find_the_planted_errors_and_speak_once(together, planted):
    run, done = together
    report = pq.read_table(run.report("parquet")).to_pylist()
    assert {row["path"] for row in report[:30]} == planted.wrong
    assert done.stdout == f"{run.path}\n"
    assert done.stderr.count("what stays:") == 1


@pytest.mark.slow
def test_every_sample_is_recorded_once_per_epoch_in_the_parts_of_both(together):
    run, _ = together
    for draw in range(2):
        for epoch in range(8):
            parts = sorted((run.margins / f"draw={draw}" / f"epoch={epoch:03d}").glob("part-*.parquet"))
            assert [part.name for part in parts] == ["part-0.parquet", "part-1.parquet"]
            ids = np.concatenate([pq.read_table(part)["sample_id"].to_numpy() for part in parts])
            assert sorted(ids.tolist()) == list(range(360))


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped(together, planted):
    run, _ = together
    before = run.report("csv").read_bytes()
    run.model(1).unlink()  # as if killed during the second draw, before its first checkpoint
    resume(run)
    parts = [part.name for part in (run.margins / "draw=1").rglob("*.parquet")]
    assert parts == ["part-0.parquet"] * 8
    after = pq.read_table(run.report("parquet")).to_pylist()
    assert {row["path"] for row in after[:30]} == planted.wrong
    assert before != b""
