"""The settings of a training."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from model.finetune.settings import FineTune
from model.objectives.choose import Task
from pipeline.stage.bounded import Bounded


class TrainSettings(Bounded):
    """How to train."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "smp"
    """Model to train: the name of its file, or a module of yours with one."""

    network: dict[str, Any] = {}
    """Settings of the model; its defaults where not given."""

    task: Task = "regression"
    """Predict a score, or its class: negative, neutral or positive. No other target has the
    choice."""

    target_weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    """With several targets: the weight of each one's loss in their sum; 1 where not given."""

    own_vectors: bool = False
    """With the scores of single modalities (CH-SIMS' T, A and V) among several targets: read each
    from its modality's vector alone, as MMSA's MLF-DNN and MTFN do, not from what all say."""

    epochs: int = Field(100, ge=1)
    """Maximum number of epochs."""

    batch: int = Field(64, ge=1)
    """Batch size."""

    lr: float = Field(1e-3, gt=0)
    """Learning rate of Adam. The paper's 1e-5 is far too small for 100 epochs on cached features;
    1e-3 converges well before."""

    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of Adam."""

    clip_norm: float = Field(1.0, gt=0)
    """Maximum gradient norm."""

    feature_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the features that each clip loses in a training step."""

    patience: int | None = Field(None, ge=1)
    """Epochs without improvement of the validation loss before stopping; null: never stop."""

    finetune: FineTune | None = None
    """How the text encoder is trained with the model; null: features stay as cached."""

    seed: int = Field(0, ge=0, lt=2**63)
    """Random seed; the same seed gives the same numbers."""

    device: str = "auto"
    """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""
