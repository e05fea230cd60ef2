"""What can be set of every training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal["regression", "classification"]


class TrainSettings(BaseModel):
    """How to train."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str = "smp"
    """Which model, by the name of its file."""

    network: dict[str, Any] = {}
    """The model's own settings, its defaults where not given."""

    task: Task = "regression"
    """A score, or one of negative, neutral, positive."""

    epochs: int = Field(100, ge=1)
    """How often every clip is seen, at most."""

    batch: int = Field(64, ge=1)
    """Clips a step."""

    lr: float = Field(1e-3, gt=0)
    """Adam's learning rate. The paper's 1e-5 is far too small for 100 epochs over cached features,
    1e-3 converges well within them."""

    weight_decay: float = Field(0.0, ge=0)
    """Adam's weight decay."""

    clip_norm: float = Field(1.0, gt=0)
    """The norm to which the gradient is cut."""

    feature_dropout: float = Field(0.0, ge=0, lt=1)
    """The share of its features that each clip loses in a training step."""

    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs without a better validation; null: go on to the end."""

    seed: int = Field(0, ge=0)
    """Same seed, same numbers."""

    device: str = "auto"
    """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""
