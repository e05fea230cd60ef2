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
    return torch.stack([of.float() for of in _chosen(every, layer)]).mean(dim=0)


def _chosen(every: tuple[torch.Tensor, ...], layer: Layer) -> tuple[torch.Tensor, ...]:
    ends = (layer, layer) if isinstance(layer, int) else layer
    first, last = (end + len(every) if end < 0 else end for end in map(int, ends))
    if not 0 <= first <= last < len(every):
        named = layer if isinstance(layer, int) else list(layer)
        raise UserError(
            f"layer {named}: these weights have {len(every) - 1} layers; name one from 0, what "
            f"goes into the first, to {len(every) - 1}, or from -{len(every)} to -1, or two such "
            "in this order"
        )
    return every[first : last + 1]
