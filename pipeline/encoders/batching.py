"""Which clips go through a network together, so that little is padded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np


def batch_size(setting: int, device: str) -> int:
    """How many clips go through a network together: on a processor, one.

    There a product's last bits depend on how many rows it has, and so would a clip's features on
    its neighbours; an accelerator is worth them.
    """
    return 1 if device == "cpu" else setting


def by_length(
    lengths: Sequence[int], most: int, most_in_all: int, equal: bool = False
) -> list[list[int]]:
    """Indices in batches of similar length.

    most: clips a batch. most_in_all: its size once padded, which a lone long one may exceed.
    equal: only equal lengths share a batch.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length, last = lengths[index], batches[-1] if batches else []
        has_room = 0 < len(last) < most and (len(last) + 1) * length <= most_in_all
        if has_room and not (equal and lengths[last[0]] != length):
            last.append(index)
        else:
            batches.append([index])
    return batches


def in_batches(
    forward: Callable[[list[int]], Iterable[np.ndarray]],
    lengths: Sequence[int],
    most: int,
    most_in_all: int,
    equal: bool = False,
) -> list[np.ndarray]:
    """What `forward` makes of each row, whose indices it is given `by_length`."""
    found: dict[int, np.ndarray] = {}
    for indices in by_length(lengths, most, most_in_all, equal):
        found.update(zip(indices, forward(indices), strict=True))
    return [found[i] for i in range(len(lengths))]
