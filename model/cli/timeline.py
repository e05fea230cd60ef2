"""`smp predict --segment`: a long video's sentiment over time, as a table, JSON and a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.errors import ClipError, UserError

if TYPE_CHECKING:
    from model.inference.predict import TrainedModel
    from model.inference.timeline import Part

WORDS = 60  # characters of a text that the table shows


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a prediction over time."""
    for option in (
        click.option(
            "--page",
            type=click.Path(path_type=Path, dir_okay=False),
            help="With --segment: the page to write; by default VIDEO.timeline.html.",
        ),
        click.option("--language", help="With --asr: the spoken language. By default a guess."),
        click.option(
            "--asr", metavar="WEIGHTS", help="With --segment: a Whisper that writes the texts."
        ),
        click.option(
            "--segment",
            "is_segmented",
            is_flag=True,
            help="Cut one long VIDEO into utterances and predict each: a timeline and its page.",
        ),
    ):
        command = option(command)
    return command


def predict(
    model: TrainedModel,
    video: Path,
    asr: str | None,
    language: str | None,
    cache: str | None,
    page: Path | None,
    as_json: bool,
) -> int:
    """Print what is said of each utterance and write the page; the exit code."""
    from model.inference.timeline_page import page as drawn
    from pipeline.html import write_page

    try:
        parts = _predicted(model, video, asr, language, cache)
    except ClipError as error:
        click.echo(f"{video}: failed, {error}", err=True)
        return CLIPS_FAILED
    if not parts:
        click.echo(f"{video}: nobody is heard to speak", err=True)
        return CLIPS_FAILED
    where = page or Path(f"{video.stem}.timeline.html")
    write_page(drawn(video, where, model, parts, _notes(model, parts)), where)
    if as_json:
        click.echo(json.dumps(_summary(model, video, where, parts), ensure_ascii=False))
    else:
        _print(model, video, where, parts)
    return CLIPS_FAILED if any(part.said.error for part in parts) else OK


def _predicted(
    model: TrainedModel, video: Path, asr: str | None, language: str | None, cache: str | None
) -> list[Part]:
    from model.inference.timeline import timeline
    from pipeline.cli.commands.segment import listening
    from pipeline.cli.console import Terminal
    from pipeline.cli.progress import display

    hears = listening(asr, language, "auto")[0] if asr else None
    console = Terminal(stderr=True)
    with display(console) as listener:
        shown = listener if console.is_terminal else None
        return timeline(model, video, hears=hears, cache=cache, listener=shown)


def require_one(videos: Sequence[str], *others: object) -> Path:
    """The one video that is cut. Raises UserError."""
    if len(videos) != 1 or any(other is not None for other in others):
        raise UserError("--segment goes with one VIDEO, whose texts are those of --asr")
    if not Path(videos[0]).is_file():
        raise UserError(f"{videos[0]}: no such file")
    return Path(videos[0])


def _summary(model: TrainedModel, video: Path, page: Path, parts: Sequence[Part]) -> dict[str, Any]:
    return {
        "run": str(model.run),
        "dataset": model.provenance["dataset"],
        "scale": model.scale,
        "random_weights": model.random_stages,
        "video": str(video),
        "page": str(page),
        "spans": [part.to_json() for part in parts],
    }


def _print(model: TrainedModel, video: Path, page: Path, parts: Sequence[Part]) -> None:
    from model.cli.console import print_table
    from model.inference.timeline_page import clock
    from pipeline.messages import counted, printable

    cells = [
        [
            f"{clock(part.utterance.start_s)} – {clock(part.utterance.end_s)}",
            part.said.told or part.said.error,
            printable(_cut(part.utterance.text)) or "–",
        ]
        for part in parts
    ]
    print_table(f"{video}: {counted(len(parts), 'utterance')}", ["time", "says", "text"], [cells])
    for note in _notes(model, parts):
        click.echo(note)
    click.echo(f"to see and hear it: {page}")


def _cut(text: str) -> str:
    return text if len(text) <= WORDS else text[: WORDS - 1] + "…"


def _notes(model: TrainedModel, parts: Sequence[Part]) -> list[str]:
    """What is missing, of how many utterances and why, and whether weights are random."""
    from pipeline.messages import printable
    from pipeline.weights.random_weights import random_note

    lacking: dict[tuple[str, str], int] = {}
    for part in parts:
        for what_and_why in part.said.missing.items():
            lacking[what_and_why] = lacking.get(what_and_why, 0) + 1
    told = [f"no {what} in {n} of {len(parts)}: {why}" for (what, why), n in lacking.items()]
    return [printable(one) for one in (*told, random_note(model.random_stages)) if one]
