"""LSTMs for padded sequences, in which padding comes after everything real."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.step.dropout import dropout
from model.step.streams import is_one_step, is_stacked
from model.step.together import together


class Lstm(nn.LSTM):
    """torch's LSTM, batch first, states alone; in a stack of networks step by step.

    Torch has no rule to map its own, nor does cuDNN take weights of several networks.
    """

    def __init__(self, width: int, hidden: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(width, hidden, layers, batch_first=True, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x [n, steps, width] to the last layer's states [n, steps, hidden]."""
        if not is_stacked():
            states: Tensor = super().forward(x)[0]
            return states
        for layer, (w_input, w_state, b_input, b_state) in enumerate(self.all_weights):
            if layer and self.training and self.dropout:
                # Torch drops from steps first: so are the draws.
                x = dropout(x.transpose(0, 1), self.dropout, clips=1).transpose(0, 1)
            x, _ = unrolled(F.linear(x, w_input, b_input + b_state), w_state)
        return x


class Gru(nn.GRU):
    """torch's GRU of one layer, as `Lstm` is its LSTM."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x [n, steps, width] to the states [n, steps, hidden]."""
        if not is_stacked():
            states: Tensor = super().forward(x.transpose(0, 1))[0]
            return states.transpose(0, 1)
        w_input, w_state, b_input, b_state = self.all_weights[0]
        h, found = x.new_zeros(len(x), self.hidden_size), []
        for read in F.linear(x, w_input, b_input).unbind(1):
            reset, update, new = read.chunk(3, dim=-1)
            of_reset, of_update, of_new = F.linear(h, w_state, b_state).chunk(3, dim=-1)
            new = (new + (reset + of_reset).sigmoid() * of_new).tanh()
            h = new + (update + of_update).sigmoid() * (h - new)
            found.append(h)
        return torch.stack(found, dim=1)


class BiLstm(nn.Module):
    """Two LSTMs, one of which reads each clip from its last real step to its first.

    Neither meets padding before it has read all real steps, so that no value at a real step
    depends on padding. The lengths never leave the device, as packing would make them do.
    """

    cell: ClassVar[type[Lstm] | type[Gru]] = Lstm

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.forth = self.cell(width, hidden)
        self.back = self.cell(width, hidden)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width], lengths [n] to [n, steps, 2·hidden]; padded steps are undefined."""
        if is_one_step(x):
            return torch.cat([self.forth(x), self.back(x)], dim=-1)
        turn = reversal(lengths, x.shape[1])
        inputs = (self.forth, (x,)), (self.back, (take_steps(x, turn),))
        forth, back = together(inputs) if is_stacked() else [lstm(*read) for lstm, read in inputs]
        return torch.cat([forth, take_steps(back, turn)], dim=-1)


class BiGru(BiLstm):
    """The same of GRUs."""

    cell = Gru


class CellLstm(nn.Module):
    """An LSTM that also tells its memory cells at every step, which nn.LSTM keeps to itself."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(width, hidden)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [n, steps, width] to states and cells, [n, steps, hidden] each."""
        cell = self.cell
        return unrolled(F.linear(x, cell.weight_ih, cell.bias_ih + cell.bias_hh), cell.weight_hh)


def unrolled(gates: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """States and cells of an LSTM, [n, steps, hidden] each, step by step.

    gates: what the input gives to them, [n, steps, 4·hidden]. weight: of the states before.
    """
    if is_one_step(gates):  # before it all is zero
        i, _, g, o = gates.chunk(4, dim=-1)
        cell = i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell
    h = c = gates.new_zeros(gates.shape[0], weight.shape[1])
    states, cells = [], []
    for read in gates.unbind(1):
        i, f, g, o = (read + h @ weight.T).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
        cells.append(c)
    return torch.stack(states, dim=1), torch.stack(cells, dim=1)


def reversal(lengths: Tensor, steps: int) -> Tensor:
    """Int64 [n, steps]: the order that reverses each clip's real steps and leaves its padding."""
    step = torch.arange(steps, device=lengths.device)
    last = lengths[:, None] - 1
    return torch.where(step <= last, last - step, step)


def take_steps(x: Tensor, index: Tensor) -> Tensor:
    """x [n, steps, width] with each clip's steps in the order of index [n, steps]."""
    n, steps, _ = x.shape
    rows = index + steps * torch.arange(n, device=index.device)[:, None]  # whole rows: copied fast
    return x.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, index.shape)


def last_step(x: Tensor, lengths: Tensor) -> Tensor:
    """x [n, steps, width] at each clip's last real step, [n, width]; zeros where none is real."""
    last = take_steps(x, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
    return last.where((lengths > 0)[:, None], 0.0)


def last_states(x: Tensor, lengths: Tensor) -> Tensor:
    """What both directions of a BiLstm have read in the end: x [n, steps, 2·h] to [n, 2·h]."""
    forth, back = x.chunk(2, dim=-1)
    first = back[:, 0].where((lengths > 0)[:, None], 0.0)
    return torch.cat([last_step(forth, lengths), first], dim=-1)
