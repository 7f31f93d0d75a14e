import functools
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aumclean import __main__, __version__, progress
from aumclean.cli import app, console, main
from aumclean.cli.scan import resumable_when_told_to_stop
from aumclean.errors import TrainingError, printable
from tests.faults.child import begun

COMMANDS = [
    *("scan", "judge", "report", "review", "clean", "score", "gate", "evaluate", "corrupt", "duplicates"),
    *("features", "train", "demo", "env"),
]


def test_version_on_every_command(aumclean):
    for command in ([], *([name] for name in COMMANDS)):
        done = aumclean(*command, "--version")
        assert (done.code, done.out) == (0, f"aumclean {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_a_help_page_with_an_example(aumclean, command, flag):
    done = aumclean(command, flag)
    assert done.code == 0
    assert f"`aumclean {command}" in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 80
    for option in ("--quiet", "--verbose", "--debug", "--version"):
        assert option in done.out


def test_all_commands_are_registered():
    assert [command.name for command in app.registered_commands] == COMMANDS


def test_without_a_command_the_help_is_shown(aumclean):
    done = aumclean()
    assert done.code == 2
    assert "Usage: aumclean" in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scan", "nowhere"], "nowhere: no such file or folder"),
        (["scan"], "DATA: name an image folder"),
        (["scan", "x", "--epoch", "3"], "No such option: --epoch.*--epochs"),
        (["scan", "x", "--epochs", "many"], "--epochs: must be a number .*or auto"),
        (["scan", "x", "--draws", "many"], "Invalid value for '--draws'"),
        (["scan", "x", "--preset", "quick"], "Invalid value for '--preset'"),
        (["scan", "--resume", "nowhere"], "nowhere: is not a run directory"),
        (["scan", "--resume", "x", "--epochs", "3"], "--resume: .*leave out --epochs"),
        (["scan", "x", "--config", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["report", "nowhere"], "nowhere: is not a run directory"),
        (["report", "x", "--format", "xml"], "Invalid value for '--format' / '-f': 'xml' is not one of"),
        (["report", "x", "-o", "x.xlsx"], "--out: .xlsx says no format; give --format"),
        (["report", __file__], "test_cli.py: is a file and no run directory"),
        (["report", "x", "--format", "cvat"], "--out: cvat is several files; name a new folder with -o FOLDER"),
        (["report", "x", "--top", "5"], "--top: is for --format html"),
        (["report", "x", "--image-root-url", "u"], "--image-root-url: is for --format label-studio"),
        (["review", "nowhere"], "nowhere: is not a run directory"),
        (["clean", "nowhere"], "nowhere: is not a run directory"),
        (["clean", "nowhere", "--policy", "guess"], "Invalid value for '--policy'"),
        (["evaluate", "nowhere", "--truth", "x"], "nowhere: is not a run directory"),
        (["corrupt", "nowhere", "--out", "x.csv"], "nowhere: no such file or folder"),
        (["scan", "--resume", "x", "--dry-run"], "leave out --dry-run"),
        (["scann"], "No such command 'scann'.*see aumclean --help"),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_code_2(aumclean, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = aumclean(*arguments)
    assert done.code == 2
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("aumclean: error: ")
    assert re.search(says, line)
    assert list(tmp_path.iterdir()) == []


def test_an_unforeseen_error_is_one_line_and_debug_shows_where(aumclean, monkeypatch, folder, tmp_path):
    def broken(*_, **__):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("aumclean.dataset.read.read_samples", broken)
    done = aumclean("scan", folder)
    assert (done.code, done.err) == (
        2,
        "aumclean: error: internal error: RuntimeError: first second (--debug shows where)\n",
    )
    done = aumclean("scan", folder, "--debug")
    assert done.code == 2
    assert "Traceback" in done.err
    assert "Traceback" not in aumclean("scan", folder).err


def test_a_full_disk_is_one_line(aumclean, monkeypatch, folder, tmp_path):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "/data/x.parquet")

    monkeypatch.setattr("aumclean.dataset.read.read_samples", full)
    done = aumclean("scan", folder)
    assert (done.code, done.err) == (2, "aumclean: error: /data/x.parquet: no space left on device\n")


def test_scan_prints_the_run_on_stdout_and_all_words_on_stderr(aumclean, folder, tmp_path):
    done = aumclean("scan", folder, "--out", tmp_path / "run", "--epochs", "2", "--no-flip")
    assert done.code == 0
    assert done.out == f"{tmp_path / 'run'}\n"
    assert "draw 2/2, epoch 2/2: " in done.err
    assert "left" in done.err
    assert "\x1b" not in done.err
    for part in ("flagged", "noise rate", "what stays", "what goes", "report.csv"):
        assert part in done.err
    assert "loss" not in done.err
    quiet = aumclean("scan", folder, "--out", tmp_path / "quiet", "--epochs", "1", "-q")
    assert quiet.out == f"{tmp_path / 'quiet'}\n"
    assert [line for line in quiet.err.splitlines() if "warning" not in line] == []
    assert "loss" in aumclean("scan", folder, "--out", tmp_path / "verbose", "--epochs", "1", "-v").err


def test_scan_refuses_a_run_that_exists_and_replaces_it_when_asked(aumclean, folder, tmp_path):
    arguments = ("scan", folder, "--out", tmp_path / "run", "--epochs", "1")
    assert aumclean(*arguments).code == 0
    before = (tmp_path / "run" / "report.csv").read_bytes()
    refused = aumclean(*arguments)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert "decoding" not in refused.err and "comparing" not in refused.err
    assert (tmp_path / "run" / "report.csv").read_bytes() == before
    assert aumclean("scan", tmp_path / "nowhere", "--out", tmp_path / "run", "--overwrite").code == 2
    assert (tmp_path / "run" / "report.csv").read_bytes() == before
    assert aumclean(*arguments, "--overwrite").code == 0


def test_dry_run_prints_a_plan_and_writes_nothing(aumclean, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = aumclean("scan", folder, "--dry-run")
    plan = json.loads(done.out)
    assert (plan["images"], plan["classes"], plan["epochs"], plan["draws"]) == (12, 3, 40, 2)
    assert plan["training_seconds"] > 0
    assert plan["recipe"]["arch"] == "resnet8-s2d"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("format", ["csv", "json", "jsonl", "markdown", "parquet", "html", "pred-probs"])
def test_report_renders_every_format_to_stdout_or_a_file_alike(finished, tmp_path, capfdbinary, format):
    def report(*more):
        with pytest.raises(SystemExit, match="^0$"):
            main(["report", str(finished.run.path), "--format", format, *more])
        return capfdbinary.readouterr()

    piped = report()
    assert report("-o", "-").out == piped.out
    report("-o", str(tmp_path / "file"))
    assert piped.out == (tmp_path / "file").read_bytes() != b""
    assert piped.err == b""


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.html", "html"),
        ("a.json", "json"),
        ("a.JSONL", "jsonl"),
        ("a.md", "markdown"),
        ("a.parquet", "parquet"),
        ("a.npy", "pred-probs"),
        ("a.csv", "csv"),
        ("a", "csv"),
    ],
)
def test_the_name_of_a_report_says_its_format(aumclean, finished, tmp_path, name, format):
    assert aumclean("report", finished.run.path, "-o", tmp_path / name).code == 0
    assert aumclean("report", finished.run.path, "--format", format, "-o", tmp_path / "asked").code == 0
    assert (tmp_path / name).read_bytes() == (tmp_path / "asked").read_bytes()


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("label-studio", {"tasks.json", "label_config.xml"}),
        ("cvat", {"dataset.zip", "labels.json"}),
        ("fiftyone", {"labels.json", "labels.csv"}),
        ("huggingface", {"data.parquet", "metadata.csv"}),
    ],
)
def test_formats_of_several_files_fill_a_new_folder_and_touch_no_other(aumclean, finished, tmp_path, format, names):
    done = aumclean("report", finished.run.path, "--format", format, "-o", tmp_path / "out")
    assert (done.code, done.out) == (0, "")
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tasks.json").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in ("mine", "file"):
        done = aumclean("report", finished.run.path, "--format", format, "-o", tmp_path / taken)
        assert (done.code, done.err) == (
            2, f"aumclean: error: {tmp_path / taken}: exists and is not an empty folder; choose another\n",
        )  # fmt: skip
    assert (tmp_path / "mine" / "tasks.json").read_text() == (tmp_path / "file").read_text() == "mine"
    assert {file.name for file in tmp_path.iterdir()} == {"out", "mine", "file"}


