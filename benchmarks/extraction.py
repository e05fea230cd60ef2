"""The whole extraction against the naive script: same clips, same weights, full-size networks."""

from __future__ import annotations

import platform
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import yaml

from benchmarks import full_size, real_clips
from benchmarks.naive import ROWS, Script
from pipeline import dataset, media, open_cache
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.extract import Extraction, RunOptions, extract
from pipeline.system import resources

OF_FACES = ("decode", "detect", "align")  # what the stage `faces` does in one go
FEATURES = ("resnet18", "mfcc", "wav2vec2", "bert")


@click.command()
@click.option("--height", default=360, show_default=True, help="Pixels; 360, 720, 1080.")
@click.option("--clips", type=int, help="How many; by default each stretch of footage once.")
@click.option("--wav2vec2", type=click.Choice(["base", "large"]), default="large")
def main(height: int, clips: int | None, wav2vec2: str) -> None:
    """Write clips and networks, run both sides, print the table and how far results agree."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips_folder = real_clips.write_dataset(folder / "real", height, clips)
        networks = ("resnet18", "action_units", "wav2vec2", "bert")
        stages = full_size.write_stages(folder, wav2vec2)
        spec = yaml.safe_load(stages.read_text())["stages"]
        script = Script({n: spec[n]["weights"] for n in networks}, min_face_px=40)
        table = dataset.load(clips_folder).clips
        extract(clips_folder, stages, DaskEngine(), f"{folder}/warm-up", RunOptions(only=["bert"]))
        started = time.perf_counter()
        features = script.run(table, folder / "features.pkl")
        naive_s = time.perf_counter() - started
        ours = extract(clips_folder, stages, DaskEngine(), f"{folder}/cache")
        _print_machine(len(table), height, wav2vec2)
        _print_seconds(script.seconds, naive_s, ours)
        _print_ceilings([clip.video for clip in table if clip.video], ours)
        _print_agreement(features, ours)


def _print_machine(clips: int, height: int, wav2vec2: str) -> None:
    cores = resources.cores()
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    print(f"{clips} clips at {height} px, wav2vec2-{wav2vec2}")
    print(f"{cores} cores, {versions}")


def _print_seconds(naive: dict[str, float], naive_s: float, ours: Extraction) -> None:
    """Seconds by stage. Ours are summed over the tasks, which run side by side on the cores."""
    mine = _by_stage(ours)
    threads = torch.get_num_threads()
    print(f"{'stage':<16}{'naive s':>10}{'ours s':>10}{'ratio':>8}")
    for row, of_naive in _rows(naive).items():
        of_ours = mine.get(row, 0.0) / threads
        ratio = f"{of_naive / of_ours:>8.1f}" if of_ours else ""
        print(f"{row:<16}{of_naive:>10.2f}{of_ours:>10.2f}{ratio}")
    print(f"{'whole':<16}{naive_s:>10.2f}{ours.seconds:>10.2f}{naive_s / ours.seconds:>8.1f}")
    busy = sum(mine.values()) / (threads * ours.seconds)
    print(f"ours are the tasks' seconds / {threads} threads, busy {100 * busy:.0f} % of the whole")


def _rows(naive: dict[str, float]) -> dict[str, float]:
    faces = sum(naive[row] for row in OF_FACES)
    return {"faces": faces, **{row: naive[row] for row in ROWS if row not in OF_FACES}}


def _by_stage(run: Extraction) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for outcome in run.outcomes:
        seconds[outcome.stage] += outcome.seconds
    return seconds


def _print_ceilings(videos: list[str], ours: Extraction) -> None:
    """What the machine can do at most, and which stage bounds the whole."""
    started = time.perf_counter()
    frames = sum(1 for video in videos for _ in media.frames(video))
    fps = frames / (time.perf_counter() - started)
    faces_fps = frames / _by_stage(ours)["faces"]
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    product_s = min(_timed(lambda: a @ b) for _ in range(5))
    bound = max(_by_stage(ours).items(), key=lambda item: item[1])
    share = bound[1] / sum(_by_stage(ours).values())
    print(f"decoding alone {fps:.0f} frames/s a thread, the stage faces {faces_fps:.0f}")
    print(f"a large product {2 * 2048**3 / product_s / 1e9:.0f} GFLOP/s on all threads")
    print(f"bounded by {bound[0]}: {100 * share:.0f} % of the work")


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _print_agreement(features: list[dict[str, np.ndarray]], ours: Extraction) -> None:
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
