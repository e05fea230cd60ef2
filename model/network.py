"""The contract of a model: its settings, its constructor, and `forward`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict
from torch import Tensor, nn

from model.data.batch import Batch
from pipeline.stage.about import MODALITIES
from pipeline.stage.bounded import Bounded

CLASSES = ("negative", "neutral", "positive")


class NetworkSettings(Bounded):
    """A model's own settings; what stands below a field, docs/settings.md says too."""

    most = 10_000  # a layer of so many units by as many is 400 MB

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )


class Network(nn.Module):
    """A model: one class a file, found by the file's name; its presets lie beside it as YAML.

    widths: feature width by modality; one that is not named takes no part. outputs: 1 for a
    score, or the number of classes.
    """

    class Settings(NetworkSettings):
        """No settings."""

    settings: Any

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Any) -> None:
        super().__init__()
        self.widths = {m: widths[m] for m in MODALITIES if widths.get(m)}
        self.outputs = outputs
        self.settings = settings

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Standardised features, zeros at padding and at what is missing, to [n, outputs]."""
