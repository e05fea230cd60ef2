"""Texts side by side in rows of one length, on a processor: none depends on its neighbours.

A product's last bits depend on how many rows it has, not on which they are. So as many tokens go
through at once whatever the texts, each of which attends to itself alone at its own length: batches
without padding that differ from no other batch by a bit. Where a product's bits don't depend on its
rows either, as `lengths` finds out, a row is no longer than its texts need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoders.layers import Layer, states_of
from pipeline.encoders.precision import Precision, as_floats, inference
from pipeline.system.spans import span

if TYPE_CHECKING:
    import torch

TOKENS = 192  # a row; a longer text has one of its own length
SHORT = (24, 48, 96)  # rows of fewer tokens, where their number changes no bit
FROM_ZERO = ("bert", "electra")  # families by where they count a token's place from
FROM_PADDING = ("roberta", "xlm-roberta", "camembert")
ATTENTION = "each-text-to-itself"


def made_for(model: Any) -> bool:
    """Have a network attend to each text alone, where its kind and device let it; whether so."""
    from transformers import AttentionInterface

    config = model.config
    is_known = config.model_type in (*FROM_ZERO, *FROM_PADDING) and not config.is_decoder
    if model.device.type != "cpu" or not is_known:
        return False
    AttentionInterface.register(ATTENTION, _to_itself)
    model.set_attn_implementation(ATTENTION)
    return True


def lengths(model: Any, precision: Precision) -> tuple[int, ...]:
    """How long rows may be on this processor, the least first, so that no bit depends on it."""
    import torch
    from torch.nn.functional import linear

    layers = [of for of in model.modules() if isinstance(of, torch.nn.Linear)]
    noise = torch.Generator().manual_seed(0)
    with inference(precision, "cpu"):
        for layer in {of.weight.shape: of for of in layers}.values():
            x = torch.randn(TOKENS, layer.in_features, generator=noise)
            full = linear(x, layer.weight, layer.bias)
            for short in SHORT:
                if not torch.equal(linear(x[:short], layer.weight, layer.bias), full[:short]):
                    return (TOKENS,)
    return (*SHORT, TOKENS)


def packed(lengths: Sequence[int], room: int = TOKENS) -> list[list[int]]:
    """Indices of texts row by row: the longest first, each where there is room for it yet."""
    rows: list[list[int]] = []
    left: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[index]
        row = next((n for n, free in enumerate(left) if length <= free), len(rows))
        if row == len(rows):
            rows.append([])
            left.append(max(room, length))
        rows[row].append(index)
        left[row] -= length
    return rows


def states(
    model: Any,
    texts: Sequence[np.ndarray],
    lengths: Sequence[int],
    precision: Precision,
    layer: Layer,
) -> list[np.ndarray]:
    """The hidden states of each text, its token ids [n], at `layer`: float32 [n, width].

    model: one that is `made_for` this. lengths: of rows that may be, the least first.
    """
    found: dict[int, np.ndarray] = {}
    for row in packed([len(text) for text in texts]):
        of_row = [texts[index] for index in row]
        room = next((room for room in lengths if room >= sum(map(len, of_row))), 0)
        parts = _row_of(model, of_row, room, precision, layer)
        found.update(zip(row, parts, strict=True))
    return [found[index] for index in range(len(texts))]


@span("network")
def _row_of(
    model: Any, texts: Sequence[np.ndarray], room: int, precision: Precision, layer: Layer
) -> list[np.ndarray]:
    row = as_row(model, texts, room)
    with inference(precision, "cpu"):
        rows = states_of(model, layer, **row)
        return np.split(as_floats(rows[0]), np.cumsum(row["lengths"]))[: len(texts)]


def as_row(model: Any, texts: Sequence[np.ndarray], room: int = 0) -> dict[str, Any]:
    """What a model that is `made_for` this takes: texts, their token ids [n], as one row [1, all].

    room: how many tokens the row has at least. Beyond the texts it holds padding.
    """
    import torch

    padding = model.config.pad_token_id or 0
    empty = room - sum(map(len, texts))
    filled = [*texts, np.full(empty, padding)] if empty > 0 else texts
    first = padding + 1 if model.config.model_type in FROM_PADDING else 0
    # Beyond the texts places are of no matter, but a network has only so many.
    places = [np.arange(len(text)) for text in texts] + [np.zeros(max(empty, 0), int)]
    return {
        "input_ids": torch.from_numpy(np.concatenate(filled))[None],
        "position_ids": torch.from_numpy(np.concatenate(places) + first)[None],
        "lengths": [len(text) for text in filled],
    }


def _to_itself(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    lengths: list[int] | None = None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers asks of an attention: of `query`, `key`, `value` [1, heads, tokens, width]
    that hold texts of those `lengths`, or one text, [1, tokens, heads, width]."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attention

    parts = (of.split(lengths, dim=2) if lengths else [of] for of in (query, key, value))
    seen = [attention(q, k, v, scale=scaling) for q, k, v in zip(*parts, strict=True)]
    return torch.cat(seen, dim=2).transpose(1, 2).contiguous(), None
