"""Where training runs: device, number format and processes, through Accelerate."""

import platform
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Literal

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from aumclean import machine
from aumclean.errors import TrainingError, counted

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]

PATIENCE = timedelta(days=1)  # with processes that decode or train longer; those that die are noticed otherwise


def make_accelerator(device: Device) -> Accelerator:
    """The accelerator for a device name; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        TrainingError: when this machine, or this build of torch, has no such device.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device != "auto" and not available[device]:
        usable = ", ".join(name for name, there in available.items() if there)
        raise TrainingError(f"--device {device}: not available here; this torch can use: {usable}")
    torch.set_num_threads(min(torch.get_num_threads(), machine.cpus()))  # torch does not see a container's quota
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return Accelerator(
        cpu=device == "cpu" or not (available["cuda"] or available["mps"]),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )


def own_stream(device: torch.device) -> AbstractContextManager[object]:
    """What a thread enters so that its work on a GPU does not wait for that of other threads."""
    if device.type != "cuda":
        return nullcontext()
    return torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there; on a CPU without the instructions it is ten times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return False


def takes_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bfloat16 there: where that was asked for, or is fast and nothing was."""
    return precision == "bf16" or (precision == "auto" and has_fast_bf16(device))


def largest_image(device: torch.device) -> int:
    """Side in pixels above which nobody trains there without having asked for it."""
    return 64 if device.type == "cpu" else 160


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    if device.type == "cpu":
        threads = counted(torch.get_num_threads(), "thread")
        return f"CPU {platform.machine()}, {threads}, {torch.backends.cpu.get_cpu_capability()}"
    return device.type
