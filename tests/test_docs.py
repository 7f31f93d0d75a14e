"""The documentation, held true: pages generated, examples run, links followed, options and columns checked."""

import os
import re
import runpy
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

import aumclean as aumclean_package
from aumclean.cli import app
from aumclean.config.gate import GateConfig
from aumclean.config.reading import GATE_PREFIX, load_gate
from aumclean.config.scan import ScanConfig
from aumclean.run.record import ScanRecord

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples").rglob("README.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CLI_PAGE = ROOT / "docs" / "reference" / "cli.md"
GROUPS = {group.name: group.typer_instance for group in app.registered_groups}
COMMANDS = [command.name for command in app.registered_commands]
PATHS = [
    *((command,) for command in COMMANDS),
    *((name, command.name) for name, group in GROUPS.items() for command in group.registered_commands),
]
"""The words that call each command."""

pytestmark = pytest.mark.skipif(not CLI_PAGE.exists(), reason="runs in a checkout, not in an installed package")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_command_line_page_is_what_help_says():
    """`UPDATE_DOCS=1 pytest tests/test_docs.py` writes it anew."""
    text = runpy.run_path(str(Path(__file__).with_name("cli_page.py")))["page"]()
    for words in PATHS:
        assert f"\n## aumclean {' '.join(words)}\n" in text
    if os.environ.get("UPDATE_DOCS"):
        CLI_PAGE.write_text(text, encoding="utf-8")
    assert CLI_PAGE.read_text(encoding="utf-8") == text


def test_the_python_page_is_made_of_the_docstrings():
    """`UPDATE_DOCS=1 pytest tests/test_docs.py` writes it anew."""
    text = runpy.run_path(str(ROOT / "docs" / "python_reference.py"))["page"]()
    page = ROOT / "docs" / "reference" / "python.md"
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(text, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == text
    assert all(f"aumclean.{name}" in text for name in aumclean_package.__all__)


def test_prose_is_spelled_in_one_way():
    """Labeled, and 95%: in pages, help, messages and comments."""
    package = Path(aumclean_package.__file__).parent
    ours = [file for file in package.rglob("*") if file.suffix in {".py", ".js", ".html", ".json"}]
    for file in [*PAGES, ROOT / "CHANGELOG.md", *ours]:
        text = file.read_text(encoding="utf-8")
        other = re.findall(r"(?i).*(?:labell(?:ed|ing)(?!by)|[\d}] %(?!})).*", text)
        assert other == [], f"{file}: {other}"


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS])
def test_every_command_is_in_the_readme(command):
    assert f"`aumclean {command}" in PAGES[0].read_text(encoding="utf-8")


