"""Cuts and tracks on clips made from real faces: what is found, and whether a track joins people.

Every clip is written as H.264, 25 frames a second, and decoded again. A cut counts as found within
a frame of where it is. Then: how often faces of one person are taken for two people's, and the
other way round, at the levels of `pipeline.faces.likeness`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import cv2
import numpy as np
import torch

from benchmarks import cut_cases
from benchmarks.cut_cases import FPS, SHOT, Case, Shot
from benchmarks.real_clips import videos
from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.faces.align import align
from pipeline.faces.likeness import SAME_LATER, SAME_NEXT, look, unit
from pipeline.faces.mtcnn import Detector
from pipeline.faces.mtcnn_networks import Networks
from pipeline.media.write_mp4 import write_mp4
from pipeline.stage.result import ClipInputs

# Where the videos themselves are cut. The dip to white in debate_cuts has no cut in it.
REAL_CUTS = {"face_noface": (72,), "noface_face": (96, 168)}
APART = {"a frame": 1, "0.2 s": 5, "0.5 s": 12}


@dataclass
class Tally:
    """What was there in the clips of a kind, and what was found."""

    clips: int = 0
    frames: int = 0
    cuts: int = 0
    found: int = 0
    false: int = 0
    tracks: int = 0
    joined: int = 0

    def add(self, case: Case, cuts: Sequence[int], tracks: Sequence[tuple[int, int]]) -> None:
        """cuts: the frames that were marked; tracks: the first and the last frame of each."""
        self.clips += 1
        self.frames += len(case.people)
        self.cuts += len(case.cuts)
        self.found += sum(_is_near(cut, cuts) for cut in case.cuts)
        self.false += sum(not _is_near(cut, case.cuts) for cut in cuts)
        self.tracks += len(tracks)
        self.joined += sum(len(set(case.people[a : b + 1])) > 1 for a, b in tracks)

    def __str__(self) -> str:
        a_minute = self.false / (self.frames / FPS / 60)
        return (
            f"{self.clips:>6}{self.frames:>8}{self.cuts:>6}{self.found:>7}{self.false:>7}"
            f"{a_minute:>10.2f}{self.tracks:>8}{self.joined:>16}"
        )


HEAD = (
    f"{'':<20}{'clips':>6}{'frames':>8}{'cuts':>6}{'found':>7}{'false':>7}{'a minute':>10}"
    f"{'tracks':>8}{'of two people':>16}"
)


def _is_near(cut: int, others: Sequence[int]) -> bool:
    return any(abs(cut - other) <= 1 for other in others)


def cases(
    shots: Sequence[Shot], rng: np.random.Generator, clips: int
) -> Iterator[tuple[str, Case]]:
    """Clips of each kind, with its name."""
    for _ in range(clips):
        for kind, make in (
            ("cut together", cut_cases.cut_together),
            ("same studio", cut_cases.same_studio),
        ):
            case = make(shots, rng, 6)
            yield kind, case
            yield f"{kind}, dark", cut_cases.darkened(case)
        yield "one person, nearer", cut_cases.two_cameras(shots, rng, 4)
        yield "dissolves", cut_cases.dissolved(shots, rng, 4)
        yield "fades to black", cut_cases.faded(shots, rng, 4)
    for i in rng.permutation(len(shots))[: 2 * clips]:
        case = cut_cases.steady(shots[i], rng)
        yield "no cut", case
        yield "no cut, dark", cut_cases.darkened(case)
        yield "flash", cut_cases.flashed(shots[i], rng)
        yield "whip pan", cut_cases.whipped(shots[i], rng)
    for video in videos():
        count = sum(1 for _ in media.frames(str(video)))
        yield f"as is: {video.stem[:12]}", Case([], REAL_CUTS.get(video.stem, ()), [""] * count)


def found_in(path: Path, stage: Faces) -> tuple[list[int], list[tuple[int, int]]]:
    """The cuts and the tracks of a clip, as numbers of its frames."""
    times = [time_s for time_s, _ in media.frames(str(path))]
    inputs = ClipInputs(Clip("clip"), {"frames": media.frames(str(path))})
    (result,) = stage.extract([inputs])
    if not result.rows:
        return [], []

    def numbers(seconds: np.ndarray) -> list[int]:
        return [int(np.abs(np.array(times) - s).argmin()) for s in seconds]

    table = result.rows["track_table"]
    spans = zip(numbers(table[:, 0]), numbers(table[:, 1]), strict=True)
    return numbers(result.rows["cut_times"]), list(spans)


def compare_cuts(shots: Sequence[Shot], rng: np.random.Generator, clips: int) -> None:
    """Print a row a kind."""
    stage = Faces(Faces.Settings(device="cpu"))
    real = {f"as is: {video.stem[:12]}": video for video in videos()}
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, case in cases(shots, rng, clips):
            path = real.get(kind, Path(folder) / "clip.mp4")
            if case.pictures:
                write_mp4(path, case.pictures, FPS, preset="veryfast")
            tallies.setdefault(kind, Tally()).add(case, *found_in(path, stage))
    print(f"\n{HEAD}")
    for kind, tally in tallies.items():
        print(f"{kind:<20}{tally}", flush=True)


def compare_looks(shots: Sequence[Shot], detector: Detector) -> None:
    """Print how often a level errs, on faces of one person some time apart and of two people."""
    looks = [(shot.person, _looks(shot, detector)) for shot in shots]
    print(f"\n{'faces taken for two people':<40}below {SAME_NEXT}")
    for name, apart in APART.items():
        same = [v @ w for _, some in looks for v, w in zip(some, some[apart:], strict=False)]
        print(f"{f'of one person, {name} apart':<40}{_share(np.array(same) < SAME_NEXT)}")
    print(f"\n{'faces taken for one person':<40}from {SAME_NEXT}")
    pairs = [(a, b) for i, a in enumerate(looks) for b in looks[:i] if len(a[1]) and len(b[1])]
    other = [(a[1] @ b[1].T).ravel() for a, b in pairs if a[0] != b[0]]
    print(f"{'of two people':<40}{_share(np.concatenate(other) >= SAME_NEXT)}")
    alike = [(a[0] == b[0], unit(a[1].sum(0)) @ unit(b[1].sum(0))) for a, b in pairs]
    one = np.array([v for is_one, v in alike if is_one])
    two = np.array([v for is_one, v in alike if not is_one])
    print(f"\n{f'stretches of {SHOT} frames at {SAME_LATER}':<40}")
    print(f"{'of one person, taken for two':<40}{_share(one < SAME_LATER)}")
    print(f"{'of two people, taken for one':<40}{_share(two >= SAME_LATER)}")


def _looks(shot: Shot, detector: Detector) -> np.ndarray:
    """The looks of a shot's surest face in each picture that has one."""
    found = zip(shot.pictures, detector.detect(shot.pictures), strict=True)
    return np.array([look(align(rgb, f.landmarks[0])) for rgb, f in found if len(f.boxes)])


def _share(errs: np.ndarray) -> str:
    return f"{100 * errs.mean():>8.2f} %  of {len(errs):,}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=7, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    detector = Detector(Networks.load("cpu"), 40)
    shots = cut_cases.shots(detector, rng)
    compare_cuts(shots, rng, options.clips)
    compare_looks(shots, detector)


if __name__ == "__main__":
    main()
