"""Like modules as one: their weights and inputs with a leading axis, over which torch maps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from model.step.flat import flat, views
from model.step.streams import Streams, current, drawing_from

Branch = tuple[nn.Module, tuple[Tensor, ...]]
"""A module whose output is one tensor, and what it is given."""

_kinds: WeakKeyDictionary[nn.Module, Hashable] = WeakKeyDictionary()


def together(branches: Sequence[Branch], streams: Sequence[Streams] | None = None) -> list[Tensor]:
    """The output of each branch; they share no parameters.

    Branches that print alike, on inputs of the same shapes, compute as one: an accelerator waits
    for the launch of each kernel, small inputs on a CPU for Python, and so both are many times
    fewer. streams: what each draws from, by default what this thread does.
    """
    own = streams or [current() or Streams([])] * len(branches)
    groups: dict[Hashable, list[int]] = {}
    for place, branch in enumerate(branches):
        groups.setdefault(_kind(*branch), []).append(place)
    found: dict[int, Tensor] = {}
    for places in groups.values():
        outputs = _as_one([branches[p] for p in places], [own[p] for p in places])
        found |= zip(places, outputs, strict=True)
    return [found[place] for place in range(len(branches))]


def _kind(module: nn.Module, inputs: Sequence[Tensor]) -> Hashable:
    if module not in _kinds:  # to print it takes longer than to compute a small one
        weights = ((name, weight.shape) for name, weight in module.named_parameters())
        _kinds[module] = repr(module), *weights
    return _kinds[module], *(x.shape for x in inputs)


def _as_one(branches: Sequence[Branch], streams: Sequence[Streams]) -> Sequence[Tensor]:
    modules, inputs = zip(*branches, strict=True)
    if len(modules) == 1:
        with drawing_from(streams[0]):
            return [modules[0](*inputs[0])]
    every = [dict(module.named_parameters()) for module in modules]
    weights = views(flat(every), every[0])
    generators = [g for own in streams for g in own.generators]
    first, stride = streams[0], len(streams[0].generators)

    def one(weights: dict[str, Tensor], place: Tensor, *given: Tensor) -> Tensor:
        at = place * stride + (0 if first.place is None else first.place)
        with drawing_from(replace(first, generators=generators, place=at)):
            output: Tensor = functional_call(modules[0], weights, given)
        return output

    stacked = [torch.stack(x) for x in zip(*inputs, strict=True)]
    places = torch.arange(len(modules), device=inputs[0][0].device)
    outputs: Tensor = vmap(one, randomness="same")(weights, places, *stacked)
    return outputs.unbind()
