import json

import numpy as np
import pytest
import safetensors.torch
import torch

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.errors import RunError
from aumclean.training.models import model_of
from aumclean.training.network import About, Network, read_network, write_network
from aumclean.training.predict import predict

RECIPE = Recipe("resnet9", epochs=1, learning_rate=0.1, batch_size=8, weight_decay=0.0, dropout=0.5, batch_norm=False)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    return Dataset(images, np.arange(6) % 3, ("a", "b", "c"))


@pytest.fixture
def kept(data, tmp_path):
    """A network that was never trained, and its file."""
    model = model_of(RECIPE, 3, 16, seed=1)
    write_network(tmp_path / "net.safetensors", model.state_dict(), data, RECIPE)
    return model, tmp_path / "net.safetensors"


def test_a_kept_network_says_what_it_said_before(kept, data):
    model, file = kept
    network = read_network(file)
    assert (network.about.class_names, network.about.image_size) == (("a", "b", "c"), 16)
    said = predict(model.eval(), data.images, network.about.mean, network.about.std, mirror=True, device=CPU)
    np.testing.assert_array_equal(network.logits(data.images, CPU), said)


def test_the_output_of_an_indicator_class_is_left_out(data):
    about = About(class_names=("a", "b"), image_size=16, mean=[0.0] * 3, std=[1.0] * 3)
    network = Network(model_of(RECIPE, 3, 16, seed=1).eval(), about, flip=False)
    assert network.logits(data.images, CPU).shape == (6, 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class_names": ["a"]}, "size mismatch"),
        ({"image_size": 10**9}, "image_size"),
        ({"mean": [1.0]}, "mean"),
        ({"schema_version": 2}, "schema_version"),
        ({"recipe": {"arch": 5}}, "recipe"),
        ({"recipe": None}, "recipe"),
    ],
)
def test_a_header_of_the_wrong_shape_is_refused_in_one_line(kept, change, says):
    _, file = kept
    with safetensors.safe_open(file, "pt") as opened:
        header = {**json.loads(opened.metadata()["aumclean"]), **change}
    weights = safetensors.torch.load_file(file)
    file.write_bytes(safetensors.torch.save(weights, metadata={"aumclean": json.dumps(header)}))
    with pytest.raises(RunError, match=f"cannot be read as a network .*{says}") as caught:
        read_network(file)
    assert "\n" not in str(caught.value)


def test_a_file_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(safetensors.torch.save({"w": torch.zeros(1)}))
    with pytest.raises(RunError, match="was not kept by an aumclean diagnostic"):
        read_network(tmp_path / "x.safetensors")