def test_an_export_that_fails_leaves_nothing(aumclean, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.run.path, run)
    record = json.loads((run / "run.json").read_text())
    record["data"]["image_column"] = "image"
    (run / "run.json").write_text(json.dumps(record))
    done = aumclean("report", run, "--format", "label-studio", "-o", tmp_path / "out")
    assert done.code == 2
    assert "--image-root-url" in done.err
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_report_html_shows_as_many_as_asked(aumclean, finished, tmp_path):
    assert aumclean("report", finished.run.path, "-f", "html", "--top", "2", "-o", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").read_text().count('<tr role="row" id="sample-') == 2
    assert (finished.run.path / "report.html").read_text() == aumclean("report", finished.run.path, "-f", "html").out


def test_report_saves_another_verdict_only_when_asked(aumclean, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.run.path, run)
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    assert aumclean("report", run, "--percentile", "1", "-o", tmp_path / "other.csv").code == 0
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.name in before} == before
    assert aumclean("report", run, "--percentile", "1", "--save").code == 0
    assert (run / "removed.csv").read_bytes() != before["removed.csv"]
    assert aumclean("report", run).out == (run / "report.csv").read_text()


def test_a_reader_that_stops_early_is_no_error_worth_words(finished):
    command = f"{sys.executable} -m aumclean report {finished.run.path} --format jsonl | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["rank"] == 1
    assert "Traceback" not in done.stderr


