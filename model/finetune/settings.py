"""How an encoder is trained with the model."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from pipeline.stage.bounded import Bounded


class FineTune(Bounded):
    """How an encoder is trained with the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: Literal["text"] = "text"
    """Whose encoder."""

    rank: int = Field(0, ge=0, le=1024)
    """Of LoRA's matrices beside each product of the encoder, which alone are trained; 0: all of its
    weights are, but for its table of words."""

    after: int = Field(0, ge=0)
    """Epochs in which the model learns alone, from cached features, before the encoder joins."""

    lr: float = Field(2e-5, gt=0)
    """Learning rate of its last layer; LoRA takes about 25 times as much."""

    layer_decay: float = Field(0.9, gt=0, le=1)
    """The rate of each layer below, relative to the one above it."""
