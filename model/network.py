"""The contract of a model: its settings, its constructor, and `forward`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import ConfigDict
from torch import Tensor, nn

from model.data.batch import Batch
from model.step.adam import Adam
from pipeline.stage.about import MODALITIES
from pipeline.stage.bounded import Bounded

Criterion = Callable[[Tensor, Tensor], Tensor]
"""The error of outputs against the targets of the same clips, its mean over them."""


class Optimizer(Protocol):
    """What moves weights against their gradients."""

    def step(self) -> None: ...


class NetworkSettings(Bounded):
    """A model's own settings; what stands below a field, docs/settings.md says too."""

    most = 10_000  # a layer of so many units by as many is 400 MB

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Network(nn.Module):
    """A model: one class a file, found by the file's name; its presets lie beside it as YAML.

    widths: feature width by modality; one that is not named takes no part. outputs: 1 for a
    score, one for each class or label.
    """

    class Settings(NetworkSettings):
        """No settings."""

    settings: Any
    alone: nn.Module | None

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Any) -> None:
        super().__init__()
        self.widths = {m: widths[m] for m in MODALITIES if widths.get(m)}
        self.outputs = outputs
        self.settings = settings
        self.alone = None

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Standardised features, zeros at padding and at what is missing, to [n, outputs]."""

    def begin(self, epoch: int, clips: int) -> None:
        """Called before the first step of each epoch, the first of which is 1.

        clips: how many there are to train on. A model that keeps something of each makes place for
        it in the first epoch, in buffers that are not persistent: they are no part of its weights.
        """

    def loss(self, batch: Batch, targets: Tensor, criterion: Criterion, rows: Tensor) -> Tensor:
        """What a training step lessens, a scalar: by default the error of the outputs.

        targets: the clips' own, as the training's `criterion` takes them. rows: int64 [n], the
        clips' places among those to train on. Epochs are chosen by the criterion alone.
        """
        return criterion(self(batch), targets)

    @property
    def vectors(self) -> Mapping[str, int]:
        """Widths of the vectors, one of each modality by itself, that the model fuses.

        None by default. A model that tells them gives them to `beside`, with all that it puts out.
        """
        return {}

    def beside(self, y: Tensor, vectors: Mapping[str, Tensor]) -> Tensor:
        """What all modalities say, y, with what each says by itself where a training wants that.

        vectors: [n, width], by modality. `alone` is what reads them (`model.layers.alone`).
        """
        return y if self.alone is None else self.alone(y, vectors)

    def optimizer(self, lr: float, weight_decay: float) -> Optimizer:
        """What a training moves the weights with."""
        return Adam(self.parameters(), lr, weight_decay)
