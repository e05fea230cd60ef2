"""`smp predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.errors import UserError
from pipeline.messages import printable

if TYPE_CHECKING:
    from model.inference.predict import TrainedModel
    from model.inference.prediction import Prediction
    from pipeline.dataset.clip import Clip

NAMED = 3  # how many clips that lack the same are named before the others are counted


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--text", help="What is said, for a single VIDEO.")
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path),
    help="Texts of several, by columns id or file, and text; audio for sound of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, no more.")
@click.option("--cache", help="Folder or URL that keeps the features for the next time.")
@click.option(
    "--weights",
    "weights",
    multiple=True,
    metavar="STAGE=WHERE",
    help="Where a stage's weights are, if elsewhere than they were. They must be the same.",
)
def predict(
    run: Path,
    videos: tuple[str, ...],
    text: str | None,
    table: Path | None,
    as_json: bool,
    cache: str | None,
    weights: tuple[str, ...],
) -> None:
    """What the model in the run folder RUN says of each VIDEO.

    VIDEO is a file, a folder of videos, a dataset (a folder with label.csv, or a manifest), or the
    id of a clip of the dataset that the model was trained on. Everything is done as it was done
    to that dataset, by the same stages with the same settings and weights. Exit code 1 where a
    clip could not be read, or has nothing to go by; the others are predicted all the same.
    """
    from rich.console import Console

    from model.inference.predict import TrainedModel
    from pipeline.cli.progress import display
    from pipeline.runner.new_clips import NAME

    console = Console(stderr=True)
    model = TrainedModel(run, _by_stage(weights))
    clips = _clips(model, videos, text, table)
    with display(console) as listener:
        shown = listener if console.is_terminal else None
        found = model(clips, f"{cache.rstrip('/')}/{NAME}" if cache else None, shown)
    if as_json:
        click.echo(json.dumps(_summary(model, found), ensure_ascii=False))
    else:
        _print(model, found)
    sys.exit(CLIPS_FAILED if any(one.error for one in found) else OK)


def _clips(
    model: TrainedModel, videos: Sequence[str], text: str | None, table: Path | None
) -> list[Clip]:
    from pipeline.dataset.from_paths import clips_of, with_table

    if text is not None and table:
        raise UserError("give one of --text and --csv")
    clips = clips_of(videos, model.dataset)
    if text is not None and len(clips) > 1:
        raise UserError(f"--text goes with one clip, not {len(clips)}; give texts with --csv")
    if text is not None:
        clips = [replace(clips[0], text=text)]
    return with_table(clips, table) if table else clips


def _by_stage(weights: Sequence[str]) -> dict[str, str]:
    for one in weights:
        if "=" not in one:
            raise UserError(f"--weights {one}: expected STAGE=WHERE, as in resnet18=affectnet.pth")
    return dict(one.split("=", 1) for one in weights)


def _summary(model: TrainedModel, found: Sequence[Prediction]) -> dict[str, Any]:
    return {
        "run": str(model.run),
        "dataset": model.provenance["dataset"],
        "scale": model.scale.name,
        "random_weights": model.random_stages,
        "predictions": [one.to_json() for one in found],
    }


def _print(model: TrainedModel, found: Sequence[Prediction]) -> None:
    from model.cli.console import print_table
    from pipeline.messages import counted, listed
    from pipeline.weights.random_weights import RANDOM_MARK, random_note

    said = [one for one in found if not one.error]
    mark = f" {RANDOM_MARK}" if model.random_stages else ""
    cells = [[printable(one.clip), *_cells(one)] for one in said]
    if cells:
        columns = ["clip", f"score{mark}", "class", "confidence", "missing"]
        print_table(f"{model.run}: {counted(len(said), 'clip')}", columns, [cells])
    for (what, why), clips in _lacks(said).items():
        click.echo(f"no {what}, {why}: {listed(clips, NAMED)}")
    if note := random_note(model.random_stages):
        click.echo(f"{RANDOM_MARK} {note}")
    for one in found:
        if one.error:
            what = "left out" if one.is_left_out else "failed"
            click.echo(f"{printable(one.clip)}: {what}, {one.error}", err=True)


def _lacks(said: Sequence[Prediction]) -> dict[tuple[str, str], list[str]]:
    """The clips that lack the same for the same reason."""
    lacks: dict[tuple[str, str], list[str]] = {}
    for one in said:
        for lack in one.missing.items():
            lacks.setdefault(lack, []).append(printable(one.clip))
    return lacks


def _cells(one: Prediction) -> list[str]:
    score = "–" if one.score is None else f"{one.score:+.3f}"
    return [score, str(one.sentiment), f"{one.confidence:.2f}", ", ".join(one.missing) or "–"]
