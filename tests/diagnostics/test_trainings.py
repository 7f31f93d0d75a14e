import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch

from aumclean.config.recipe import Recipe
from aumclean.diagnostics.rows import EpochRow
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.trainings import trained
from aumclean.errors import RunError
from aumclean.training.device import make_accelerator

RECIPE = Recipe("resnet8", epochs=4, learning_rate=1e-2, batch_size=32, weight_decay=0.0, optimizer="adam")


def without_time(rows):
    return [row.model_dump(exclude={"seconds"}) for row in rows]


def run(path, study, recipe=RECIPE, **options):
    accelerator = make_accelerator("cpu")
    return trained(Store(path), "plain", study.train, recipe, EpochRow, seed=1, accelerator=accelerator, **options)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_stopped_training_goes_on_and_ends_as_if_it_had_not_been_stopped(study, tmp_path, at):
    def weigh(epoch):
        return {"weight": float(next(epoch.model.parameters()).detach().abs().sum())}

    def weigh_until(epoch):
        if epoch.number + 1 == at:
            raise Stopped
        return weigh(epoch)

    straight = run(tmp_path / "straight", study, measure=weigh)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", study, measure=weigh_until)
    measured = []
    again = run(tmp_path / "stopped", study, measure=lambda epoch: measured.append(epoch.number) or weigh(epoch))
    assert without_time(again) == without_time(straight)
    assert measured == list(range(at - 1, 4))  # what was not measured yet, and nothing before it


def test_the_progress_names_the_seed(study, tmp_path):
    seen = []

    def noting(stream, description, done, total):
        seen.append(description)
        return iter(stream)

    for name in ("natural-seed=1", "planted-seed1"):
        trained(
            Store(tmp_path), name, study.train, replace(RECIPE, epochs=1), EpochRow, seed=1,
            accelerator=make_accelerator("cpu"), track=noting,
        )  # fmt: skip
    assert seen == ["natural, seed 1, epoch 1/1", "planted, seed 1, epoch 1/1"]


def test_a_stopped_training_without_its_measures_does_not_go_on(study, tmp_path):
    def stop(epoch):
        if epoch.number == 2:
            raise Stopped
        return {}

    with pytest.raises(Stopped):
        run(tmp_path, study, measure=stop)
    Store(tmp_path).training("plain").unlink()
    with pytest.raises(RunError, match=r"plain\.pt: goes on after epochs whose measures are gone; delete it"):
        run(tmp_path, study)


def test_what_has_ended_is_read_and_not_trained_again(study, tmp_path):
    first = run(tmp_path, study)
    again = run(tmp_path, study, measure=lambda epoch: pytest.fail("trained again"))
    assert again == first
    assert not Store(tmp_path).checkpoint("plain").exists()


def test_a_training_ends_when_it_is_enough_and_does_not_go_on_later(study, tmp_path):
    done = run(tmp_path, study, enough=lambda row: row.epoch == 2)
    assert [row.epoch for row in done] == [1, 2]
    assert run(tmp_path, study) == done


def test_a_stored_training_of_another_recipe_is_refused(study, tmp_path):
    run(tmp_path, study)
    with pytest.raises(RunError, match="another recipe or seed"):
        run(tmp_path, study, replace(RECIPE, learning_rate=0.5))
    Store(tmp_path).training("plain").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        run(tmp_path, study)


def test_the_kept_network_is_the_last_one(study, tmp_path):
    seen = {}

    def look(epoch):
        seen.update({name: value.clone() for name, value in epoch.model.state_dict().items()})
        return {}

    run(tmp_path, study, keep_weights=True, measure=look)
    weights = safetensors.torch.load_file(Store(tmp_path).weights("plain"))
    assert weights.keys() == seen.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, seen[name])


def test_rows_are_plain_json(study, tmp_path):
    run(tmp_path, study)
    stored = json.loads(Store(tmp_path).training("plain").read_text())
    assert stored["ended"] and [row["epoch"] for row in stored["rows"]] == [1, 2, 3, 4]
    assert stored["recipe"]["optimizer"] == "adam"
