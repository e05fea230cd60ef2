"""Independent branches of a network, each on a core of its own where cores are free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from model.step.streams import Streams, current, drawing_from
from model.step.threads import spread
from model.step.together import Branch, together


def side_by_side(branches: Sequence[Branch], small: bool = False) -> list[Tensor]:
    """The output of each branch; they share no parameters.

    In training on the CPU each thread that `system.threads` grants takes the next branch, so
    the long ones go first; gradients are found in the same way. Each branch draws its dropout from
    a generator of its own, and gradients of an input that several read are added in the order of
    `branches`: the bits are the same on any number of threads. In a stack of networks, and where
    they are so `small` that threads are not worth it, branches that are alike compute as one, with
    those same draws.
    """
    learns = torch.is_grad_enabled() and branches[0][1][0].device.type == "cpu"
    streams = current() or Streams([torch.default_generator])
    if streams.place is not None or (learns and small):
        return together(branches, _own(streams, len(branches)) if learns else None)
    if not learns:
        return [module(*inputs) for module, inputs in branches]
    flat = [x for module, inputs in branches for x in (*inputs, *module.parameters())]
    outputs: tuple[Tensor, ...] = _Graphs.apply(branches, *flat)
    return list(outputs)


class _Graphs(torch.autograd.Function):
    """A graph for each branch, cut from the one around it, so that each has its own backward."""

    @staticmethod
    def forward(ctx: Any, branches: Sequence[Branch], *flat: Tensor) -> tuple[Tensor, ...]:
        own = _own(Streams([torch.default_generator]), len(branches))
        ctx.leaves = [_leaves(*branch) for branch in branches]

        def run(place: int) -> Tensor:
            module, inputs = branches[place]
            with torch.enable_grad(), drawing_from(own[place]):
                output: Tensor = module(*ctx.leaves[place][: len(inputs)])
            return output

        ctx.outputs = spread(run, range(len(branches)))
        return tuple(output.detach() for output in ctx.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        def run(place: int) -> list[Tensor | None]:
            leaves: list[Tensor] = ctx.leaves[place]
            wanted = [x for x in leaves if x.requires_grad]
            # A scalar with these gradients: to be given them, torch imports sympy, for a second.
            with torch.enable_grad():
                scalar = (ctx.outputs[place] * gradients[place]).sum()
            found = torch.autograd.grad(scalar, wanted, allow_unused=True)
            each = iter(found)
            return [next(each) if x.requires_grad else None for x in leaves]

        found = spread(run, range(len(gradients)))
        return (None, *(gradient for own in found for gradient in own))


def _own(streams: Streams, branches: int) -> list[Streams]:
    """A stream for each branch, or in a stack for each network's, begun by a draw of `streams`."""
    seeds = [torch.randint(2**62, (branches,), generator=g).tolist() for g in streams.generators]
    of_branches = zip(*([Generator().manual_seed(n) for n in own] for own in seeds), strict=True)
    return [replace(streams, generators=own) for own in of_branches]


def _leaves(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The inputs, cut from what they were computed with, and the module's parameters."""
    return [*(x.detach().requires_grad_(x.requires_grad) for x in inputs), *module.parameters()]
