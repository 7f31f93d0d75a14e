import pytest

from aumclean.diagnostics.frequency.heuristics import BY_PRESET, VARIANTS, heuristics, recipe_of
from aumclean.diagnostics.frequency.presets import PAPER, QUICK, limits
from aumclean.diagnostics.study import Options
from aumclean.errors import ConfigError


def test_every_variant_changes_one_thing_of_the_plain_recipe():
    assert recipe_of("vanilla", PAPER, "paper") == PAPER
    recipes = [recipe_of(variant, PAPER, "paper") for variant in VARIANTS]
    assert len(set(recipes)) == len(recipes)
    assert recipe_of("sgd", PAPER, "paper").learning_rate == pytest.approx(1e-3)
    assert recipe_of("adversarial", PAPER, "paper").adversarial_steps == 10
    assert recipe_of("adversarial", QUICK, "quick").adversarial_steps == 3
    assert set(BY_PRESET["quick"]) < set(BY_PRESET["paper"]) == set(VARIANTS)


def test_batch_norm_is_judged_both_ways_and_every_variant_has_its_row(bands, tmp_path):
    options = Options(data=bands, out=tmp_path / "o", device="cpu", epochs=2, batch_size=32, precision="fp32")
    report, _ = heuristics(options, variants=("vanilla", "mix-up", "batch-norm", "adversarial"), radii=(3,))
    assert [row.variant for row in report.tables[0].rows] == [
        "vanilla", "mix-up", "batch-norm (running)", "batch-norm (batch)", "adversarial",
    ]  # fmt: skip
    for row in report.tables[0].rows:
        assert row.gap == pytest.approx(row.train - row.test)
        assert {"low-3", "high-3"} == row.model_extra.keys()
    assert any("statistics" in sentence for sentence in report.said)


def test_an_unknown_variant_is_named_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match=r"--variants: 'mixup' is none of .*did you mean 'mix-up'"):
        heuristics(Options(data=tmp_path / "absent"), variants=("mixup",))


def test_what_the_quick_preset_cannot_show_is_said_as_long_as_there_is_something(tmp_path):
    quick, paper = Options(data=tmp_path), Options(data=tmp_path, preset="paper")
    (named,), (bare,) = limits(quick, ["this", "that"]), limits(quick, [])
    assert "cannot show this nor that;" in named
    assert "cannot" not in bare and "orderings may show" in bare
    assert limits(paper, ["this"]) == []
