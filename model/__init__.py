"""From stores to results: samples, the SMP model, its training, its run folders, predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.inference.predict import TrainedModel
    from model.training.predictor import Predictor

__all__ = ["load", "load_model"]


def load(
    run: str | Path, weights: Mapping[str, str] | None = None, trust: bool = False
) -> TrainedModel:
    """The model of a run folder with the stages that it needs: `load(run)(["clip.mp4"])`.

    weights: where the weights of a stage are, for those that lie elsewhere than when it was
    trained. trust: the run may name programs and modules outside the package: you made it.
    """
    from model.inference.predict import TrainedModel

    return TrainedModel(run, weights, trust)


def load_model(run: str | Path, trust: bool = False) -> Predictor:
    """The trained model of a run folder, ready to predict from raw cached features.

    trust: the run may name a model outside the package: you made it.
    """
    # torch takes seconds to import, which `smp --help` must not pay.
    from model.runs.load import load_model as load

    return load(Path(run), trust)
