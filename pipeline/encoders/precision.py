"""Networks in fewer bits where a stage's settings ask for it: faster, and a little less exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pipeline.system.turns import turn

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "tf32", "bfloat16"]
FULL: Precision = "float32"
SHORT: Precision = "bfloat16"
CUT: Precision = "tf32"


@contextmanager
def inference(precision: Precision, device: str | torch.device) -> Iterator[None]:
    """Where a network runs forward, in its turn: products in `precision`, sums in float32."""
    import torch

    kind, is_short = torch.device(device).type, precision == SHORT
    with (
        turn(device, tf32=precision == CUT),
        torch.inference_mode(),
        torch.autocast(kind, torch.bfloat16, is_short),
    ):
        yield


def lowered(network: Any, precision: Precision) -> Any:
    """The network with its matrices and kernels in bfloat16, if asked, all else in float32.

    They are what autocast converts, and it would do so in every pass anew, which costs a short
    text more than it saves. Kernels over pictures lie channels last, as fast ones take them.
    """
    import torch
    from torch import nn

    if precision != SHORT:
        return network
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.bfloat16)
    for parameter in network.parameters():
        if parameter.ndim == 4:  # torch refuses the whole network where it has kernels over time
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return network


def as_floats(values: torch.Tensor) -> Any:
    """A tensor as a float32 array: numpy has no bfloat16."""
    return values.float().cpu().numpy()
