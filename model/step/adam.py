"""Adam as torch has it, without what its class brings along."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam:
    """The steps of `torch.optim.Adam(parameters, lr, weight_decay=…, fused=True)`, to the bit.

    Kingma and Ba, "Adam: a method for stochastic optimization", algorithm 1. torch's class imports
    its compiler when the first is made, seconds in every process; its function does not.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        self._lr, self._weight_decay = lr, weight_decay
        self._state = [(p, *_zeros(p)) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move each parameter that has a gradient."""
        with_gradient = [(p, p.grad, *state) for p, *state in self._state if p.grad is not None]
        if not with_gradient:
            return
        parameters, gradients, means, squares, steps = map(list, zip(*with_gradient, strict=True))
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._lr,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )


def _zeros(parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean gradient, the mean square and the number of steps, before the first."""
    mean, square = torch.zeros_like(parameter), torch.zeros_like(parameter)
    return mean, square, torch.zeros((), device=parameter.device)
