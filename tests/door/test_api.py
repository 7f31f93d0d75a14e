"""The public door: every kind of data gives the same run, in a script, an option and a notebook."""

import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import datasets
import nbformat
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

import aumclean
from aumclean.errors import ConfigError
from aumclean.progress import untracked
from aumclean.reports import Format
from tests.conftest import SMALL_NETWORK

N = 600
NAMES = ("amber", "<b>&blue", "green")
COLOURS = np.array([(220, 160, 30), (30, 60, 220), (30, 180, 60)])
OPTIONS = {
    "arch": SMALL_NETWORK, "epochs": 6, "batch_size": 128, "flip": False, "percentile": 95.0, "device": "cpu",
    "features": "none", "workers": 1,
}  # fmt: skip


class Pairs(torch.utils.data.Dataset):
    """As torchvision's data sets are: (image, number of the class) and `classes`."""

    classes = NAMES

    def __init__(self, images, numbers):
        self.images, self.numbers = images, numbers

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return Image.fromarray(self.images[index]), int(self.numbers[index])


@pytest.fixture(scope="module")
def six_hundred(tmp_path_factory):
    """600 images with 40 wrong labels: `.images` [n, 12, 12, 3], `.numbers`, `.labels`; as PNG files in `.folder`."""
    rng = np.random.default_rng(3)
    true = np.arange(N) % 3
    images = (COLOURS[true][:, None, None] + rng.integers(-25, 26, (N, 12, 12, 3))).clip(0, 255).astype(np.uint8)
    wrong = rng.choice(N, 40, replace=False)
    numbers = true.copy()
    numbers[wrong] = (numbers[wrong] + 1) % 3
    labels = [NAMES[number] for number in numbers]
    folder = tmp_path_factory.mktemp("six-hundred") / "photos"
    folder.mkdir()
    names = [f"{index:07d}.png" for index in range(N)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name, compress_level=9)
    pd.DataFrame({"file_name": names, "label": labels}).to_csv(folder / "metadata.csv", index=False)
    return SimpleNamespace(images=images, numbers=numbers, labels=labels, wrong=set(wrong), folder=folder)


@pytest.fixture
def command_line(request):
    """The command line, beside the package of the same name."""
    return request.getfixturevalue("aumclean")


def as_torch(data):
    return Pairs(data.images, data.numbers)


def as_hugging_face(data):
    names = [f"{index:07d}.png" for index in range(N)]
    images = [{"bytes": (data.folder / name).read_bytes(), "path": name} for name in names]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    return datasets.Dataset.from_dict({"image": images, "label": data.labels}, features=features)


def as_class_labels(data):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))})
    return as_hugging_face(data).map(lambda row: {"label": NAMES.index(row["label"])}, features=features)


KINDS = {
    "folder": lambda data: data.folder,
    "arrays": lambda data: (data.images, data.labels),
    "torch": as_torch,
    "hugging face": as_hugging_face,
    "class labels": as_class_labels,
}


@pytest.fixture(scope="module")
def runs(six_hundred, tmp_path_factory):
    """A run of the same images in every kind."""
    out = tmp_path_factory.mktemp("runs")
    return {kind: aumclean.scan(make(six_hundred), out=out / kind, **OPTIONS) for kind, make in KINDS.items()}


def decoded(run):
    """Labels and pixels of what was scanned."""
    from aumclean.dataset.pictures import pictures_of
    from aumclean.run.directory import Run

    samples = pq.read_table(run.path / "samples.parquet")
    pictures = pictures_of(Run(run.path))
    pixels = [np.asarray(Image.open(io.BytesIO(pictures.encoded(i)))) for i in range(0, N, 7)]
    return samples["label"].to_pylist(), np.stack(pixels)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_every_kind_of_data_gives_the_labels_the_pixels_and_the_verdict_of_the_folder(kind, runs, six_hundred):
    labels, pixels = decoded(runs[kind])
    assert labels == six_hundred.labels
    assert (pixels == six_hundred.images[::7]).all()
    assert runs[kind].summary.flagged_digest == runs["folder"].summary.flagged_digest
    same = ["path", "label", "flagged", "aum", "label_score"]
    pd.testing.assert_frame_equal(runs[kind].report[same], runs["folder"].report[same])


