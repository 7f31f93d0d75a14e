import pytest

from aumclean.config import reading
from aumclean.errors import ConfigError


def load(given=None, environment=None, **options):
    return reading.load(given or {}, environment=environment or {}, **options)


@pytest.fixture
def project(tmp_path):
    """A project folder whose pyproject.toml sets epochs and out."""
    (tmp_path / "pyproject.toml").write_text('[tool.aumclean.scan]\nepochs = 7\nout = "runs/x"\n')
    return tmp_path


def test_command_line_beats_environment_beats_file_beats_default(project):
    layers = [
        ({}, {}, project.parent, 12),
        ({}, {}, project, 7),
        ({}, {"AUMCLEAN_EPOCHS": "8"}, project, 8),
        ({"epochs": 9}, {"AUMCLEAN_EPOCHS": "8"}, project, 9),
        ({"epochs": None}, {"AUMCLEAN_EPOCHS": "8"}, project, 8),
    ]
    for given, environment, folder, expected in layers:
        assert load(given, environment, folder=folder).by_preset("epochs") == expected


def test_paths_in_a_file_are_relative_to_it(project):
    (project / "deep" / "er").mkdir(parents=True)
    assert load(folder=project / "deep" / "er").out == project / "runs" / "x"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("features", "made/vectors.npy", "{folder}/made/vectors.npy"),
        ("features", "timm:net@made/vectors.npy", "timm:net@{folder}/made/vectors.npy"),
        ("features", "made", "made"),
        ("features", "timm:net@elsewhere", "timm:net@elsewhere"),
        ("horizon", "made", "{folder}/made"),
        ("horizon", "12.5", "12.5"),
    ],
)
def test_what_may_be_a_name_or_a_path_is_relative_to_the_file_where_there_is_such_a_path(
    tmp_path, key, value, expected
):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "vectors.npy").touch()
    (tmp_path / "pyproject.toml").write_text(f'[tool.aumclean.scan]\n{key} = "{value}"\n')
    assert getattr(load(folder=tmp_path), key) == expected.format(folder=tmp_path)


def test_a_file_may_be_named_and_needs_no_tool_table(tmp_path):
    (tmp_path / "scan.toml").write_text("[scan]\nseed = 3\n")
    assert load(file=tmp_path / "scan.toml").seed == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[scan]\nepoch = 3\n", "key 'epoch' of .scan. is not known; did you mean 'epochs'"),
        ("[scann]\nepochs = 3\n", "table 'scann' is not known; did you mean 'scan'"),
        ("[scan]\nepochs = 0\n", "key 'epochs' of .scan.: must be a number from 1 to 100000, or auto .got 0."),
        ("[scan]\nepochs = " + "9" * 5000, "is not valid TOML"),
        ("[scan]\nepochs = " + "9" * 50, r"key 'epochs' of .scan.: must be [^\n]{1,120}$"),
        ("[scan]\nlearning_rate = 1e300\n", "key 'learning_rate' of .scan.: .*less than or equal to 1000"),
        ("[scan]\narch = 5\n", "key 'arch' of .scan.: .*valid string .got 5."),
        ("[scan]\narch = ['" + "x" * 9999 + "']\n", r"key 'arch' of .scan.: [^\n]{1,120}$"),
        ("x = " + "[" * 9999, "is not valid TOML"),
        ("[scan]\nout = {a = 1}\n", "key 'out' of .scan.: .*path"),
        ("[scan]\nepochs = 'many'\n", "key 'epochs' of .scan.: .*or auto.*'many'"),
        ("epochs = = 3", "is not valid TOML"),
        ("scan = 5\n", "'scan' must be a table"),
        ("tool = 5\n", "'tool' must be a table"),
        ("[scan]\nepochs = 5\nfirst_epoch = 5\n", "key 'first_epoch' of .scan.: 5 leaves nothing to average"),
        ("[scan]\nonly_draw = 2\n", "key 'only_draw' of .scan.: 2 is not among the draws"),
        ("[scan]\nlearning_rate = inf\n", "key 'learning_rate' of .scan.: .*finite"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, text, says):
    (tmp_path / "scan.toml").write_text(text)
    with pytest.raises(ConfigError, match=says) as refused:
        load(file=tmp_path / "scan.toml")
    assert str(refused.value).startswith(f"{tmp_path / 'scan.toml'}: ") and "\n" not in str(refused.value)


def test_a_wrong_budget_names_its_file_and_key_unless_another_was_typed(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.aumclean.gate]\nmin_score = 2\nclasses = {cat = 'few'}\n")
    where = f"{tmp_path / 'pyproject.toml'}: key"
    with pytest.raises(ConfigError, match=f"^{where} 'classes' of .gate.: cat: must be a count"):
        reading.load_gate({"min_score": 0.5}, environment={}, folder=tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.aumclean.gate]\nmin_score = 2\n")
    with pytest.raises(ConfigError, match="^--min-score: .*got 3"):
        reading.load_gate({"min_score": 3}, environment={}, folder=tmp_path)
    with pytest.raises(ConfigError, match=f"^{where} 'min_score' of .gate.: input should be less than or equal to 1"):
        reading.load_gate({}, environment={}, folder=tmp_path)


@pytest.mark.parametrize("said", ["20", "12345678", "999999999999999", "2.5%", "0.001%", "100%"])
def test_a_budget_is_shown_as_it_was_given(said):
    assert str(reading.load_gate({"max_flagged": said}, environment={}).max_flagged) == said


@pytest.mark.parametrize(
    ("given", "environment", "says"),
    [
        ({}, {"AUMCLEAN_EPOCH": "3"}, "AUMCLEAN_EPOCH is not known; did you mean 'AUMCLEAN_EPOCHS'"),
        ({}, {"AUMCLEAN_EPOCHS": "0"}, "environment variable AUMCLEAN_EPOCHS: must be a number"),
        ({"percentile": 100.0}, {}, "--percentile: .*less than 100"),
        ({"draws": 1}, {}, "--draws: .*greater than or equal to 2"),
        ({"preset": "quick"}, {}, "--preset: .*'fast'"),
        ({"epochs": 5, "first_epoch": 5}, {}, "--first-epoch: 5 leaves nothing to average over 4 epochs"),
    ],
)
def test_mistakes_elsewhere_are_named(given, environment, says):
    with pytest.raises(ConfigError, match=says):
        load(given, environment)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.toml: cannot be read"):
        load(file=tmp_path / "nowhere.toml")


def test_paper_preset_is_the_published_protocol():
    paper = load({"preset": "paper"})
    names = ("epochs", "learning_rate", "weight_decay", "combine", "rule", "warmup_epochs", "small_arch")
    assert [paper.by_preset(name) for name in names] == [150, 0.1, 1e-4, "all", "percentile", 0, "resnet32"]
    assert (paper.batch_size, paper.by_preset("percentile"), paper.by_preset("draws")) == (64, 99, 2)
    assert (paper.recorded_epochs, paper.judged_by) == (150, "indicator")
    assert load({"preset": "asapp"}).by_preset("rule") == "asapp"
