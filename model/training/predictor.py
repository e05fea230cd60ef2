"""A trained model together with its standardisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from model.data.batch import Batch
from model.data.scaler import Scaler
from model.network import Network
from model.objectives.objective import Objective
from model.step.threads import one_thread, spread

CHUNK = 256  # clips at a time


class Predictor(nn.Module):
    """A trained model: raw cached features in, scores or class probabilities out.

    objective: what it has learnt, which makes the one of the other.
    """

    def __init__(self, scaler: Scaler, network: Network, objective: Objective) -> None:
        super().__init__()
        self.scaler = scaler
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        """Raw features to [n, outputs]: a score, or a logit a class or label."""
        y: Tensor = self.network(self.scaler(batch))
        return y

    @one_thread()
    def predict(self, batch: Batch) -> np.ndarray:
        """Float32 scores [n], or probabilities [n, classes or labels]; of several targets both.

        The clips go through in equal chunks, on the device that the model is on.
        """
        self.eval()
        device = next(self.parameters()).device
        return predicted(self.objective, in_chunks(lambda chunk: self(chunk.to(device)), batch))


def predicted(objective: Objective, outputs: Tensor) -> np.ndarray:
    """What `Predictor.predict` gives, of a network's outputs [n, outputs]."""
    return objective.predictions(outputs).squeeze(-1).cpu().numpy()


def in_chunks(outputs: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """`outputs` of `batch`, CHUNK clips at a time, without gradients."""

    @torch.no_grad()
    def of_chunk(chunk: Batch) -> Tensor:
        return outputs(chunk)

    return torch.cat(spread(of_chunk, chunks(batch)))


def chunks(batch: Batch) -> list[Batch]:
    """`batch`, CHUNK clips at a time."""
    return [batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK)]
