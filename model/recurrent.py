"""A bidirectional LSTM for padded sequences, in which padding comes after everything real."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BiLstm(nn.Module):
    """Two LSTMs, one of which reads each clip from its last real step to its first.

    Neither meets padding before it has read all real steps, so that no value at a real step
    depends on padding. The lengths never leave the device, as packing would make them do.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.forth = nn.LSTM(width, hidden, batch_first=True)
        self.back = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width], lengths [n] to [n, steps, 2·hidden]; padded steps are undefined."""
        turn = reversal(lengths, x.shape[1])
        forth, _ = self.forth(x)
        back, _ = self.back(take_steps(x, turn))
        return torch.cat([forth, take_steps(back, turn)], dim=-1)


def reversal(lengths: Tensor, steps: int) -> Tensor:
    """Int64 [n, steps]: the order that reverses each clip's real steps and leaves its padding."""
    step = torch.arange(steps, device=lengths.device)
    last = lengths[:, None] - 1
    return torch.where(step <= last, last - step, step)


def take_steps(x: Tensor, index: Tensor) -> Tensor:
    """x [n, steps, width] with each clip's steps in the order of index [n, steps]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
