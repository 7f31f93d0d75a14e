"""Every adapter with the real library: the scripts of docs/how-to/own-training.md, as they stand there."""

import re
from pathlib import Path

import pytest

import aumclean

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-training.md"
LIBRARIES = {
    "Hugging Face Trainer": "transformers",
    "Lightning": "lightning",
    "fastai": "fastai",
    "Keras": "keras",
    "ultralytics": "ultralytics",
}


def script(heading):
    """The Python of a section."""
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index(f"\n## {heading}\n") :].split("\n## ")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("heading", LIBRARIES)
def test_the_script_of_a_framework_finds_the_planted_errors(heading, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "True")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip(LIBRARIES[heading], reason="is in the dependency group frameworks")
    code = script(heading)
    exec(compile(code, f"{heading}.py", "exec"), {"__name__": "__main__"})
    run = aumclean.open_run("runs/own")
    found = run.suspects["sample_id"]
    assert (found < 90).sum() > 30 and (found < 90).mean() > 0.7 and set(run.report["n_draws"]) == {1, 2}
    assert (run.report["sample_id"][:60] < 90).mean() > 0.7
    assert sum("# +" in line for line in code.splitlines()) <= 5
