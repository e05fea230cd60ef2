"""The whole extraction against scripts of plain libraries: same clips, same full-size networks."""

from __future__ import annotations

import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import torch
import yaml
from threadpoolctl import threadpool_limits

from benchmarks import careful, full_size, naive, real_clips
from pipeline import dataset, open_cache
from pipeline.dataset.clip import Clip
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.extract import Extraction, RunOptions, extract
from pipeline.system import resources
from pipeline.system.spans import HELP, STAGE

OF_FACES = ("decode", "detect", "align")  # what the stage `faces` does in one go
NETWORKS = ("resnet18", "action_units", "wav2vec2", "bert")
FEATURES = ("resnet18", "mfcc", "wav2vec2", "bert")
ROWS = ("faces", "resnet18", "action_units", "audio", "mfcc", "wav2vec2", "bert", "write")
BY_ENGINE = ("resnet18", "action_units")
ENGINES_OWN = 0.1  # of all; what the runner's own threads take is far less
Features = list[dict[str, np.ndarray]]


@dataclass
class Took:
    """What a round, or the least of several, took. rows: seconds of the processor by stage."""

    wall_s: float
    cpu_s: float
    rows: Mapping[str, float]

    @classmethod
    def least(cls, rounds: list[Took]) -> Took:
        rows = {row: min(one.rows.get(row, 0.0) for one in rounds) for row in ROWS}
        return cls(min(one.wall_s for one in rounds), min(one.cpu_s for one in rounds), rows)


@click.command()
@click.option("--height", default=360, show_default=True, help="Pixels; 360, 720, 1080.")
@click.option("--clips", type=int, help="How many; by default each stretch of footage once.")
@click.option("--wav2vec2", type=click.Choice(["base", "large"]), default="large")
@click.option("--rounds", default=2, show_default=True, help="Of each side, by turns.")
@click.option("--engine", default="torch", show_default=True, help="Of our networks.")
@click.option("--naive", "with_naive", is_flag=True, help="The naive script too, in one round.")
def main(
    height: int, clips: int | None, wav2vec2: str, rounds: int, engine: str, with_naive: bool
) -> None:
    """Write clips and networks, run the sides by turns, print the table and how far they agree."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = real_clips.write_dataset(folder / "first", height, 1)
        real = real_clips.write_dataset(folder / "real", height, clips)
        engines = {network: {"engine": engine} for network in NETWORKS}
        stages = full_size.write_stages(folder, wav2vec2, **engines)
        spec = yaml.safe_load(stages.read_text())["stages"]
        weights = {network: spec[network]["weights"] for network in NETWORKS}
        table, features, done = dataset.load(real).clips, list[Features](), list[Extraction]()

        def of_script(kind: type[naive.Script]) -> Callable[[tuple[Clip, ...]], Took]:
            script = kind(weights, min_face_px=40)

            def run(clips: tuple[Clip, ...]) -> Took:
                script.seconds.clear()
                with _threads(resources.cores()), _clock() as took:
                    features.append(script.run(clips, folder / "features.pkl"))
                faces = sum(script.seconds[row] for row in OF_FACES)
                return Took(took[0], took[1], {**script.seconds, "faces": faces})

            return run

        def ours(real: Path) -> Took:
            cache = tempfile.mkdtemp(dir=folder)
            with _threads(1), _clock() as took:
                done.append(extract(real, stages, DaskEngine(), cache, RunOptions(traced=True)))
            return Took(took[0], took[1], _by_stage(done[-1]))

        with _clock() as loading:
            script = of_script(careful.Script)
            script(table[:1])
        print(f"{len(table)} clips at {height} px, wav2vec2-{wav2vec2}, engine {engine}")
        print(f"{resources.cores()} cores, torch {torch.__version__}, "
              f"Python {platform.python_version()}")  # fmt: skip
        print(
            f"loading and a first clip: careful {loading[0]:.1f} s, ours {ours(first).wall_s:.1f} s"
        )
        taken: dict[str, list[Took]] = {"careful": [], "ours": []}
        for _ in range(rounds):
            taken["careful"].append(script(table))
            taken["ours"].append(ours(real))
        if with_naive:
            taken["naive"] = [of_script(naive.Script)(table)]
        _print({side: Took.least(rounds) for side, rounds in taken.items()})
        _print_agreement(features[1], done[-1])


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """What a task of ours sets for the whole process, and the script, alone on it, does not."""
    torch.set_num_threads(number)
    cv2.setNumThreads(number)
    with threadpool_limits(number, "blas"):
        yield


@contextmanager
def _clock() -> Iterator[list[float]]:
    """Afterwards the seconds on the clock and of the processor."""
    took: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    yield took
    took += [time.perf_counter() - wall, time.process_time() - cpu]


def _by_stage(run: Extraction) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for outcome in run.outcomes:
        for recording in outcome.recordings:
            for span in recording.spans:
                if span.category in (STAGE, HELP):
                    seconds[outcome.stage] += span.cpu_ns / 1e9
    return seconds


def _print(sides: Mapping[str, Took]) -> None:
    """Seconds of each side, and how many times ours the others' are."""
    ours = sides["ours"]
    others = [side for side in sides if side != "ours"]
    heads = "".join(f"{side:>10}{'':>7}" for side in others)
    print(f"{'processor s':<16}{'ours':>8}{heads}")
    lines = {row: {side: of.rows[row] for side, of in sides.items()} for row in ROWS}
    elsewhere = ours.cpu_s - sum(ours.rows.values())
    if elsewhere > ENGINES_OWN * ours.cpu_s:  # OpenVINO computes on threads of no stage's
        parts = [lines.pop(row) for row in BY_ENGINE]
        of_faces = {side: sum(part[side] for part in parts) for side in sides}
        lines["face networks"] = of_faces | {"ours": of_faces["ours"] + elsewhere}
    lines |= {
        "whole": {side: of.cpu_s for side, of in sides.items()},
        "whole, wall s": {side: of.wall_s for side, of in sides.items()},
    }
    for row, line in lines.items():
        mine = line["ours"]
        ratios = [f"{line[s] / mine:>6.2f}×" if mine else f"{'':>7}" for s in others]
        told = "".join(f"{line[s]:>10.2f}{r}" for s, r in zip(others, ratios, strict=True))
        print(f"{row:<16}{mine:>8.2f}{told}".rstrip())
    print(f"ours keeps {ours.cpu_s / ours.wall_s:.2f} cores busy")


def _print_agreement(features: Features, ours: Extraction) -> None:
    """The cosine between a clip's mean features on either side, for the median clip."""
    cache = open_cache(ours.cache_url)
    for stage in FEATURES:
        rows, lengths = cache[stage].read(), cache[stage].lengths
        both = [
            (clip[stage].mean(0), rows[i, :n].mean(0))
            for i, (clip, n) in enumerate(zip(features, lengths, strict=True))
            if n and stage in clip
        ]
        cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in both]
        print(f"{stage:<16} {len(both)} clips, median cosine {np.median(cosines):.4f}")


if __name__ == "__main__":
    main()
