"""Which step of a shorter sequence stands beside each step of a longer one."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest(own: Tensor, longest: Tensor, steps: int) -> Tensor:
    """Int64 [n, steps]: the step of `own` that lies nearest to each of `longest`; halves go up.

    It is the one rule for what is shorter beside what is longer, ends on ends. A channel of 32
    sampled steps meets no halves (31 is a prime); shorter ones do, and no step of theirs is nearer
    then. Going up, in whole numbers, takes each step between the ends equally often, within one,
    and gives the same on every device, which rounding to even does not (nor float division).
    """
    step = torch.arange(steps, device=own.device)
    last, end = ((lengths - 1).clamp(min=0)[:, None] for lengths in (own, longest))
    index = (2 * step * last + end) // (2 * end).clamp(min=1)
    return torch.minimum(index, last)
