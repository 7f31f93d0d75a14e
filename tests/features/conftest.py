"""One backbone for all, and pictures that are not noise."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

pytest.importorskip("openvino", reason="the extra `features` is not installed")


@pytest.fixture(scope="session")
def backbone():
    """EfficientNet-Lite0 from its wheel."""
    from aumclean.training.backbone import load_backbone

    return load_backbone("auto")


@pytest.fixture(scope="session")
def small_backbone():
    """A network that takes milliseconds, for all that does not depend on what is seen."""
    import torch

    from aumclean.training.backbone import Backbone

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=3), torch.nn.Tanh(), torch.nn.AdaptiveAvgPool2d(1))
    half = (0.5, 0.5, 0.5)
    return Backbone("small", "0" * 64, None, 32, 8, half, half, model.eval())


def drawing(seed: int, size: tuple[int, int] = (224, 170)) -> Image.Image:
    """Shapes of all colours on a coloured ground: no two seeds look alike."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = (int(v) for v in rng.integers(0, [*size, size[0] // 2, size[1] // 2]))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape([x, y, x + w, y + h], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def copies(image: Image.Image) -> dict[str, Image.Image]:
    """What people do to a picture before they save it a second time; all are then compressed."""
    w, h = image.size
    return {
        "again": image,
        "smaller": image.resize((w * 2 // 3, h * 2 // 3)),
        "cropped": image.crop((2, 2, w - 2, h - 2)),
        "mirrored": ImageOps.mirror(image),
    }


def save_jpeg(image: Image.Image, path, quality: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality)
    path.write_bytes(sink.getvalue())
