"""Who speaks, of two people side by side: how often `follow: speaker` is right, and when in doubt.

A stretch of a person who talks is put beside one of another person who doesn't, or who talks too,
with the sound of the first alone, at 25 frames a second. Who stands on the left and who is larger
changes from clip to clip. `largest` is the face with the largest summed area; `correlated` the one
whose mouth's motion goes best with the sound's level over time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np

from benchmarks.real_clips import videos
from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.faces.people import choose
from pipeline.faces.quality import Levels
from pipeline.faces.speech import Level, motion, speech_of
from pipeline.faces.tracker import Track
from pipeline.media.waveform import RATE_HZ, resampled
from pipeline.media.write_mp4 import write_mp4
from pipeline.stage.result import ClipInputs

FPS, SIDE_PX, SECONDS = 25, 360, 2.0
SMALLER = 0.75
LEAST = 1e-6
# Of each video the seconds that are used, and where in its width the person is.
TALK = {"6": (0.0, 7.5, 0.45), "talking_a": (0.0, 8.0, 0.5)}
SILENT = {"single_face": (0.0, 2.4, 0.45), "WolfgangLanger_Pexels": (9.0, 19.6, 0.7)}


@dataclass(frozen=True)
class Person:
    """A stretch of a video: square pictures, uint8 [n, 360, 360, 3], and its sound at 16 kHz."""

    name: str
    pictures: np.ndarray
    sound: np.ndarray | None


@dataclass
class Tally:
    """How often each rule is right, and the speaker where the clip is not in doubt."""

    clips: int = 0
    largest: int = 0
    correlated: int = 0
    speaker: int = 0
    sure: int = 0
    sure_and_right: int = 0

    def add(self, largest: bool, correlated: bool, speaker: bool, is_sure: bool) -> None:
        self.clips += 1
        self.largest += largest
        self.correlated += correlated
        self.speaker += speaker
        self.sure += is_sure
        self.sure_and_right += is_sure and speaker

    def __str__(self) -> str:
        of = [
            f"{100 * n / self.clips:.0f} %" for n in (self.largest, self.correlated, self.speaker)
        ]
        sure = f"{self.sure_and_right} of {self.sure}"
        return f"{self.clips:>6}{of[0]:>10}{of[1]:>13}{of[2]:>10}{sure:>14}"


def people(name: str) -> Iterator[Person]:
    """Stretches of a video, one after the other."""
    path = next(path for path in videos() if path.stem == name)
    begins_s, ends_s, middle = {**TALK, **SILENT}[name]
    frames = [(t, _square(rgb, middle)) for t, rgb in media.frames(str(path)) if t < ends_s]
    times = np.array([t for t, _ in frames])
    heard = media.load_audio(str(path)) if name in TALK else None
    sound = resampled(heard.samples.mean(axis=0), heard.rate_hz) if heard else None
    while begins_s + SECONDS <= ends_s:
        wanted = begins_s + np.arange(round(SECONDS * FPS)) / FPS
        pictures = np.stack([frames[int(np.abs(times - t).argmin())][1] for t in wanted])
        first = round(begins_s * RATE_HZ)
        yield Person(
            name, pictures, None if sound is None else sound[first:][: round(SECONDS * RATE_HZ)]
        )
        begins_s += SECONDS


def _square(rgb: np.ndarray, middle: float) -> np.ndarray:
    side = min(rgb.shape[:2])
    left = min(max(0, round(middle * rgb.shape[1] - side / 2)), rgb.shape[1] - side)
    return np.asarray(cv2.resize(rgb[:side, left : left + side], (SIDE_PX, SIDE_PX)))


def _follow(speaker: Person, other: Person, turn: int, path: Path, tally: Tally) -> None:
    """Add what is said of a clip. turn: who is left, and who is smaller, go by it."""
    is_right, is_smaller = turn % 2, turn // 2 % 2
    both = [speaker.pictures, other.pictures]
    both[is_smaller] = _small(both[is_smaller])
    sides = both[::-1] if is_right else both
    write_mp4(path, iter(np.concatenate(sides, axis=2)), FPS, speaker.sound, RATE_HZ)
    tracks = _tracks(path)
    level = Level.of(Clip("two", video=str(path)))
    speech = choose(tracks, False, speech_of(tracks, level))
    along = choose(tracks, False, [_correlation(track, level) for track in tracks])
    largest, correlated, spoken = (
        (choice.faces[0].box[0] > SIDE_PX) == is_right
        for choice in (choose(tracks, False), along, speech)
    )
    tally.add(largest, correlated, spoken, speech.runner_up <= Levels().runner_up)


def _small(pictures: np.ndarray) -> np.ndarray:
    """A person who is farther away: smaller, at the bottom of the picture."""
    side = round(SIDE_PX * SMALLER)
    found = np.full_like(pictures, 128)
    for whole, rgb in zip(found, pictures, strict=True):
        whole[-side:, :side] = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    return found


def _tracks(path: Path) -> list[Track]:
    stage = Faces(Faces.Settings(follow="speaker", device="cpu"))
    clip = stage._clip(ClipInputs(Clip("two"), {"frames": media.frames(str(path))}))
    detector = stage._detector()
    while clip.advance():
        clip.follow(detector.detect([clip.window], [clip.last_seen])[0])
    return clip.tracker.tracks


def _correlation(track: Track, level: Level) -> float:
    """Of the mouth's motion and the sound's level, over time, as far as it is above 0."""
    times_s, moves = motion(track)
    levels = level.at(times_s)
    if len(moves) < FPS or not moves.std() or not levels.std():
        return LEAST
    return max(LEAST, float(np.corrcoef(moves, levels)[0, 1]))


@click.command()
@click.option("--stretches", default=3, show_default=True, help="Most of one video.")
def main(stretches: int) -> None:
    """Print how often each rule is right."""
    talk = [one for name in TALK for one in islice(people(name), stretches)]
    silent = [one for name in SILENT for one in islice(people(name), stretches)]
    print(f"{SECONDS:g} s a clip; right:")
    print(
        f"{'':<22}{'clips':>6}{'largest':>10}{'correlated':>13}{'speaker':>10}{'of the sure':>14}"
    )
    for name, others in {"the other is silent": silent, "the other talks too": talk}.items():
        tally = Tally()
        pairs = [(a, b) for a, b in product(talk, others) if a.name != b.name]
        with TemporaryDirectory() as folder:
            for number, (speaker, other) in enumerate(pairs):
                turn = number + number // len(others)  # so that no person is always on one side
                _follow(speaker, other, turn, Path(folder) / "two.mp4", tally)
        print(f"{name:<22}{tally}")


if __name__ == "__main__":
    main()
