"""Where networks run: what a device may be called, which one is meant, and whether it works."""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from pipeline.errors import UserError
from pipeline.system.spans import span

if TYPE_CHECKING:
    import torch

NAMES = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
FETCHING = {"cuda"}  # from pinned memory by themselves
OUT_OF_MEMORY = (  # as torch says it; the last is oneDNN's, of an LSTM on the CPU
    "out of memory", "can't allocate memory", "ALLOC_FAILED", "could not execute a primitive",
)  # fmt: skip
BROKEN = re.compile(  # what torch and the libraries below it say of a device, not of an input
    r"(CUDA|CUDNN|CUBLAS|CUFFT|CUSOLVER|CUSPARSE|NCCL|NVRTC|HIP|MIOpen|MPS|XPU)"
    r"( driver)?[ _-]?(error|failure|status|backend)|unable to find an engine|Triton Error|"
    r"NVIDIA driver|not compiled with \w+ enabled|no \w+ GPUs are available|no kernel image|"
    r"invalid device|no CUDA-capable device|at start of device string|"
    r"cannot access accelerator device",
    re.IGNORECASE,
)


def _named(name: str) -> str:
    if not NAMES.fullmatch(name):
        raise ValueError("no device is called so; say auto, cpu, cuda or, of several, cuda:1")
    return name


Device = Annotated[str, AfterValidator(_named)]


def device_of(setting: str) -> str:
    """`auto` to "cuda" where there is one, else "cpu"; anything else as it is."""
    if setting != "auto":
        return setting
    # torch is heavy and a plan does without it.
    with span("import"):
        import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def meant(setting: str) -> list[str]:
    """The devices that a task may be given: of `auto` every one of several, else that one."""
    device = device_of(setting)
    if setting != "auto" or device == "cpu":
        return [device]
    # Known to be there once a device was found.
    import torch

    several = range(torch.cuda.device_count())
    return [f"{device}:{i}" for i in several] if len(several) > 1 else [device]


@lru_cache
def require(setting: str) -> str:
    """The device that is meant, each having computed something; UserError, one line, where not.

    From then on float32 means float32 in this process, and kernels are chosen the same way always.
    """
    device = device_of(setting)
    if device == "cpu":
        return device
    import torch

    allow_tf32(False)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    for one in meant(setting):
        try:
            torch.ones(1, device=one).add(1).item()
        except Exception as error:  # every kind of device has its own errors
            said = re.split(r"\.\s|\.?\n|\.$", str(error).strip())[0] or type(error).__name__
            raise UserError(
                f"device {one!r} can't be used on {socket.gethostname()}: {said}; set `device` to "
                "auto or cpu, or see what `smp doctor` says of the GPU"
            ) from None
    return device


def allow_tf32(is_allowed: bool) -> None:
    """Whether NVIDIA's GPUs may cut float32 to 10 bits in products, in the whole process.

    torch allows it in convolutions by itself; there it moved MTCNN's boxes by up to 10.9 px.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = is_allowed


def described(setting: str) -> str:
    """A device as a person knows it: `cpu`, or `cuda (NVIDIA H200)`."""
    device = require(setting)
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


def uploaded(tensor: torch.Tensor, device: str | torch.device) -> torch.Tensor:
    """A tensor of the host's on a device; a CUDA device fetches it while the host goes on."""
    import torch

    fetches = torch.device(device).type in FETCHING
    return (tensor.pin_memory() if fetches else tensor).to(device, non_blocking=fetches)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the machine's or the accelerator's; torch is not loaded to ask."""
    of_torch = isinstance(error, RuntimeError) and any(w in str(error) for w in OUT_OF_MEMORY)
    return isinstance(error, MemoryError) or of_torch


def is_broken(error: BaseException) -> bool:
    """Whether a device or its driver failed, which is no clip's fault."""
    told = isinstance(error, RuntimeError | AssertionError) and BROKEN.search(str(error))
    return type(error).__name__ == "AcceleratorError" or bool(told)
