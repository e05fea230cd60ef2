"""A model in a file of its own, trained on cached features.

    $ python examples/own_model.py [cache/sample]

On the command line: PYTHONPATH=. smp train cache/sample --model examples.own_model
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from model.data.batch import Batch
from model.data.samples import load_samples
from model.network import Network, NetworkSettings
from model.training.loop import train
from model.training.settings import TrainSettings
from pipeline import open_cache


class MeanOfSteps(Network):
    """y = W2 relu(W1 [mean(v) ⊕ mean(a) ⊕ mean(t)]): each modality's mean over its real steps."""

    class Settings(NetworkSettings):
        hidden: int = Field(32, ge=1)
        """Width of the hidden layer."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        self.layers = nn.Sequential(
            nn.Linear(sum(self.widths.values()), settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, outputs),
        )

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features, zero at padding, to [n, outputs]."""
        steps = {m: batch.lengths[m].clamp(min=1)[:, None] for m in self.widths}
        means = [batch.features[m].sum(dim=1) / steps[m] for m in self.widths]
        scores: Tensor = self.layers(torch.cat(means, dim=-1))
        return scores


def main(url: str) -> None:
    sys.path.append(str(Path(__file__).parents[1]))  # where `examples.own_model` is found
    samples = load_samples(open_cache(url))
    for model in ("examples.own_model", "smp"):  # a module, or a model of the package
        trained = train(samples, TrainSettings(model=model, epochs=30))
        print(f"{model}: epoch {trained.best_epoch} of 30, test {trained.metrics['test']}")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["cache/sample"])
