"""Small seeded networks in place of trained ones, so that everything runs without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.encoders import huggingface


def random_init(build: Callable[[], Any], device: str, seed: int = 0) -> Any:
    """A network with seeded weights, each layer about keeping the variance of what it is given.

    Every parameter is drawn from a generator of its own, so that no other thread has a say.
    """
    import torch

    with huggingface.loading, torch.random.fork_rng(devices=[]):
        model = build().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return model.to(device)


def random_transformer(class_name: str, device: str, **shape: Any) -> Any:
    """A model class of transformers with seeded weights, its config given by `shape`."""
    kind = huggingface.named(class_name)
    return random_init(lambda: kind(kind.config_class(**shape)), device)
