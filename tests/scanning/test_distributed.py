"""Two processes, as torchrun starts them, on one CPU; and draws trained apart in one run directory."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from aumclean.config.reading import load
from aumclean.dataset.read import read_samples
from aumclean.errors import ConfigError, RunError
from aumclean.run.directory import Run
from aumclean.scanning.scan import resume, scan
from tests.conftest import PLANTED_WORDS
from tests.features.conftest import drawing, save_jpeg

OPTIONS = ["--device", "cpu", *PLANTED_WORDS]


def start_torchrun(*arguments, processes=2):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    return subprocess.Popen(
        [*command, "-m", "aumclean", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["draws", "data"])
def together(planted, tmp_path_factory, request):
    """The planted folder scanned by two processes, each with a draw of its own or with half of every draw."""
    run = Run(tmp_path_factory.mktemp("together") / "run")
    process = start_torchrun("scan", planted.root, *OPTIONS, "--parallel", request.param, "--out", run.path)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return run, out, err, request.param


def auroc(run, wrong):
    report = pq.read_table(run.report("parquet"), columns=["path", "aum"]).to_pylist()
    return roc_auc_score([row["path"] in wrong for row in report], [-row["aum"] for row in report])


@pytest.mark.slow
def test_two_processes_find_what_one_finds_and_speak_once(together, planted, finished):
    run, out, err, _ = together
    report = pq.read_table(run.report("parquet")).to_pylist()
    assert {row["path"] for row in report[:30]} == planted.wrong
    assert abs(auroc(run, planted.wrong) - auroc(finished.run, planted.wrong)) < 0.01
    assert out == f"{run.path}\n"
    assert err.count("what stays:") == 1
    record = run.read()
    assert (record.state, record.epochs_done) == ("done", [6, 6])
    assert not list((run.path / "checkpoints").iterdir())


@pytest.mark.slow
def test_every_sample_is_recorded_once_per_epoch_in_the_parts_of_all(together):
    run, _, _, parallel = together
    for draw in range(2):
        for epoch in range(6):
            parts = sorted((run.margins / f"draw={draw}" / f"epoch={epoch:03d}").glob("part-*.parquet"))
            assert [part.name for part in parts] == ["part-0.parquet", "part-1.parquet"][: 1 + (parallel == "data")]
            ids = np.concatenate([pq.read_table(part)["sample_id"].to_numpy() for part in parts])
            assert sorted(ids.tolist()) == list(range(360))


@pytest.mark.slow
def test_a_draw_of_its_own_has_the_margins_of_a_single_process(together, finished):
    run, _, _, parallel = together
    if parallel == "data":
        pytest.skip("batch statistics are of each process's share")
    for file in finished.run.margins.rglob("*.parquet"):
        assert pq.read_table(file).equals(pq.read_table(run.margins / file.relative_to(finished.run.margins)))


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped(together, planted):
    run, *_ = together
    run.model(1).unlink()  # as if killed during the second draw, before its first checkpoint
    resume(run)
    parts = [part.name for part in (run.margins / "draw=1").rglob("*.parquet")]
    assert parts == ["part-0.parquet"] * 6
    after = pq.read_table(run.report("parquet")).to_pylist()
    assert {row["path"] for row in after[:30]} == planted.wrong


@pytest.mark.release
def test_two_processes_look_at_each_image_once_and_find_what_one_finds(tmp_path, aumclean):
    for seed in range(36):
        image = drawing(seed, (64, 64)).convert("RGB" if seed % 2 else "L").convert("RGB")
        save_jpeg(image, tmp_path / "photos" / ("colour" if seed % 2 else "grey") / f"{seed:02d}.jpg", 90)
    words = ["scan", tmp_path / "photos", "--preset", "frozen", "--device", "cpu", "--workers", "1"]
    process = start_torchrun(*words, "--cache-dir", tmp_path / "shared", "--out", tmp_path / "two")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    shards = [pq.read_table(file)["content_hash"].to_pylist() for file in (tmp_path / "shared").rglob("*-*/*.parquet")]
    assert sorted(map(len, shards)) == [18, 18]
    assert len(set(shards[0]) | set(shards[1])) == 36
    alone = aumclean(*words, "--cache-dir", tmp_path / "own", "--out", tmp_path / "one")
    assert alone.code == 0, alone.err
    reports = [pq.read_table(tmp_path / run / "report.parquet") for run in ("one", "two")]
    assert reports[0].equals(reports[1])


def children_of(process):
    """Process ids of the ranks, by rank."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout
    ranks = {}
    for pid in listed.split():
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        found = [entry for entry in entries if entry.startswith(b"RANK=")]
        if found:
            ranks[int(found[0][5:])] = int(pid)
    return ranks


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["draws", "data"])
def test_a_killed_rank_ends_all_in_words_and_the_run_goes_on(planted, tmp_path, parallel):
    run = Run(tmp_path / "run")
    process = start_torchrun(
        "scan", planted.root, *OPTIONS, "--epochs", "12", "--parallel", parallel, "--out", run.path
    )
    deadline = time.monotonic() + 300
    while not list(run.margins.rglob("part-0.parquet")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.05)
    os.kill(children_of(process)[1], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode != 0
    (line,) = [line for line in err.splitlines() if "aumclean: error:" in line]
    assert "go on with: aumclean scan --resume" in line
    assert "Traceback (most recent call last)" not in err.split("aumclean: error:")[0]
    assert out == ""
    with run.lock():  # nobody holds it any more
        pass
    resumed = resume(run)
    assert {row["path"] for row in resumed.verdict.report.slice(0, 30).to_pylist()} == planted.wrong


CONNECTED_BY_OTHERS = """
import sys
from pathlib import Path
import torch.distributed
from aumclean.config.reading import load
from aumclean.dataset.read import read_samples
from aumclean.scanning.scan import scan
torch.distributed.init_process_group("gloo")
options = {"out": Path(sys.argv[2]), "arch": "resnet8", "epochs": 2, "parallel": "data", "device": "cpu"}
done = scan(read_samples(Path(sys.argv[1])), load(options, environment={}))
assert torch.distributed.get_world_size() == 2
assert (done.verdict is None) == (torch.distributed.get_rank() == 1)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_the_library_works_in_processes_that_somebody_else_connected(planted, tmp_path):
    """As Ray Train does."""
    script = tmp_path / "work.py"
    script.write_text(CONNECTED_BY_OTHERS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, planted.root, tmp_path / "run"], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run" / "margins").rglob("part-1.parquet"))) == 4


def settled(out, **options):
    return load({"epochs": 3, "flip": False, "jobs": 1, "out": out, **options}, environment={})


def test_draws_trained_apart_make_the_run_of_one_scan(folder, tmp_path):
    whole = scan(read_samples(folder), settled(tmp_path / "whole"))
    shared = tmp_path / "shared"
    first = scan(read_samples(folder), settled(shared, only_draw=1))
    assert first.verdict is None
    assert Run(shared).untrained() == [0]
    with pytest.raises(RunError, match="0 of 3 epochs of draw 0"):
        Run(shared).require_finished()
    last = scan(read_samples(folder), settled(shared, only_draw=0))
    assert last.verdict.report.equals(whole.verdict.report)
    assert Run(shared).read().state == "done"
    assert Run(shared).report("csv").read_bytes() == whole.run.report("csv").read_bytes()
    again = scan(read_samples(folder), settled(shared, only_draw=0))  # as a batch system that repeats a job
    assert again.verdict is None


def test_draws_side_by_side_make_the_run_of_one_after_the_other(folder, tmp_path):
    one, two = (scan(read_samples(folder), settled(tmp_path / str(jobs), jobs=jobs)) for jobs in (1, 2))
    if os.environ.get("OMP_NUM_THREADS") == "1":  # else the draws of the first have more threads each
        assert one.verdict.report.equals(two.verdict.report)
    assert two.run.read().epochs_done == [3, 3]
    assert not list((two.run.path / "checkpoints").iterdir())


def test_a_draw_is_trained_once_at_a_time_and_nobody_writes_over_it(folder, tmp_path):
    out = tmp_path / "run"
    scan(read_samples(folder), settled(out, only_draw=0))
    run = Run(out)
    with run.lock_draw(1):
        with pytest.raises(RunError, match="another aumclean trains draw 1"):
            scan(read_samples(folder), settled(out, only_draw=1))
        with pytest.raises(RunError, match="another aumclean trains one of its draws"):
            scan(read_samples(folder), settled(out, overwrite=True))
        with pytest.raises(RunError, match="another aumclean trains one of its draws"):
            resume(run)
    assert resume(run).verdict is not None


def test_who_has_trained_a_draw_waits_for_the_one_that_judges_however_long_that_takes(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(Run.lock_briefly.__wrapped__.__kwdefaults__, "patience", 0.1)  # of everybody else
    run, training, judging = Run(tmp_path / "run"), threading.Event(), threading.Event()

    def track(stream, description, done, total):
        if description.startswith("draw"):
            training.set()
            assert judging.wait(120)
        return stream

    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(scan, read_samples(folder), settled(run.path, only_draw=0), track=track)
        assert training.wait(120)
        with run.lock_briefly():  # as the process of another draw does while it judges
            judging.set()
            while not run.model(0).is_file():
                assert not one.done(), one.result()
                time.sleep(0.01)
            with pytest.raises(TimeoutError):
                one.result(timeout=1)
        assert one.result(timeout=120).verdict is None
    assert run.untrained() == [1]


def test_a_draw_joins_only_a_run_of_the_same_data_and_options(folder, tmp_path, make_folder):
    out = tmp_path / "run"
    scan(read_samples(folder), settled(out, only_draw=0))
    before = (out / "run.json").read_bytes()
    other = make_folder(tmp_path / "other", per_class=5)
    for data, options, says in (
        (other, {}, "have changed since"),
        (folder, {"epochs": 4}, "begun with another recipe"),
        (folder, {"seed": 7}, "begun with --seed 0"),
        (folder, {"target_precision": 0.9}, "begun with other options .judge"),
        (folder, {"percentile": 90.0}, "begun with other options .judge"),
        (folder, {"features": "pixels"}, "begun with --features none, which would now be pixels"),
        (folder, {"draws": 3}, "begun with other options .draws"),
    ):
        with pytest.raises(RunError, match=says):
            scan(read_samples(data), settled(out, only_draw=1, **options))
    assert (out / "run.json").read_bytes() == before
    assert json.loads(before)["config"]["only_draw"] is None
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.txt").write_text("precious")
    with pytest.raises(RunError, match="is not a run directory"):
        scan(read_samples(folder), settled(tmp_path / "thesis", only_draw=0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"only_draw": 2}, "--only-draw: 2 is not among the draws, 0 to 1"),
        ({"out": None, "only_draw": 0}, "--only-draw: name the run directory"),
        ({"overwrite": True, "only_draw": 0}, "leave out --overwrite"),
        ({"jobs": 0}, "--jobs"),
    ],
)
def test_what_cannot_be_shared_is_refused(tmp_path, options, says):
    with pytest.raises(ConfigError, match=says):
        settled(**{"out": tmp_path / "run", **options})
