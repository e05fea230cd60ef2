"""`smp predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model.cli import timeline as over_time
from model.cli.options import from_runs, new_weights
from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.cli.options import trust
from pipeline.errors import UserError

if TYPE_CHECKING:
    from model.inference.predict import TrainedModel
    from model.objectives.prediction import Prediction
    from pipeline.dataset.clip import Clip

ALWAYS = ("clip", "missing")  # columns that are shown with nothing in them
NAMED = 3  # clips without the same modality; the others are counted


@click.command()
@click.argument("run", type=click.Path())
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--text", help="Transcript of a single VIDEO.")
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path),
    help="Transcripts of several: columns text, and id or file; audio for separate sound. Paths are"
    " relative to the table's folder; a file may also be the end of a VIDEO's path.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a single JSON object.")
@over_time.options
@from_runs
@trust
@click.option("--cache", help="Folder or URL in which to keep the features for the next time.")
@new_weights
def predict(
    run: str,
    videos: tuple[str, ...],
    text: str | None,
    table: Path | None,
    as_json: bool,
    is_segmented: bool,
    asr: str | None,
    language: str | None,
    page: Path | None,
    runs: Path,
    is_trusted: bool,
    cache: str | None,
    weights: tuple[str, ...],
) -> None:
    """Predict the sentiment of each VIDEO with a trained model.

    RUN is a run folder, or a dataset, whose newest run is taken. VIDEO is a file, a folder of
    videos, a dataset (a folder with label.csv, or a manifest), or the id of a clip of the dataset
    that the model was trained on. Features are made as they were for that dataset: by the same
    stages, settings and weights.

    With --segment one long VIDEO is cut into utterances, as `smp segment` does, and each of them is
    predicted: a timeline, and a page that plays the video beside the curve of its scores.

    Exit code 1 if a clip can't be read or has nothing to go by; the others are predicted.
    """
    from model.cli.trained import opened
    from pipeline.cli.console import Terminal
    from pipeline.cli.progress import display
    from pipeline.dag.stage import require_devices
    from pipeline.runner.new_clips import NAME
    from pipeline.runner.types import devices_told

    console = Terminal(stderr=True)
    model = opened(run, runs, weights, is_trusted)
    if devices := require_devices(model.stages):
        console.print(devices_told(devices), soft_wrap=True)
    kept = f"{cache.rstrip('/')}/{NAME}" if cache else None
    if is_segmented:
        video = over_time.require_one(videos, text, table)
        sys.exit(over_time.predict(model, video, asr, language, kept, page, as_json))
    if asr or language or page:
        raise UserError("--asr, --language and --page go with --segment")
    clips = _clips(model, videos, text, table)
    with display(console) as listener:
        shown = listener if console.is_terminal else None
        found = model(clips, kept, shown)
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


def _summary(model: TrainedModel, found: Sequence[Prediction]) -> dict[str, Any]:
    return {
        "run": str(model.run),
        "dataset": model.provenance["dataset"],
        "scale": model.scale,
        "random_weights": model.random_stages,
        "predictions": [one.to_json() for one in found],
    }


def _print(model: TrainedModel, found: Sequence[Prediction]) -> None:
    from model.cli.console import print_table
    from model.metrics import of_what
    from pipeline.messages import counted, listed
    from pipeline.weights.random_weights import RANDOM_MARK, random_note

    said = [one for one in found if not one.error]
    mark = f" {RANDOM_MARK}" if model.random_stages else ""
    first = of_what(model.predictor.objective.lead)  # of several targets
    rows = [
        [one.clip, name, *_cells(replace(part, missing=one.missing))]
        for one in said
        for name, part in {first: one, **one.others}.items()
    ]
    if rows:
        columns = ["clip", "target", "score", "class", "confidence", "missing"]
        used = [n for n, name in enumerate(columns) if name in ALWAYS or _is_used(rows, n)]
        cells = [[row[n] for n in used] for row in rows]
        title = f"{model.run}{mark}: {counted(len(said), 'clip')}"
        print_table(title, [columns[n] for n in used], [cells])
    for (what, why), clips in _missing(said).items():
        click.echo(f"no {what}, {why}: {listed(clips, NAMED)}")
    if note := random_note(model.random_stages):
        click.echo(f"{RANDOM_MARK} {note}")
    for one in found:
        if one.error:
            what = "left out" if one.is_left_out else "failed"
            click.echo(f"{one.clip}: {what}, {one.error}", err=True)


def _missing(said: Sequence[Prediction]) -> dict[tuple[str, str], list[str]]:
    """The clips without a modality or stage, by what that is and why."""
    clips: dict[tuple[str, str], list[str]] = {}
    for one in said:
        for what_and_why in one.missing.items():
            clips.setdefault(what_and_why, []).append(one.clip)
    return clips


def _is_used(rows: Sequence[Sequence[str]], column: int) -> bool:
    return any(row[column] not in ("", "–") for row in rows)


def _cells(one: Prediction) -> list[str]:
    score = "–" if one.score is None else f"{one.score:+.3f}"
    sure = "–" if one.confidence is None else f"{one.confidence:.2f}"
    return [score, one.sentiment or "–", sure, ", ".join(one.missing) or "–"]
