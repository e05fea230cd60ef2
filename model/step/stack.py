"""Several networks of one kind as one, with a leading axis that only torch's vmap sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from model.step.adam import Adam
from model.step.flat import flat, views
from model.step.streams import Streams, drawing_from


class Stack:
    """Networks whose weights are the rows of one buffer, `weights` [networks, weights].

    A training step of all of them has the kernels of one. It never makes the host wait, keeps its
    shapes, and what it writes lies where it lay (Adam's step number is on the device too): a CUDA
    graph may capture it, once `generators` are registered with it. None does yet, for want of a
    device to prove it on.
    """

    def __init__(self, networks: Sequence[nn.Module], generators: Sequence[Generator]) -> None:
        """generators: what each network draws its dropout from."""
        self.generators = generators
        self._one = _Doing(deepcopy(networks[0]))
        every = [dict(network.named_parameters()) for network in networks]
        learnt = [{name: w for name, w in own.items() if w.requires_grad} for own in every]
        self.weights = nn.Parameter(flat(learnt).detach())
        own = self._one.named_parameters()
        self._like = {name: weight for name, weight in own if weight.requires_grad}
        states = [
            {**own, **dict(n.named_buffers())} for own, n in zip(every, networks, strict=True)
        ]
        fixed = set(states[0]) - set(learnt[0])
        self.fixed = {
            f"network.{name}": torch.stack([own[name].detach() for own in states]) for name in fixed
        }
        self._places = torch.arange(len(networks), device=self.weights.device)

    def train(self, mode: bool = True) -> None:
        """Let all learn, with dropout, or evaluate."""
        self._one.train(mode)

    def each(
        self,
        do: Callable[..., Tensor],
        *given: Tensor,
        filled: tuple[int, int] | None = None,
    ) -> Tensor:
        """`do(network, *own)` of each network with its own row of all that is given, in one.

        filled: how many rows of the batch are clips, of how many; None where all are.
        """

        def one(state: dict[str, Tensor], place: Tensor, *own: Tensor) -> Tensor:
            with drawing_from(Streams(self.generators, place, filled)):
                done: Tensor = functional_call(self._one, state, (do, *own))
            return done

        # "same": randomness is that of `drawn` alone, which has each network's own.
        state = views(self.weights, self._like) | self.fixed
        return vmap(one, randomness="same")(state, self._places, *given)

    def optimizer(self, lr: float, weight_decay: float) -> Adam:
        """Adam for the weights of all."""
        return Adam([self.weights], lr, weight_decay)

    def clip_gradients(self, most: float) -> None:
        """Each network's gradient to a norm of at most `most`, as `clip_grad_norm_` does it."""
        gradient = self.weights.grad
        assert gradient is not None
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient.mul_((most / (norm + 1e-6)).clamp(max=1.0))

    def unstack(self, networks: Sequence[nn.Module]) -> None:
        """Give each of `networks` its own row of `weights`."""
        for network, row in zip(networks, self.weights.detach().split(1), strict=True):
            own = {n.removeprefix("network."): w[0] for n, w in views(row, self._like).items()}
            network.load_state_dict(own, strict=False)


class _Doing(nn.Module):
    """Whatever is done with a network, as a module whose weights torch can replace."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, do: Callable[..., Tensor], *given: Any) -> Tensor:
        return do(self.network, *given)
