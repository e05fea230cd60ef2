"""The trained model that a command's RUN stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from model.inference.predict import TrainedModel
from model.runs.files import PROVENANCE, read_json
from model.runs.run import find_run
from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.store.clips_table import ClipsTable
from pipeline.store.dataset_cache import is_of


def opened(run: str, runs: Path, weights: Sequence[str], is_trusted: bool) -> TrainedModel:
    """Of a run folder, or of a dataset's newest run in `runs`; what is odd about it is told.

    weights: STAGE=WHERE of those that lie elsewhere. Raises UserError.
    """
    folder = find_run(run, runs, lambda why: click.echo(f"passed over: {why}", err=True))
    if str(folder) != run.rstrip("/"):
        _require_trained_on(run, folder)
        click.echo(f"newest run of {run}: {folder}", err=True)
    model = TrainedModel(folder, _by_stage(weights), is_trusted)
    if not model.is_sealed:
        click.echo(f"note: {folder} was made before runs were sealed; not checked", err=True)
    return model


def _require_trained_on(dataset: str, folder: Path) -> None:
    """Raise UserError where the run is of another dataset that bears the same name."""
    provenance = read_json(folder, PROVENANCE)
    cache = provenance.get("cache")
    known = ClipsTable.read(Folder(cache)) if cache else None
    root = provenance.get("root") or (known.root if known else None)
    if not is_of(dataset, root, known):
        raise UserError(
            f"the newest run of that name, {folder}, was trained on {root} and not on {dataset}; "
            f"give the folder of a run, or train on {dataset}"
        )


def _by_stage(weights: Sequence[str]) -> dict[str, str]:
    for one in weights:
        if "=" not in one:
            raise UserError(f"--weights {one}: expected STAGE=WHERE, as in resnet18=affectnet.pth")
    return dict(one.split("=", 1) for one in weights)
