import json
from dataclasses import asdict, replace

import pytest

from aumclean.config.recipe import Recipe
from aumclean.errors import ConfigError
from aumclean.run.record import Horizon
from aumclean.verdict.horizon import COMPARED, horizon_warnings, read_horizon

RECIPE = Recipe("resnet9", 10, 0.05, 64, 0.0)
FACTS = {"horizon": 7.25, "low": 6.5, "high": 8.0, "epochs": 30, "later_than": 6.9, "images": 1000}
FACTS["recipe"] = asdict(RECIPE)


def store(folder, facts=FACTS, **changed):
    folder.mkdir(exist_ok=True)
    record = {"state": "done", "kind": "random-labels horizon", "facts": facts, **changed}
    (folder / "diagnostic.json").write_text(json.dumps(record))
    return str(folder)


def codes(horizon, recipe=RECIPE, images=1000):
    return [caution.code for caution in horizon_warnings(horizon, recipe, images)]


def test_a_number_or_a_stored_result_is_read(tmp_path):
    assert read_horizon("12") == Horizon(12.0)
    stored = read_horizon(store(tmp_path))
    assert (stored.epochs, stored.low, stored.high, stored.later_than, stored.images) == (7.25, 6.5, 8.0, 6.9, 1000)
    assert set(stored.recipe.model_dump()) == set(COMPARED)
    assert str(stored) == "7.2 epochs (6.5 to 8.0)"


@pytest.mark.parametrize("given", ["0", "-3", "nan", "inf"])
def test_what_is_no_number_of_epochs_is_refused(given):
    with pytest.raises(ConfigError, match="--horizon: .* is not a number of epochs above 0"):
        read_horizon(given)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"state": "running"}, "is not finished"),
        ({"kind": "random-labels fit"}, "holds the answer of random-labels fit"),
    ],
)
def test_another_answer_is_refused_by_name(tmp_path, changed, message):
    with pytest.raises(ConfigError, match=message):
        read_horizon(store(tmp_path, **changed))


def test_a_place_without_a_result_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such result; give a number of epochs, or the directory"):
        read_horizon(str(tmp_path / "nowhere"))
    (tmp_path / "diagnostic.json").write_text("[")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_horizon(str(tmp_path))


def test_margins_read_after_it_are_warned_of_and_the_remedy_is_the_lower_end(tmp_path):
    horizon = read_horizon(store(tmp_path))
    (caution,) = horizon_warnings(horizon, RECIPE, 1000)
    assert caution.code == "past-horizon"
    assert "over 10 epochs" in caution.message and "--epochs 6" in caution.message
    assert codes(horizon, replace(RECIPE, epochs=7)) == []


def test_closing_epochs_do_not_count_and_keep_their_share_in_the_remedy():
    recipe = replace(RECIPE, epochs=12, closing=0.25)
    assert codes(Horizon(9.0), recipe) == []
    (caution,) = horizon_warnings(Horizon(6.0), recipe, 1000)
    assert "over 9 epochs" in caution.message and "--epochs 8" in caution.message


def test_a_horizon_that_was_not_reached_warns_only_beyond_what_was_trained():
    horizon = Horizon(None, later_than=30)
    assert codes(horizon) == []
    assert codes(horizon, replace(RECIPE, epochs=31)) == ["horizon-unknown"]
    assert str(horizon) == "later than 30 epochs"


def test_a_horizon_of_another_recipe_or_of_other_data_is_named(tmp_path):
    horizon = read_horizon(store(tmp_path))
    recipe = replace(RECIPE, epochs=5, learning_rate=0.1)
    cautions = horizon_warnings(horizon, recipe, 5000)
    assert [caution.code for caution in cautions] == ["horizon-of-another-recipe", "horizon-of-other-data"]
    assert "another learning_rate;" in cautions[0].message
    assert codes(Horizon(20.0), recipe, 5000) == []
