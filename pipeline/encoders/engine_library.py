"""Networks of torch as other libraries compute them: converted to ONNX, loaded, run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write
from pipeline.system import resources

if TYPE_CHECKING:
    import torch

EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
# What OpenVINO 2026.4 keeps between calls for inputs of one length it uses for those of another:
# after a sound of one state it gave wrong states of longer ones, off by as much as they are.
ONE_LENGTH = ("openvino",)
OPSET = 17
MOST_BYTES = 2_000_000_000  # what fits into one file of ONNX's
Run = Callable[[np.ndarray], list[np.ndarray]]


def installed() -> dict[str, str]:
    """The libraries that are there, with their versions."""
    found = {}
    for engine in EXTRAS:
        try:
            found[engine] = version(engine)
            version("onnx")
        except PackageNotFoundError:
            found.pop(engine, None)
    return found


def export(network: torch.nn.Module, x: torch.Tensor, free: list[int], file: Path) -> None:
    """Write a network that takes `x`, its axes `free` of any length, as ONNX."""
    import torch

    size = sum(parameter.nbytes for parameter in network.parameters())
    if size > MOST_BYTES:
        raise UserError(f"its weights are {size / 1e9:.1f} GB, more than fit into a file of ONNX's")
    with atomic_write(file) as part, torch.no_grad(), warnings.catch_warnings():
        # The exporter that follows it writes a file beside the first and needs onnxscript. What
        # this one warns of, that it takes for constant, is what is held against torch.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            flat(network),
            (x,),
            str(part),
            opset_version=OPSET,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": free} if free else None,
        )


def flat(network: torch.nn.Module) -> torch.nn.Module:
    """The network with a tuple for what it gives, be that a tensor or a list of them."""
    import torch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            out = self.network(x)
            return tuple(out) if isinstance(out, list) else (out,)

    return Flat().eval()


def load(engine: str, file: Path) -> Run:
    """A converted network; several threads may call it at once, and each call keeps one busy."""
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
        return lambda x: list(session.run(None, {"x": x}))
    import openvino

    # A stream is one thread, and a call has one to itself. Pinned ones would meet on one core with
    # those of other processes. In float32 even where the processor is faster in bfloat16.
    at_once = resources.cores()
    how = {
        "INFERENCE_NUM_THREADS": at_once,
        "NUM_STREAMS": at_once,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(str(file), "CPU", how)

    def run(x: np.ndarray) -> list[np.ndarray]:
        found = compiled.create_infer_request().infer({0: x})
        return [found[out].copy() for out in compiled.outputs]

    return run
