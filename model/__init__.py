"""From stores to results: samples, the SMP model, its training and its run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.network import Predictor

__all__ = ["load_model"]


def load_model(run: str | Path) -> Predictor:
    """The trained model of a run folder, ready to predict from raw cached features."""
    # torch takes seconds to import, which `smp --help` must not pay.
    from model.run_folder import load_model as load

    return load(Path(run))
