"""Whether a model's seeds can compute as one network, found by trying it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from model.data.samples import Samples
from model.network import Network
from model.step.stack import Stack
from model.training.loop import Prepared, step_loss
from model.training.settings import TrainSettings
from model.training.stacked import begun
from pipeline.system.device import is_out_of_memory

TRIED = 2  # networks, and clips


def why_not(prepared: Prepared, samples: Samples, settings: TrainSettings) -> str:
    """What keeps the model from being stacked, found by a step of it; "" where nothing does."""
    networks, generators = begun(prepared, samples, [settings] * TRIED)
    if type(networks[0]).begin is not Network.begin:
        return "it begins each epoch with something of its own"
    stack, device = Stack(networks, generators), prepared.targets.device
    rows = torch.zeros(len(networks), min(TRIED, len(prepared.inputs)), dtype=torch.int64)
    before = [*_torchs_own(device), *(x.clone() for x in stack.fixed.values())]
    try:
        losses = stack.each(partial(step_loss, prepared, settings), rows.to(device))
        losses.sum().backward()
    except (RuntimeError, TypeError, ValueError) as error:  # whatever torch says of a model's code
        if is_out_of_memory(error):
            raise
        return str(error).strip().partition("\n")[0]
    after = [*_torchs_own(device), *stack.fixed.values()]
    if not all(map(torch.equal, before, after)):
        return "it draws random numbers other than by `model.step.dropout`, or changes a buffer"
    return ""


def _torchs_own(device: torch.device) -> list[Tensor]:
    """The states of torch's own generators, where the kind of device tells them."""
    of_devices = getattr(torch.get_device_module(device), "get_rng_state_all", list)
    return [torch.get_rng_state(), *of_devices()]