def test_the_planted_errors_are_the_suspects(runs, six_hundred):
    found = set(runs["arrays"].suspects["sample_id"])
    assert len(found & six_hundred.wrong) >= 36
    assert len(found - six_hundred.wrong) <= 10


def test_encoded_images_keep_their_bytes(runs):
    hashes = {kind: run.report.sort_values("sample_id")["content_hash"].tolist() for kind, run in runs.items()}
    assert hashes["hugging face"] == hashes["class labels"] == hashes["folder"]
    assert hashes["arrays"] == hashes["torch"] != hashes["folder"]


def test_the_stored_images_open_in_the_datasets_library(runs, six_hundred, tmp_path):
    stored = datasets.load_dataset(
        "parquet", data_files=str(runs["arrays"].path / "data.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert (np.asarray(stored[5]["image"]) == six_hundred.images[5]).all()
    assert stored["label"][:] == six_hundred.labels


def test_a_run_of_arrays_has_pictures_and_cleaned_data_that_can_be_scanned(runs, six_hundred, tmp_path):
    run = runs["arrays"]
    cleaned = run.clean(out=tmp_path / "clean.parquet", copy_to=tmp_path / "clean")
    kept = pq.read_table(cleaned, columns=["label"])
    assert len(kept) == N - len(run.suspects) == len(list((tmp_path / "clean").rglob("*.png")))
    assert "data:image/jpeg;base64," in (run.path / "report.html").read_text()
    again = aumclean.scan(cleaned, out=tmp_path / "again", **{**OPTIONS, "epochs": 2})
    assert set(again.report["path"]) == set(run.report["path"]) - set(run.suspects["path"])


def test_a_stopped_scan_of_arrays_goes_on_as_any_other(runs, six_hundred, tmp_path, monkeypatch, command_line):
    from aumclean.scanning import scan as scanning

    with monkeypatch.context() as patch:
        patch.setattr(scanning, "judge", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            aumclean.scan((six_hundred.images, six_hundred.labels), out=tmp_path / "run", **OPTIONS)
    assert command_line("scan", "--resume", tmp_path / "run").code == 0
    resumed = aumclean.open_run(tmp_path / "run")
    assert resumed.summary.flagged_digest == runs["arrays"].summary.flagged_digest


def test_new_images_are_scored_and_known_ones_passed_over(runs, six_hundred, tmp_path):
    images = np.concatenate([six_hundred.images[:20], 255 - six_hundred.images[20:30]])
    scores = aumclean.score(runs["arrays"], (images, six_hundred.labels[:30]), out=tmp_path / "scores")
    assert (scores.summary.known, len(scores.report)) == (20, 10)
    assert (scores.path / "data.parquet").is_file()
    assert "10 new images" in repr(scores)
    assert len(scores.suspects) == scores.summary.flagged


def test_an_opened_run_is_the_run(runs):
    made, opened = runs["torch"], aumclean.open_run(str(runs["torch"].path))
    pd.testing.assert_frame_equal(made.report, opened.report)
    assert made.summary == opened.summary
    assert repr(made) == repr(opened)
    assert re.match(r"<aumclean.Run '.*torch': 600 images in 3 classes, \d+ flagged, noise rate about", repr(made))


def test_decisions_made_since_are_in_the_report_and_followed_by_clean(runs, tmp_path):
    run = runs["folder"]
    suspect = run.suspects.iloc[0]
    file = tmp_path / "decisions.csv"
    table = pd.DataFrame([suspect])[["sample_id", "content_hash", "path", "label"]].assign(decision="keep")
    table.to_csv(file, index=False)
    cleaned = pd.read_csv(run.clean(out=tmp_path / "clean.csv", decisions=file))
    assert suspect["path"] in set(cleaned["file_name"])
    assert len(cleaned) == N - len(run.suspects) + 1


def test_every_format_of_the_command_line_is_there(runs):
    run = runs["folder"]
    for format in ("csv", "html", "parquet"):
        ours, theirs = run.reports(format), (run.path / f"report.{format}").read_bytes()
        assert (ours if isinstance(ours, bytes) else ours.encode()) == theirs
    assert json.loads(run.reports("json"))["summary"] == json.loads((run.path / "summary.json").read_text())
    assert set(run.reports("huggingface")) == {"data.parquet", "metadata.csv"}
    for format in get_args(Format):
        assert run.reports(format)
    with pytest.raises(aumclean.ConfigError, match=r"'htm' is not known; did you mean 'html'\?"):
        run.reports("htm")


def test_what_a_notebook_shows_escapes_names_and_has_pictures(runs):
    shown = runs["arrays"]._repr_html_()
    assert shown.count("data:image/jpeg;base64,") == 10
    assert "<b>" not in shown
    assert "&lt;b&gt;&amp;blue" in shown
    assert (runs["arrays"].path / "report.html").as_uri() in shown


SCRIPT = """
import numpy as np, aumclean
from aumclean.dataset import parallel
parallel.STARTING *= 0  # so that processes decode these few images
rng = np.random.default_rng(0)
labels = np.arange(600) % 2
images = (np.array([[60], [200]])[labels][:, :, None] + rng.integers(-40, 41, (600, 10, 10))).astype(np.uint8)
run = aumclean.scan((images, labels), out="run", arch="mlp_1x512", epochs=2, workers=2, flip=False, device="cpu",
                    features="none")
assert len(run.report) == 600
"""


def test_a_plain_script_needs_no_guard_and_prints_nothing(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(aumclean.__file__).parents[1])}
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the notebook's own machinery
def test_a_notebook_shows_a_bar_while_it_scans_and_a_table_at_its_end(tmp_path):
    made = SCRIPT.strip().splitlines()[:-1]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("\n".join([*made, "run"]))])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    bar, table = notebook.cells[0].outputs
    assert '<progress value="' in bar.data["text/html"]
    assert "images/s" in bar.data["text/plain"]
    assert 'href="run/report.html"' in table.data["text/html"]
    assert table.data["text/plain"].startswith("<aumclean.Run")


