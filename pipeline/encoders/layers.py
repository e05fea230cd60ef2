"""Which of a network's layers gives the states: the last, another one, or the mean of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

Layer = Literal["last"] | int | tuple[int, int]
LAST: Layer = "last"


def states_of(network: Any, layer: Layer, **given: Any) -> torch.Tensor:
    """The network's states [rows, length, width] at `layer`, from what it is `given`.

    `last`: what comes out. Numbers are those of transformers' `hidden_states`: 0 is what goes into
    the first layer, -1 comes out of the last one, in some networks before its last norm. Of a pair
    the mean from one through the other. Raises UserError where the network has no such layer.
    """
    import torch

    if layer == LAST:
        return network(**given).last_hidden_state
    every = network(**given, output_hidden_states=True).hidden_states
    first, last = ends(layer, len(every) - 1)
    return torch.stack([of.float() for of in every[first : last + 1]]).mean(dim=0)


def ends(layer: Layer, count: int) -> tuple[int, int]:
    """The first and the last of `layer`, numbers from 0 through the `count` of a network's layers.

    Raises UserError where it has no such layer.
    """
    if layer == LAST:
        return count, count
    named = layer if isinstance(layer, tuple) else (layer, layer)
    first, last = (end + count + 1 if end < 0 else end for end in map(int, named))
    if not 0 <= first <= last <= count:
        told = list(layer) if isinstance(layer, tuple) else layer
        raise UserError(
            f"layer {told}: these weights have {count} layers; name one from 0, what goes into "
            f"the first, to {count}, or from -{count + 1} to -1, or two such in this order"
        )
    return first, last
