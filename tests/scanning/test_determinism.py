"""The same labels are flagged for the same seed, however many threads, jobs and decoding processes there are.

Processes of torchrun and draws trained apart are in `test_distributed.py`.
"""

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from aumclean.run.directory import Run


def flagged(run):
    report = pq.read_table(run.report("parquet"), columns=["path", "flagged"])
    return {row["path"] for row in report.to_pylist() if row["flagged"]}


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "jobs", "workers"), [(2, 2, 2), (2, 1, 1)])
def test_the_flagged_set_does_not_depend_on_threads_jobs_and_workers(
    planted, finished, tmp_path, threads, jobs, workers
):
    run = Run(tmp_path / "run")
    command = [sys.executable, "-m", "aumclean", "-q", "scan", planted.root, "--out", run.path, *planted.words]
    more = ["--jobs", jobs, "--workers", workers, "--cache-dir", tmp_path / "cache"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE"}  # on a busy machine waiting threads would take minutes of its time
    subprocess.run([*command, *map(str, more)], check=True, env=environment, capture_output=True)
    assert flagged(run) == flagged(finished.run)
    if threads <= jobs:  # a thread for each draw: not even the last digit differs
        for file in finished.run.margins.rglob("*.parquet"):
            assert pq.read_table(file).equals(pq.read_table(run.margins / file.relative_to(finished.run.margins)))