@pytest.mark.slow
def test_a_script_in_an_option_needs_no_guard_and_a_terminal_shows_a_bar(tmp_path):
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=terminal, cwd=tmp_path)
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(controller, 1 << 16)
        except OSError:  # as Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    assert process.wait() == 0, shown.decode()
    assert b"images/s" in shown
    assert (tmp_path / "run" / "report.html").is_file()


def test_importing_takes_less_than_a_tenth_of_a_second_and_loads_nothing_heavy():
    code = (
        "import sys, time; start = time.process_time(); import aumclean; print(time.process_time() - start);"
        "print({'torch', 'pandas', 'pyarrow', 'numpy', 'typer'} & set(sys.modules))"
    )
    seconds, heavy = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert float(seconds) < 0.1
    assert heavy == "set()"


def test_everything_public_is_there_documented_and_nothing_else():
    assert set(aumclean.__all__) <= set(dir(aumclean))
    for name in aumclean.__all__:
        assert inspect.getdoc(getattr(aumclean, name))
    with pytest.raises(AttributeError, match="no attribute 'judgement'"):
        _ = aumclean.judgement


@pytest.mark.parametrize(
    ("image", "same_as"),
    [
        (np.full((6, 5), 51, np.uint8), np.full((6, 5), 51, np.uint8)),
        (np.full((6, 5, 1), 51, np.uint8), np.full((6, 5), 51, np.uint8)),
        (np.full((6, 5, 3), 0.2), np.full((6, 5, 3), 51, np.uint8)),
        (np.full((6, 5, 3), 51, np.int64), np.full((6, 5, 3), 51, np.uint8)),
        (np.full((6, 5), True), np.full((6, 5), 255, np.uint8)),
        (torch.full((3, 6, 5), 0.2), np.full((6, 5, 3), 51, np.uint8)),
        (torch.full((1, 6, 5), 51, dtype=torch.uint8), np.full((6, 5), 51, np.uint8)),
        (torch.full((3, 6, 5), 0.2, dtype=torch.bfloat16), np.full((6, 5, 3), 51, np.uint8)),
        (torch.full((6, 5, 3), 51, dtype=torch.uint8), np.full((6, 5, 3), 51, np.uint8)),
        (np.full((3, 6, 5), 51, np.uint8), np.full((6, 5, 3), 51, np.uint8)),
        (Image.new("CMYK", (5, 6)), np.full((6, 5, 3), 255, np.uint8)),
        (Image.new("RGBA", (5, 6), (1, 2, 3, 4)), np.tile(np.array([1, 2, 3, 4], np.uint8), (6, 5, 1))),
    ],
    ids=lambda value: str(getattr(value, "dtype", "image")),
)
def test_images_in_every_form_are_stored_without_loss(image, same_as, tmp_path):
    stored = store([image], ["a"], tmp_path)[0]
    assert np.array_equal(np.asarray(stored), same_as)


