"""A convolution over the steps of which only the mean is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pooled_convolution(
    x: Sequence[Tensor], masks: Sequence[Tensor], convolution: nn.Conv1d, mask: Tensor
) -> Tensor:
    """The mean over the real steps of `convolution`, whose kernel is odd and keeps the length.

    Both are linear, so the mean comes first: for each place in the kernel the mean of what that
    place reads, and one product with the kernel instead of one a step.
    x: what the convolution reads, side by side, [n, steps, width] each, and of each its own real
    steps [n, steps], the others counting as zero. mask: the steps to take the mean over.
    Returns [n, outputs]; zeros where no step is real.
    """
    half = convolution.kernel_size[0] // 2
    count = mask.sum(1, keepdim=True)
    share = F.pad(mask / count.clamp(min=1), (half, half))
    # Place k reads step t + k − half for each real t: step s counts where s − k + half is real.
    places = range(2 * half, -1, -1)
    shares = torch.stack([share[:, place : place + mask.shape[1]] for place in places], 1)
    means = [torch.bmm(shares * own[:, None], part) for part, own in zip(x, masks, strict=True)]
    read = torch.cat(means, dim=-1)  # [n, kernel, width]
    weight = convolution.weight.flatten(1)
    return F.linear(read.transpose(1, 2).flatten(1), weight, convolution.bias) * (count > 0)
