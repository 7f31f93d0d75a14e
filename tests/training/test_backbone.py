import pytest
import safetensors.torch
import torch

from aumclean.errors import ConfigError, DataError
from aumclean.training.backbone import load_backbone

TINY = "timm:test_resnet"  # a network of timm's own tests


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("auto")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a small network in a file."""
    import timm

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    safetensors.torch.save_file(timm.create_model(TINY.removeprefix("timm:")).state_dict(), file)
    return file


def test_the_wheel_gives_a_network_that_knows_what_it_sees(backbone):
    assert (backbone.image_size, backbone.width, backbone.licence) == (224, 1280, "Apache-2.0")
    assert not backbone.model.training
    assert not any(weight.requires_grad for weight in backbone.model.parameters())
    assert len(backbone.sha256) == 64


def test_weights_in_a_file_need_no_network_and_have_a_name_of_their_own(weights, tmp_path):
    found = load_backbone(f"{TINY}@{weights}")
    assert found.model(torch.zeros(2, 3, found.image_size, found.image_size)).shape == (2, found.width)
    state = safetensors.torch.load_file(weights)
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({name: tensor + 1 for name, tensor in state.items()}, other)
    assert load_backbone(f"{TINY}@{other}").sha256 != found.sha256
    again = tmp_path / "again.pt"
    torch.save({"state_dict": state}, again)
    assert load_backbone(f"{TINY}@{again}").sha256 == found.sha256


def test_torchvision_takes_a_file_too(tmp_path):
    from torchvision import models

    file = tmp_path / "squeeze.pt"
    torch.save(models.get_model("shufflenet_v2_x0_5").state_dict(), file)
    found = load_backbone(f"torchvision:shufflenet_v2_x0_5@{file}")
    assert found.width == 1024


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet50", "'resnet50' is no backbone"),
        ("timm:resnet5O", "did you mean 'resnet50'?"),
        ("torchvision:resnet5O", "did you mean 'resnet50'?"),
    ],
)
def test_what_is_no_backbone_is_named(name, said):
    with pytest.raises(ConfigError, match="backbone") as caught:
        load_backbone(name)
    assert said in str(caught.value)


def test_weights_that_cannot_be_had_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="neither in timm's cache nor to be had") as caught:
        load_backbone("timm:resnet18")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_weights_or_of_another_network_is_named(weights, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(weights.read_bytes()[:-7])
    for file, name in ((broken, TINY), (weights, "timm:resnet18"), (tmp_path / "missing.pt", TINY)):
        with pytest.raises(DataError) as caught:
            load_backbone(f"{name}@{file}")
        assert str(caught.value).startswith(f"{file}: ")
        assert "\n" not in str(caught.value)


def test_a_network_that_is_trained_further_starts_from_these_weights_and_is_kept_without_them(backbone, weights):
    from aumclean.config.recipe import Recipe
    from aumclean.training.models import build_model, model_of

    recipe = Recipe(arch="fine-tuned:auto", epochs=1, learning_rate=0.1, batch_size=4, weight_decay=0.0)
    network = model_of(recipe, 3, 64, seed=0)
    for name, tensor in network.body.state_dict().items():
        assert torch.equal(tensor, backbone.model.state_dict()[name])
    assert all(weight.requires_grad for weight in network.parameters())
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    again = build_model(recipe.arch, 3, 64)
    assert not torch.equal(again.body.conv_stem.weight, network.body.conv_stem.weight)
    again.load_state_dict(network.state_dict())
    of_file = model_of(Recipe(**{**vars(recipe), "arch": f"fine-tuned:{TINY}@{weights}"}), 3, 32, seed=0)
    assert torch.equal(
        next(of_file.body.parameters()), safetensors.torch.load_file(weights)[next(of_file.body.named_parameters())[0]]
    )


def test_a_network_without_pretrained_weights_cannot_start_from_them():
    from aumclean.training.models import build_model

    with pytest.raises(ConfigError, match="has no pretrained weights"):
        build_model("fine-tuned:resnet9", 3, 64)