def store(images, labels, folder):
    from aumclean.dataset.in_memory import in_memory

    file = folder / "data.parquet"
    in_memory((images, labels)).write(file, untracked)
    return [Image.open(io.BytesIO(row["bytes"])) for row in pq.read_table(file)["image"].to_pylist()]


def test_every_fraction_of_255_comes_back_as_the_whole_number(tmp_path):
    whole = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stored = store([whole / 255, (whole / np.float32(255)).astype(np.float32)], ["a", "b"], tmp_path)
    assert all((np.asarray(image) == whole).all() for image in stored)


IMAGES = np.zeros((4, 5, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((IMAGES, ["a", "b", "a"]), {}, "4 images and 3 labels"),
        ((IMAGES, ["a", "b", "", "a"]), {}, "item 2: has no label"),
        ((IMAGES, [0, 1, None, 1]), {}, "item 2: has no label"),
        ((IMAGES, [0, 1.5, 0, 1]), {}, "item 1: has the label '1.5'"),
        ((IMAGES, ["a", "b", "\udcff", "a"]), {}, r"item 2: its label: the name '\\udcff' is not UTF-8"),
        ((IMAGES[:0], []), {}, "data: holds no images"),
        ((IMAGES, np.eye(4)), {}, "item 0: has the label"),
        ((IMAGES - 1.0, [0, 1, 0, 1]), {}, "fractions 0 to 1; leave normalisation out of the transform"),
        ((IMAGES.astype(int) + 300, [0, 1, 0, 1]), {}, "from 300 to 300; whole numbers must be 0 to 255"),
        ((IMAGES * np.nan, [0, 1, 0, 1]), {}, "from nan to nan"),
        ((["a.png", "b.png"], [0, 1]), {}, r"item 0: an array of shape \[\] is no image"),
        ((IMAGES[:, :0], [0, 1, 0, 1]), {}, "is no image"),
        (IMAGES, {}, "item 0 is a ndarray, not a pair"),
        (17, {}, "int cannot be scanned; pass a path"),
        ({"train": 1, "test": 2}, {}, r"pass one of them, such as data\['train'\]"),
        ((IMAGES, [0, 0, 0, 0]), {}, "all 4 images have the label '0'"),
        ((IMAGES, [0, 1, 0, 1]), {"root": "x"}, "root: is for data in files, not for a tuple"),
        ((IMAGES, [0, 1, 0, 1]), {"label_column": "x"}, "has no columns"),
        ((IMAGES, [0, 1, 0, 1]), {"only_draw": 0}, "several machines cannot share"),
        ((IMAGES, [0, 1, 0, 1]), {"epoch": 3}, r"scan\(\) has no option 'epoch'; did you mean 'epochs'\?"),
        ((IMAGES, [0, 1, 0, 1]), {"epochs": 0}, "--epochs: must be a number"),
        (Pairs(IMAGES, [0, 1, 2, 3]), {}, "item 3: has the label 3, which is none of the 3 classes"),
        ("nowhere", {}, "nowhere: no such file or folder"),
    ],
)
def test_bad_input_gets_one_clear_line_and_leaves_nothing(data, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(aumclean.AumcleanError, match=message) as caught:
        aumclean.scan(data, out=tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_a_run_is_only_replaced_when_asked_and_by_data_that_can_be_stored(runs, six_hundred, tmp_path):
    run = shutil.copytree(runs["arrays"].path, tmp_path / "run")
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(aumclean.RunError, match="holds a run already"):
        aumclean.scan((six_hundred.images, six_hundred.labels), out=run, **OPTIONS)
    with pytest.raises(aumclean.DataError, match="has no label"):
        aumclean.scan((six_hundred.images[:2], ["a", None]), out=run, overwrite=True)
    assert before == {file: file.read_bytes() for file in before}
    few = aumclean.scan((six_hundred.images[:90], six_hundred.labels[:90]), out=run, overwrite=True, **OPTIONS)
    assert len(few.report) == 90


def test_a_limit_takes_evenly_and_stores_no_more(six_hundred, tmp_path):
    run = aumclean.scan(as_torch(six_hundred), out=tmp_path / "run", limit=60, **OPTIONS)
    assert sorted(run.report["path"]) == [f"{index:07d}.png" for index in range(0, N, 10)]
    assert pq.read_metadata(run.path / "data.parquet").num_rows == 60


def test_images_by_path_are_read_and_named_by_folder_and_file(six_hundred):
    from aumclean.dataset.in_memory import in_memory

    file = six_hundred.folder / "0000007.png"
    features = datasets.Features({"picture": datasets.Image(), "y": datasets.Value("int64")})
    listed = datasets.Dataset.from_dict({"picture": [str(file)], "y": [4]}, features=features)
    (row,) = in_memory(listed).rows
    assert row == {"image": {"bytes": file.read_bytes(), "path": "photos/0000007.png"}, "label": "4"}


def test_a_subset_has_the_names_of_its_whole(six_hundred, tmp_path):
    from aumclean.dataset.in_memory import in_memory

    subset = torch.utils.data.Subset(as_torch(six_hundred), [1, 4])
    assert [row["label"] for row in in_memory(subset).rows] == [six_hundred.labels[1], six_hundred.labels[4]]


def test_labels_that_are_tensors_are_the_numbers_in_them():
    from aumclean.dataset.in_memory import in_memory

    whole = torch.utils.data.TensorDataset(torch.zeros(3, 1, 5, 5), torch.tensor([2, 0, 1]))
    assert [row["label"] for row in in_memory(whole).rows] == ["2", "0", "1"]
    assert [row["label"] for row in in_memory(whole.tensors).rows] == ["2", "0", "1"]


def test_aum_is_the_mean_margin_over_epochs():
    margins = np.array([[1.0, -2.0, 3.0], [3.0, -4.0, 3.0]], np.float32)
    assert aumclean.aum(margins).tolist() == aumclean.aum(torch.tensor(margins)).tolist() == [2, -3, 3]
    with pytest.raises(aumclean.DataError, match=r"shape \[epochs, n\]"):
        aumclean.aum([1.0, 2.0])
    with pytest.raises(aumclean.DataError, match="first in epoch 1"):
        aumclean.aum([[1.0], [np.nan]])


def test_the_threshold_is_a_percentile_of_the_indicator_samples():
    assert aumclean.threshold(np.arange(101)) == 99
    assert aumclean.threshold(torch.arange(101), percentile=50) == 50
    with pytest.raises(aumclean.DataError, match="at least one"):
        aumclean.threshold([])
    with pytest.raises(aumclean.ConfigError, match="100 is not between 0 and 100"):
        aumclean.threshold([1.0], percentile=100)


NOBODY = "~nobody-of-that-name/x"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: aumclean.open_run(NOBODY),
        lambda: aumclean.scan("photos", out=NOBODY),
        lambda: aumclean.score("run", "photos", out=NOBODY),
        lambda: aumclean.judge(NOBODY, pred_probs=[[0.5, 0.5]]),
        lambda: aumclean.judge([0, 1], pred_probs=NOBODY),
        lambda: aumclean.judge([0, 1], margins=NOBODY),
        lambda: aumclean.judge([0, 1], pred_probs=[[0.5, 0.5]] * 2, root=NOBODY),
        lambda: aumclean.Recorder([0, 1] * 20, out=NOBODY),
    ],
)
def test_the_home_folder_of_a_user_who_does_not_exist_is_named(ask):
    with pytest.raises(ConfigError, match=f"^{NOBODY}: no such home folder; write the path out$"):
        ask()