def anchors(page):
    """The names by which the headings of a page can be linked to, as code forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


def test_files_that_the_architecture_page_names_exist():
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+(?:\w+\.py)?|\w+\.py)`", text)) - {"presets.py", "aumclean/"}
    assert len(named) > 20
    for file in named:
        assert (ROOT / "aumclean" / file).exists() or (ROOT / file).exists(), file


def test_figures_of_the_demo_are_the_same_on_every_page():
    """They stand in docs/demo.toml; `UPDATE_DOCS=1 pytest tests/test_docs.py` takes them over into the pages."""
    demo = tomllib.loads((ROOT / "docs" / "demo.toml").read_text(encoding="utf-8"))
    values = demo["figures"]
    stated = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^\s*<!-- demo", text, re.MULTILINE), f"{page.name}: ends the paragraph before it"
        stated |= set(re.findall(r"<!-- demo\.(\w+) -->", text))
        expected = re.sub(
            r"(<!-- demo\.(\w+) -->).*?(<!-- end -->)",
            lambda found: f"{found[1]}{values[found[2]]}{found[3]}",
            text,
            flags=re.DOTALL,
        )
        if os.environ.get("UPDATE_DOCS"):
            page.write_text(expected, encoding="utf-8")
        assert page.read_text(encoding="utf-8") == expected
    assert stated == {"recall", "precision", "flagged"}
    tutorial = (ROOT / "docs" / "tutorials" / "clean-a-folder.md").read_text(encoding="utf-8")
    removed, relabeled = re.search(r"(\d+) removed \(0 by reviewers\), (\d+) relabeled", tutorial).groups()
    assert int(removed) + int(relabeled) == int(values["flagged"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_pages_exist_with_their_options(page, aumclean):
    for block in blocks(page, "console"):
        for line in re.findall(r"^\$ (?:uv run )?aumclean (.*)$", block, re.MULTILINE):
            arguments = shlex.split(line, comments=True)
            words = [arguments.pop(0) for _ in range(2 if arguments[0] in GROUPS else 1)]
            help_page = aumclean(*words, "--help").out
            for argument in arguments:
                if argument.startswith("-"):
                    assert re.search(rf"(^|[ ,/]){re.escape(argument)}\b", help_page, re.MULTILINE), line


def test_the_set_up_commands_are_those_that_ci_runs():
    for command in ("aumclean demo", "pytest"):
        line = f"python3 -m pip install -q uv && uv run {command}"
        assert line in PAGES[0].read_text(encoding="utf-8")
        assert line in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_python_in_the_readme_runs(folder, tmp_path, monkeypatch):
    (code,) = blocks(PAGES[0], "python")
    monkeypatch.chdir(tmp_path)
    assert folder == tmp_path / "photos"
    scope: dict[str, object] = {}
    exec(compile(code.replace("epochs=15", "epochs=2"), "README.md", "exec"), scope)
    assert "label_score" in scope["suspects"].columns


def test_python_of_the_training_page_runs(tmp_path, monkeypatch):
    code = blocks(ROOT / "docs" / "how-to" / "own-training.md", "python")[0]
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(code, "own-training.md", "exec"), scope)
    assert len(set(scope["run"].suspects["sample_id"]) & set(range(90))) > 70


def test_python_of_the_predictions_page_runs(tmp_path, monkeypatch):
    (code,) = blocks(ROOT / "docs" / "how-to" / "own-predictions.md", "python")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(code, "own-predictions.md", "exec"), scope)
    assert len(set(range(50)) & set(scope["run"].suspects["sample_id"])) >= 45


def test_python_of_the_random_labels_page_runs(folder, tmp_path, monkeypatch, capsys):
    (code,) = blocks(ROOT / "docs" / "how-to" / "random-labels.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("limit=2000", "epochs=1").replace("draws=5", "draws=1"), "random-labels.md", "exec"), {})
    assert str(Path("runs", "photos-random-labels-horizon")) in capsys.readouterr().out


def test_files_page_names_every_column_and_file(finished):
    text = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    for column in finished.verdict.report.column_names:
        assert f"`{re.sub(r'draw_[01]', 'draw_K', column)}`" in text
    for key in (*type(finished.verdict.summary).model_fields, *ScanRecord.model_fields):
        assert key in text or key in {"samples", "classes", "judged", "not_judged", "flagged", "flagged_share"} | {
            "unreadable", "conflicts", "aumclean", "versions", "started", "finished"
        }, key  # fmt: skip
    for file in finished.run.path.iterdir():
        if not file.name.startswith("."):
            assert file.name in text, file.name


def test_every_option_of_scan_can_be_configured_and_the_reverse(aumclean):
    options = set(re.findall(r"--([a-z-]+)", aumclean("scan", "--help").out))
    for field in ScanConfig.model_fields:
        assert field.replace("_", "-") in options


def test_every_budget_of_the_gate_is_an_option_and_in_the_configuration_page(aumclean):
    options = set(re.findall(r"--([a-z-]+)", aumclean("gate", "--help").out))
    text = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    for field in GateConfig.model_fields:
        assert f"| `{field}` |" in text
        assert field == "classes" or (field.replace("_", "-") in options and f"`{GATE_PREFIX}{field.upper()}`" in text)


@pytest.mark.parametrize("page", ["reference/configuration.md", "how-to/ci.md"])
def test_budgets_in_the_pages_can_be_read(page, tmp_path):
    found = [block for block in blocks(ROOT / "docs" / page, "toml") if "aumclean.gate" in block]
    assert found
    for block in found:
        (tmp_path / "pyproject.toml").write_text(block, encoding="utf-8")
        budgets = load_gate({}, folder=tmp_path)
        assert budgets.baseline == tmp_path / "label-baseline.json"
        assert str(budgets.classes["husky"]) == "12%"


def test_the_exit_codes_page_has_every_code():
    from aumclean.cli import COULD_NOT_RUN, INTERRUPTED
    from aumclean.cli.gate import FAILED

    text = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert codes == [0, FAILED, COULD_NOT_RUN, INTERRUPTED]


def test_recipes_for_many_machines_can_be_parsed():
    page = ROOT / "docs" / "how-to" / "scale.md"
    scripts, (code,) = blocks(page, "bash"), blocks(page, "python")
    assert [subprocess.run(["bash", "-n"], input=script, text=True).returncode for script in scripts] == [0] * len(
        scripts
    )
    assert compile(code, "scale.md", "exec")


EXAMPLES = {
    "suspects_as_table": ("epochs=6", "epochs=2", r"suggested_label"),
    "own_training_loop": ("EPOCHS, BATCH = 30", "EPOCHS, BATCH = 30", r"suspect, and (1[89]|20)\d of these are wrong"),
    "arrays_in_memory": ("epochs=12", "epochs=2", r"of which 1[67]\d of the 179 planted errors"),
}
"""Of each its number of epochs, one that is enough here, and what it says."""


def test_every_example_is_tested():
    assert {file.stem for file in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, capsys, monkeypatch):
    monkeypatch.setattr("aumclean.config.scan.AUTO_EPOCHS", 10)  # of heads
    file = ROOT / "examples" / f"{name}.py"
    epochs, enough, says = EXAMPLES[name]
    assert epochs in file.read_text(encoding="utf-8")
    code = file.read_text(encoding="utf-8").replace(epochs, enough)
    exec(compile(code, file, "exec"), {"__name__": "__main__"})
    assert re.search(says, capsys.readouterr().out)
