"""A backbone on this machine: through OpenVINO on a CPU, four times as fast as torch there, else through torch."""

import importlib.util
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn

from aumclean.training.backbone import Backbone

VIEWS = 2  # of each image: all of it, and its middle mirrored, which tell more than either and its mirror image
BATCH = 64  # images at a time on an accelerator; on a CPU it is one, so that no image's features depend on others


class _TwoViews(nn.Module):
    """uint8 [batch, 2, size, size, 3] to float32 [batch, 2, width]: the pixels' scale belongs to the graph."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.model = backbone.model
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(backbone.std).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        pixels = (images.flatten(0, 1).permute(0, 3, 1, 2).float() - self.mean) / self.std
        found: torch.Tensor = self.model(pixels)
        return found.flatten(1).view(len(images), VIEWS, -1)


def features_of(chunks: Iterable[np.ndarray], backbone: Backbone, device: torch.device) -> Iterator[np.ndarray]:
    """Features of images, chunk by chunk.

    Args:
        chunks: uint8 [any, 2, size, size, 3] each.
        backbone: what to look through.
        device: where to compute.

    Yields:
        float16 [any, 2, width], a chunk for each.
    """
    model = _TwoViews(backbone).eval()
    if device.type == "cpu" and importlib.util.find_spec("openvino") is not None:
        yield from _through_openvino(chunks, model, backbone.image_size)
    else:
        yield from _through_torch(chunks, model.to(device), device)


def _through_torch(chunks: Iterable[np.ndarray], model: nn.Module, device: torch.device) -> Iterator[np.ndarray]:
    step, bf16 = (1, False) if device.type == "cpu" else (BATCH, True)
    model = model.to(memory_format=torch.channels_last)
    for chunk in chunks:
        found = []
        for start in range(0, len(chunk), step):
            pixels = torch.from_numpy(chunk[start : start + step]).to(device)
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                found.append(model(pixels).float().cpu().numpy().astype(np.float16))
        yield np.concatenate(found)


def _through_openvino(chunks: Iterable[np.ndarray], model: nn.Module, size: int) -> Iterator[np.ndarray]:
    """One image a request, as many requests at a time as OpenVINO finds best; float32, since bf16 errs by a third."""
    import openvino

    blank = torch.zeros((1, VIEWS, size, size, 3), dtype=torch.uint8)
    graph = openvino.convert_model(torch.export.export(model, (blank,)))
    threads = torch.get_num_threads()  # which make_accelerator, Ray and torchrun keep to what this process may use
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(graph, "CPU", hints)
    queue = openvino.AsyncInferQueue(compiled)
    width: int = compiled.output(0).shape[-1]
    found: np.ndarray

    def keep(request: openvino.InferRequest, position: int) -> None:
        found[position] = request.get_output_tensor(0).data[0]

    queue.set_callback(keep)
    for chunk in chunks:
        found = np.empty((len(chunk), VIEWS, width), np.float16)
        for position, image in enumerate(chunk):
            queue.start_async({0: image[None]}, position, share_inputs=True)
        queue.wait_all()
        yield found
