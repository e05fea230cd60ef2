"""The hidden states of one text or sound at a time, as another engine than torch computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoders import engine as engines
from pipeline.encoders.engine import Engine
from pipeline.encoders.engine_trial import Subject
from pipeline.encoders.layers import Layer, states_of
from pipeline.system.spans import span

if TYPE_CHECKING:
    import torch

OneByOne = Callable[[np.ndarray], np.ndarray]


def engaged(model: Any, subject: Subject, layer: Layer, engine: Engine) -> OneByOne | None:
    """What makes the states at `layer` of a row, float32 [length, width]; None where torch does.

    Each row goes alone and at its own length, so that it depends on no other.
    """
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return states_of(self.model, layer, **{model.main_input_name: x})

    found = engines.engaged(States().eval(), subject, engine)
    if found is None:
        return None

    @span("network")
    def states(row: np.ndarray) -> np.ndarray:
        of_row: np.ndarray = found(torch.from_numpy(row)[None])[0].numpy()
        return of_row

    return states
