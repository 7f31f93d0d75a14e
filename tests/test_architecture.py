"""The plan of the house, held by reading the imports."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import aumclean

PACKAGE = Path(aumclean.__file__).parent

GROUND = {"errors", "chance", "machine", "progress", "files"}
BASE = GROUND | {"config", "run", "margins"}
MAY_IMPORT = {
    "errors": set(),
    "chance": set(),
    "machine": set(),
    "progress": {"errors"},
    "files": {"errors"},
    "config": {"errors", "files"},
    "margins": GROUND,
    "run": GROUND | {"config"},
    "dataset": BASE,
    "verdict": BASE,
    "training": BASE | {"dataset"},
    "features": BASE | {"dataset", "training"},
    "decisions": BASE | {"dataset", "verdict"},
    "reports": BASE | {"dataset", "verdict", "decisions"},
    "review": BASE | {"dataset", "verdict", "decisions", "reports"},
    "gate": BASE | {"dataset", "verdict", "decisions", "reports"},
    "scanning": BASE | {"dataset", "verdict", "training", "features", "decisions", "reports"},
    "judging": BASE | {"dataset", "verdict", "decisions", "reports", "scanning"},
    "diagnostics": BASE | {"dataset", "verdict", "training", "decisions", "reports", "scanning"},
    "door": BASE | {"dataset", "verdict", "decisions", "reports", "scanning", "judging"},
    "cli": BASE
    | {"dataset", "verdict", "training", "decisions", "reports", "review", "gate", "scanning", "diagnostics", "door"}
    | {"judging", "features"},
    "adapters": {"door", "errors"},
    "compat": GROUND | {"margins"},
    "__main__": {"cli"},
    "__init__": {"door", "errors"},
}
WITHOUT_TORCH = {*BASE, "dataset", "verdict", "decisions", "reports", "review", "gate", "judging", "compat"}


def modules():
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        yield room, file


@cache
def nodes(file):
    """Every part of a file's code, the module first."""
    return list(ast.walk(ast.parse(file.read_text())))


def imported(file):
    """Every module a file imports, also inside functions."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            if node.module == "aumclean":
                yield from (f"aumclean.{alias.name}" for alias in node.names if alias.name != "__version__")
            else:
                yield node.module


def test_every_room_has_its_place_in_the_plan():
    assert {room for room, _ in modules()} == set(MAY_IMPORT)


def test_an_assert_says_of_what_kind_a_value_is_and_guards_no_data():
    """As `python -O` leaves it out."""
    for _, file in modules():
        for node in nodes(file):
            if isinstance(node, ast.Assert):
                said = ast.unparse(node.test)
                assert re.fullmatch(r"isinstance\(.*\)|[\w.]+ is not None", said), f"{file}: assert {said}"


@pytest.mark.parametrize(("room", "file"), list(modules()), ids=lambda value: str(value).removeprefix(str(PACKAGE)))
def test_imports_point_down(room, file):
    for name in imported(file):
        if name.startswith("aumclean."):
            other = name.split(".")[1]
            assert other == room or other in MAY_IMPORT[room], f"{room} imports {name}"


@pytest.mark.parametrize(("room", "file"), list(modules()), ids=lambda value: str(value).removeprefix(str(PACKAGE)))
def test_only_the_command_line_and_progress_know_rich_and_only_training_knows_torch(room, file):
    names = {name.split(".")[0] for name in imported(file)}
    assert room == "cli" or not names & ({"typer"} if room == "progress" else {"typer", "rich"})
    assert room not in WITHOUT_TORCH or not names & {"torch", "torchvision", "accelerate"}


@pytest.mark.parametrize("file", [file for _, file in modules()], ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(file):
    assert ast.get_docstring(nodes(file)[0])


def test_functions_fit_on_a_page():
    """Sixty lines, but for training's one loop, which is read from top to bottom."""
    allowed = {("training/loop.py", "train")}
    long = {
        (str(file.relative_to(PACKAGE)), node.name)
        for _, file in modules()
        for node in nodes(file)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60
    }
    assert long <= allowed


def loaded_by(*steps):
    """Which of the heavy packages a fresh interpreter has loaded after each of several steps, one after the other."""
    heavy = ("torch", "pandas", "pyarrow", "rich", "accelerate", "sklearn")
    found = f"print([n for n in {heavy} if n in sys.modules], file=sys.stderr)"
    script = "import sys\n" + "".join(f"try:\n    {step}\nexcept SystemExit: pass\n{found}\n" for step in steps)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [set(ast.literal_eval(line)) for line in done.stderr.splitlines()]


def test_help_and_version_load_nothing_heavy():
    asked = (["--version"], ["--help"], ["scan", "--help"], ["report", "--help"])
    assert loaded_by(*(f"from aumclean.cli import main; main({arguments})" for arguments in asked)) == [set()] * 4


def test_what_works_on_a_finished_run_never_loads_torch():
    works = (
        "margins.log", "run.directory", "verdict.judge", "dataset.manifest", "dataset.pictures", "decisions.cleaned",
        "reports.write", "judging.judge",
    )  # fmt: skip
    for module, loaded in zip(works, loaded_by(*(f"import aumclean.{module}" for module in works)), strict=True):
        assert not loaded & {"torch", "accelerate"}, module


OF_USERS = {"dataset", "judging", "features"}  # tables that others wrote are read there, and carry no checksums


def test_what_others_may_have_touched_is_read_by_readers_that_check_and_run_nothing():
    """docs/explanation/security.md says so; a new place that reads files has to be one of these, or to use them."""
    for room, file in modules():
        text = file.read_text()
        assert room in OF_USERS | {"files"} or "pq.read_table(" not in text, f"{file}: files.parquet checks pages"
        for line in text.splitlines():
            assert "np.load(" not in line or "allow_pickle=False" in line, f"{file}: {line}"
            assert "torch.load(" not in line or "weights_only=True" in line, f"{file}: {line}"
            assert not re.search(r"(?<![.\w])(pickle\.load|eval\(|exec\(|yaml\.load|marshal\.load)|shell=True", line), (
                f"{file}: {line}"
            )
