"""Whether a model's seeds can compute as one network, found by trying it."""

from __future__ import annotations

from dataclasses import replace
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
CLOSE = 1e-4  # two sums of the same; a row more among three would move a mean by a quarter


def why_not(prepared: Prepared, samples: Samples, settings: TrainSettings) -> str:
    """What keeps the model from being stacked, found by a step of it; "" where nothing does.

    On the CPU, where a batch that is filled up has the draws of one that isn't.
    """
    few = _on_cpu(prepared)
    networks, generators = begun(few, samples, [settings] * TRIED)
    if type(networks[0]).begin is not Network.begin:
        return "it begins each epoch with something of its own"
    stack = Stack(networks, generators)
    before = [torch.get_rng_state(), *(x.clone() for x in stack.fixed.values())]
    try:
        losses = _losses(stack, few, settings)
        losses.sum().backward()
    except (RuntimeError, TypeError, ValueError) as error:  # whatever torch says of a model's code
        if is_out_of_memory(error):
            raise
        return str(error).strip().partition("\n")[0]
    if not all(map(torch.equal, before, [torch.get_rng_state(), *stack.fixed.values()])):
        return "it draws random numbers other than by `model.step.dropout`, or changes a buffer"
    again = Stack(*begun(few, samples, [settings] * TRIED))
    if not torch.allclose(_losses(again, few, settings, more=1), losses, CLOSE, CLOSE):
        return "its loss is another where a batch is filled up with rows that are no clips"
    return ""


def _on_cpu(prepared: Prepared) -> Prepared:
    """A few clips."""
    inputs, targets = prepared.inputs[:TRIED].to("cpu"), prepared.targets[:TRIED].cpu()
    return replace(prepared, inputs=inputs, targets=targets)


def _losses(stack: Stack, few: Prepared, settings: TrainSettings, more: int = 0) -> Tensor:
    """Of each network on all clips, and on so many rows more that are none."""
    clips = len(few.inputs)
    are_clips = torch.arange(clips + more) < clips
    rows = torch.arange(clips + more) * are_clips
    loss_of = partial(step_loss, few, settings, are_clips=are_clips)
    return stack.each(loss_of, rows.expand(TRIED, -1), filled=(clips, clips + more))
