"""`smp segment`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.messages import counted, listed, printable

if TYPE_CHECKING:
    from pipeline.segment.segment import Hears, Utterance

NAMED = 3


@click.command()
@click.argument(
    "videos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--out",
    required=True,
    metavar="DATASET.csv",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The manifest to write; a page and what was found come beside it.",
)
@click.option(
    "--asr", metavar="WEIGHTS", help="A Whisper that writes the transcripts: hub id or folder."
)
@click.option(
    "--language", help="Spoken language, such as en or zh. By default the Whisper's guess."
)
@click.option("--device", default="auto", show_default=True, help="Of the Whisper.")
@click.option(
    "--turns",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Who speaks when, by any diarisation program: NAME.rttm for each video.",
)
@click.option(
    "--pause",
    "pause_s",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Silence that ends an utterance, in seconds.",
)
@click.option(
    "--shortest",
    "shortest_s",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="In seconds.",
)
@click.option(
    "--longest",
    "longest_s",
    default=15.0,
    show_default=True,
    type=click.FloatRange(1.0, 28.0),
    help="In seconds.",
)
@click.option(
    "--threshold",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0.15, 1),
    help="Certainty of speech, 0.15 to 1.",
)
def segment(
    videos: Sequence[Path],
    out: Path,
    asr: str | None,
    language: str | None,
    device: str,
    turns: Path | None,
    pause_s: float,
    shortest_s: float,
    longest_s: float,
    threshold: float,
) -> None:
    """Cut long videos into utterances, as a manifest of spans.

    Nothing is encoded again.

    Speech is cut at pauses and, with --asr, at ends of sentences. DATASET.html plays each utterance
    beside its text; save corrections there as DATASET.corrections.csv and run the command again. A
    file that was looked at is not looked at again.
    """
    from pipeline.segment.run import run
    from pipeline.segment.utterances import Cutting

    if out.suffix != ".csv":
        raise click.UsageError(f"{out}: give a manifest that ends in .csv")
    if 2 * shortest_s > longest_s:
        raise click.UsageError("--longest must be at least twice --shortest")
    cutting = Cutting(threshold, pause_s, shortest_s, longest_s)
    hears, hears_with = listening(asr, language, device) if asr else (None, ())
    done = run(videos, out, cutting, hears, hears_with, turns, _tell)
    seconds = sum(float(row["end"]) - float(row["start"]) for row in done.rows)
    dropped = f", {done.dropped} dropped" if done.dropped else ""
    click.echo(
        f"{counted(len(done.rows), 'utterance')}, {seconds / 60:.1f} minutes{dropped} → {out}"
    )
    click.echo(f"to hear and correct them: {done.page}")
    if done.unknown:
        few = listed(done.unknown, NAMED)
        click.echo(
            f"{counted(len(done.unknown), 'correction')} of utterances that no longer exist: {few}"
        )
    sys.exit(CLIPS_FAILED if done.failed else OK)


def listening(weights: str, language: str | None, device: str) -> tuple[Hears, Sequence[str]]:
    """What tells words, and what it depends on."""
    from pipeline.cli.console import print_devices
    from pipeline.segment import segment
    from pipeline.system.device import device_of
    from pipeline.weights.random_weights import RANDOM, random_note
    from pipeline.weights.repository import SPEECH_TO_TEXT
    from pipeline.weights.resolve import find

    found = find(weights, SPEECH_TO_TEXT)
    if found.id == RANDOM:
        click.echo(random_note(["--asr"]), err=True)
    print_devices([device], err=True)
    return segment.listening(found, language, device_of(device)), (found.digest, language or "")


def _tell(path: Path, what: Sequence[Utterance] | str) -> None:
    told = what if isinstance(what, str) else counted(len(what), "utterance")
    click.echo(f"{path}: {printable(told)}", err=isinstance(what, str))
