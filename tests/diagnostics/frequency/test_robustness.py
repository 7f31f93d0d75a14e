import numpy as np
import pytest
import torch
from torch import nn

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.frequency.kernels import drawn, first_layer, roughness, smooth, smoothed
from aumclean.diagnostics.frequency.robustness import robustness, under_attack
from aumclean.diagnostics.study import Options
from aumclean.errors import ConfigError


def plainly(kernel, rho):
    """Equation 3, weight by weight, the border repeated."""
    height, width = kernel.shape
    smooth = kernel.copy()
    for i in range(height):
        for j in range(width):
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    if down or across:
                        smooth[i, j] += (
                            rho * kernel[min(max(i + down, 0), height - 1), min(max(j + across, 0), width - 1)]
                        )
    return smooth


@pytest.mark.parametrize("rho", [0.0, 0.1, 1.0])
def test_smoothing_is_equation_3_over_space(rho):
    kernels = torch.randn(4, 3, 3, 5)
    found = smooth(kernels, rho)
    for output in range(4):
        for channel in range(3):
            np.testing.assert_allclose(
                found[output, channel], plainly(kernels[output, channel].numpy(), rho), atol=1e-5
            )
    torch.testing.assert_close(smooth(kernels, rho, keep_gain=True), found / (1 + 8 * rho))


def test_a_flat_kernel_grows_unless_the_gain_is_kept():
    flat = torch.ones(1, 3, 3, 3)
    torch.testing.assert_close(smooth(flat, 0.5), 5 * flat)
    torch.testing.assert_close(smooth(flat, 0.5, keep_gain=True), flat)


def test_roughness_is_0_flat_2_random_4_checkerboard_and_has_no_scale():
    checker = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    noise = torch.randn(64, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    assert roughness(torch.ones(2, 3, 3, 3)) == 0
    assert roughness(checker.expand(1, 3, 8, 8)) == pytest.approx(4)
    assert roughness(noise) == pytest.approx(2, abs=0.1)
    assert roughness(7 * noise) == pytest.approx(roughness(noise))
    assert roughness(smooth(noise, 1.0)) < 1


def test_only_the_first_layer_is_smoothed_and_in_a_copy():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    before = [weight.clone() for weight in model.parameters()]
    copy = smoothed(model, 0.5)
    for weight, was in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(weight, was)
    assert (copy[0].weight != model[0].weight).any()
    torch.testing.assert_close(copy[1].weight, model[1].weight)
    with pytest.raises(ConfigError, match="no convolution"):
        first_layer(nn.Linear(2, 2))


def test_kernels_are_drawn_one_square_each():
    page = drawn(torch.randn(20, 3, 3, 3), least=6, per_row=16)
    assert page.shape == (2 * 8 + 2, 16 * 8 + 2, 3)


def test_accuracy_falls_with_epsilon_and_a_search_finds_what_a_fixed_epsilon_finds():
    """A linear model on one feature: exactly the images nearer to the border than epsilon are fooled."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False)).eval()
    with torch.no_grad():
        model[1].weight[0], model[1].weight[1] = -1.0, 1.0
    levels = np.array([100, 126, 130, 160])
    images = np.broadcast_to(levels[:, None, None, None], (4, 2, 2, 3)).astype(np.uint8)
    test = Dataset(images.copy(), np.array([0, 0, 1, 1]), ("dark", "light"))
    epsilons = (0.03, 0.12, 0.2, 1 / 255)
    found = under_attack(model, test, [127.5] * 3, [50.0] * 3, epsilons, device=torch.device("cpu"))
    assert found["clean"] == 1
    for attack in ("fgsm", "pgd"):
        assert [found[f"{attack}-{epsilon}"] for epsilon in (0.03, 0.12, 0.2)] == [0.5, 0.25, 0.0]
        assert [found[f"{attack}-{epsilon}-search"] for epsilon in (0.03, 0.12, 0.2)] == [0.5, 0.25, 0.0]
        assert found[f"{attack}-0.00392157-search"] == 1


def test_both_networks_are_attacked_at_every_rho_and_kernels_are_drawn(bands, tmp_path):
    options = Options(
        data=bands, out=tmp_path / "o", device="cpu", epochs=2, batch_size=32, test_limit=16, precision="fp32"
    )
    report, _ = robustness(options, epsilons=(0.05,), rhos=(1.0,))  # the network as trained is shown beside
    rows = report.tables[0].rows
    assert [(row.model, row.rho) for row in rows] == [
        ("natural", 0.0), ("natural", 1.0), ("adversarial", 0.0), ("adversarial", 1.0),
    ]  # fmt: skip
    for row in rows:
        assert getattr(row, "pgd-0.05-search") <= min(row.clean, getattr(row, "pgd-0.05"))
    assert rows[1].roughness < rows[0].roughness
    assert len(report.pictures) == 4
    with pytest.raises(ConfigError, match="--epsilons"):
        robustness(options, epsilons=(2.0,))
    without = options.model_copy(update={"arch": "mlp_1x512", "out": tmp_path / "mlp"})
    with pytest.raises(ConfigError, match="--arch: has no convolution"):
        robustness(without)
    assert not (tmp_path / "mlp").exists(), "refused before it is trained"