def test_a_closed_output_is_no_error(finished):
    command = f"{sys.executable} -m aumclean report {finished.run.path} >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0


def test_corrupt_scan_evaluate_walk(aumclean, planted, tmp_path):
    made = aumclean("corrupt", planted.root, "--rate", "0.2", "--out", tmp_path / "noisy.csv", "--seed", "3")
    assert made.code == 0
    assert "realised rate 0." in made.err
    root = re.search(r"--root (\S+)", made.err)
    run = tmp_path / "run"
    scanned = aumclean(
        "scan", tmp_path / "noisy.csv", "--root", root.group(1), "--out", run, *planted.words, "--epochs", "4",
        "--features", "none",
    )  # fmt: skip
    assert scanned.code == 0, scanned.err
    done = aumclean("evaluate", run, "--truth", tmp_path / "noisy.csv", "--json")
    measured = json.loads(done.out)
    assert measured["samples"] == 360
    assert measured["wrong"] / 360 == pytest.approx(
        float(re.search(r"realised rate ([\d.]+)", made.err).group(1)), abs=1e-4
    )
    assert measured["aum"]["auroc"] > 0.7
    table = aumclean("evaluate", run, "--truth", tmp_path / "noisy.csv")
    assert table.out == ""
    assert "precision" in table.err


def test_env_names_versions_and_devices(aumclean, monkeypatch):
    done = aumclean("env")
    assert done.code == 0
    assert re.search(rf"aumclean: +{re.escape(__version__)}\n", done.out)
    for name in ("torch", "device", "cache", "pyarrow"):
        assert re.search(rf"^{name}: +\S", done.out, re.MULTILINE)


def test_ctrl_c_exits_130_and_the_run_can_be_resumed(planted, tmp_path, aumclean):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "aumclean", "scan", planted.root, "--out", run, *planted.words]
    command += ["--features", "none"]
    hearing = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=hearing)
    while not list(run.glob("margins/*/*/part-0.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    for _ in range(5):  # as an impatient person does; the end is not disturbed
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err and "Exception ignored" not in err
    assert err.splitlines()[-1] == f"aumclean: error: interrupted; go on with: aumclean scan --resume {run}"
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
    assert aumclean("scan", "--resume", run, "-q").code == 0
    assert json.loads((run / "run.json").read_text())["state"] == "done"
    assert not list(run.rglob("*.part"))


def test_who_is_told_to_stop_names_the_run_that_goes_on_or_says_that_there_is_none():
    with pytest.raises(TrainingError, match="told to stop; no run was begun"), resumable_when_told_to_stop():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(TrainingError, match="go on with: aumclean scan --resume r"), resumable_when_told_to_stop():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGTERM)  # once more, in the midst of the end
            raise KeyboardInterrupt("aumclean scan --resume r") from None


def test_ctrl_c_while_the_command_line_is_loaded_gives_130(monkeypatch, capsys):
    class Loading:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "aumclean.cli", Loading())
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert (ended.value.code, capsys.readouterr().err) == (130, "aumclean: error: interrupted\n")


