import numpy as np
import torch

from aumclean.training.models import build_model
from aumclean.training.predict import predict


def test_no_images_give_no_logits_with_as_many_columns():
    for arch in ("resnet8-s2d", "resnet9"):
        none = np.empty((0, 12, 12, 3), np.uint8)
        found = predict(build_model(arch, 5, 12), none, [0.0] * 3, [1.0] * 3, mirror=True, device=torch.device("cpu"))
        assert found.shape == (0, 5)


def test_batches_change_nothing(monkeypatch):
    model = build_model("resnet8-s2d", 5, 13)
    images = np.random.default_rng(0).integers(0, 256, (7, 13, 13, 3), dtype=np.uint8)
    whole, parts = [], []
    for batch, found in ((256, whole), (3, parts)):
        monkeypatch.setattr("aumclean.training.predict.BATCH", batch)
        options = {"mirror": True, "device": torch.device("cpu")}
        found.append(predict(model, images, [120.0] * 3, [60.0] * 3, **options))
    np.testing.assert_allclose(whole[0], parts[0], atol=1e-5)
    assert whole[0].shape == (7, 5)
