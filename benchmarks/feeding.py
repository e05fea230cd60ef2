"""Whether one GPU and 16 cores feed each other: stages that sleep for as long as real ones take.

The real engine runs them. The cores' times are those of RESULTS.md (`detect`, `extraction`); the
device's are guesses for a large GPU, as none was at hand, and a core is busy with giving it work.
The bound is what the slower side took, had it never waited for the other.
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

from benchmarks import feeding_stage
from benchmarks.feeding_stage import CORE
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.extract import extract
from pipeline.system import resources

CORES, CLIPS, FRAMES, WINDOW, FACES = 16, 32, 128, 16, 32  # a partition; the last three a clip
CORE_MS = {360: 1.39, 720: 3.82, 1080: 8.11}  # a frame to decode and align, RESULTS.md, detect
DECODES = 0.8  # of which this part is decoding: a guess
FACES_MS = {360: 0.08, 720: 0.16, 1080: 0.3}  # a frame on the device, a guess, as are these
RESNET_MS, UNITS_MS, SPEECH_MS, BERT_MS = 0.15, 0.5, 9.0, 1.5  # a face, a face, a clip, a clip
AUDIO_S, MFCC_S = 0.015, 0.01  # of a core, a clip, RESULTS.md, extraction
GOAL = 0.9


def stages(height: int) -> dict[str, dict[str, Any]]:
    """The default DAG's, at videos of that height."""
    decode_s, rest_s = (CORE_MS[height] * part / 1e3 for part in (DECODES, 1 - DECODES))
    kinds: dict[str, dict[str, Any]] = {
        "faces": {
            "rounds": FRAMES // WINDOW,
            "before_s": decode_s * WINDOW,
            "network_s": FACES_MS[height] / 1e3 * WINDOW,
            "after_s": rest_s * WINDOW,
        },
        "audio": {"device": "cpu", "before_s": AUDIO_S, "clips": 8},
        "resnet18": {"needs": "faces", "rounds": 16, "network_s": RESNET_MS / 1e3 * FACES / 16},
        "action_units": {
            "needs": "faces",
            "before_s": decode_s * FRAMES,
            "network_s": UNITS_MS / 1e3 * FACES,
            "clips": 4,
        },
        "mfcc": {"needs": "audio", "device": "cpu", "before_s": MFCC_S},
        "wav2vec2": {"needs": "audio", "rounds": 3, "network_s": SPEECH_MS / 1e3 / 3},
        "bert": {"network_s": BERT_MS / 1e3},
    }
    return {name: {"extractor": feeding_stage.__name__, **kind} for name, kind in kinds.items()}


@contextmanager
def pretended(tasks: int) -> Iterator[None]:
    """16 cores, and a GPU that so many tasks share."""
    room = "pipeline.runner.dask_engine"
    with ExitStack() as stack:
        stack.enter_context(patch.object(resources, "cores", lambda: CORES))
        stack.enter_context(patch(f"{room}.cluster._accelerators", lambda: ["0"]))
        stack.enter_context(patch(f"{room}.engine.tasks_a_gpu", lambda gpus: tasks))
        stack.enter_context(patch("pipeline.system.turns.meant", lambda setting: ["cuda"]))
        yield


def run(height: int, partitions: int, tasks: int) -> tuple[float, float, float]:
    """Seconds of the run, and those that the cores, side by side, and the device were at work."""
    feeding_stage.notes.clear()
    with tempfile.TemporaryDirectory() as folder, pretended(tasks):
        table, spec = Path(folder) / "clips.csv", Path(folder) / "stages.yaml"
        spec.write_text(json.dumps({"partition": CLIPS, "stages": stages(height)}))
        with table.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "split", "text", "label"])
            rows.writerows([f"{i:05d}", "train", "a text", 0] for i in range(partitions * CLIPS))
        begun = time.perf_counter()
        done = extract(table, spec, DaskEngine(), f"{folder}/cache")
        assert not [outcome.error for outcome in done.outcomes if outcome.error]
        ended = time.perf_counter()
    first_s = min(note.begin_s for note in feeding_stage.notes)  # without planning
    at_work = dict.fromkeys((CORE, "cuda"), 0.0)
    for note in feeding_stage.notes:
        at_work[note.what] += note.end_s - note.begin_s
    return ended - max(begun, first_s), sum(at_work.values()) / CORES, at_work["cuda"]


@click.command()
@click.option("--partitions", default=32, show_default=True)
@click.option("--tasks", "several", default=[1, 8], multiple=True, show_default=True)
@click.option("--height", "heights", default=list(CORE_MS), multiple=True, show_default=True)
def main(partitions: int, several: tuple[int, ...], heights: tuple[int, ...]) -> None:
    """Throughput as a share of the bound, with one task a GPU at a time and with several."""
    click.echo(f"{partitions} partitions of {CLIPS} clips of {FRAMES} frames, all of the DAG")
    click.echo("height  tasks a GPU   run s   cores s    GPU s   of the bound")
    for height in heights:
        for tasks in several:
            run_s, cores_s, device_s = run(height, partitions, tasks)
            share = max(cores_s, device_s) / run_s
            kept = "" if tasks == 1 else f"   {GOAL}: {'kept' if share >= GOAL else 'NOT KEPT'}"
            told = f"{height:5}p {tasks:12} {run_s:7.1f} {cores_s:9.1f} {device_s:8.1f}"
            click.echo(f"{told} {share:14.2f}{kept}")


if __name__ == "__main__":
    main()