def on_a_terminal(words):
    """What a command writes to a terminal of 80 columns."""
    parent, child = pty.openpty()

    def move():
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "80"}
        for number in (1, 2):
            os.dup2(child, number)
        os.close(parent)

    command = begun(words, move)
    os.close(child)
    chunks = []
    while True:
        try:
            chunk = os.read(parent, 1 << 16)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    assert command.ended().code == 0
    return b"".join(chunks).decode()


def test_a_terminal_gets_a_progress_bar_and_tables_of_80_columns(folder, tmp_path):
    text = on_a_terminal(["scan", folder, "--out", tmp_path / "run", "--epochs", "2"])
    assert "draw 1/2, epoch 1/2" in text
    assert "images/s" in text
    assert "━" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert str(tmp_path / "run") in plain.splitlines()[-1]


def test_of_a_very_long_error_both_ends_are_shown(aumclean, folder, tmp_path):
    file = tmp_path / "options.toml"
    file.write_text(f"[scan]\n{'x' * 200_000} = 1\n")
    done = aumclean("scan", folder, "--config", file)
    assert done.code == 2 and len(done.err) < 1200
    assert done.err.startswith(f"aumclean: error: {file}: key 'xxx")
    assert done.err.endswith("of [scan] is not known\n")


def test_names_cannot_command_the_terminal():
    assert printable("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"


def test_progress_counts_streams_that_run_at_once_together(capsys, monkeypatch):
    monkeypatch.setattr(progress.time, "perf_counter", iter(range(0, 1000)).__next__)
    console.set_up(quiet=False, verbose=False, debug=False)
    with console.progress() as track:
        one, two = (track([range(10)] * 3, f"draw {draw}/2, epoch 1/1", 0, 60) for draw in (1, 2))
        for _ in zip(one, two, strict=True):
            pass
        assert list(track([range(10)], "draw 1/1", 50, 60)) == [range(10)]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("draw 1/2, epoch 1/1: ") and lines[0].endswith(" left")
    assert [line.rpartition(", ")[2] for line in lines[1:]] == ["0:00 left", "0:00 left"]


def test_short_epochs_do_not_flood_a_log(capsys):
    console.set_up(quiet=False, verbose=False, debug=False)
    with console.progress() as track:
        for epoch in range(50):
            list(track([range(4)], f"epoch {epoch + 1}/50", 4 * epoch, 200))
    said = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert (said[0], said[-1]) == ("epoch 1/50", "epoch 50/50")
    assert len(said) < 10


def test_clock_times():
    assert [console.duration(seconds) for seconds in (0, 59.6, 3599, 3661)] == ["0:00", "1:00", "59:59", "1:01:01"]


def test_demo_finds_the_planted_errors(aumclean, tmp_path, monkeypatch):
    monkeypatch.setattr("aumclean.scanning.demo.EPOCHS", 4)  # .ci/run asks for 96% after all of them
    monkeypatch.setattr("aumclean.config.scan.AUTO_EPOCHS", 10)  # as many as the heads have
    done = aumclean("demo", "--out", tmp_path / "demo")
    assert done.code == 0
    found, precision = map(float, re.search(r"found ([\d.]+)% of .* precision of ([\d.]+)%", done.err).groups())
    assert found >= 80
    assert precision >= 90
    assert Path(done.out.strip()) == tmp_path / "demo" / "run"
    assert aumclean("report", tmp_path / "demo" / "run", "-f", "markdown").code == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 KB, and a function that makes it large."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs the right to")
    yield disk, lambda: subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_a_disk_that_is_really_full_costs_one_line_and_no_result(aumclean, finished, planted, small_disk):
    disk, enlarge = small_disk
    done = aumclean("scan", planted.root, "--out", disk / "run", *planted.words, "-q")
    assert done.code == 2
    line = done.err.splitlines()[-1]
    assert re.fullmatch(r"aumclean: error: \S+: cannot be written \(no space left on device\)", line)
    assert not list(disk.rglob("*.part"))
    enlarge()
    assert aumclean("scan", "--resume", disk / "run").code == 0
    assert (disk / "run" / "report.csv").read_bytes() == finished.run.report("csv").read_bytes()
