"""Clips whose cuts and people are known, made from real faces: videos where there are any, photos.

Every picture is 480×270. A face stands where it is put, so that a cut may leave it in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from benchmarks.real_clips import SHARED
from pipeline import media
from pipeline.faces.mtcnn import Detector

SIZE = WIDTH, HEIGHT = 480, 270
FPS = 25
SHOT = 28  # frames of a shot at most
BLENDED = 12  # frames of a dissolve or a fade
FACE = (240.0, 112.0, 84.0)  # across, down and wide, where a face stands
# Whom a video shows, from which frame to which, and which of the shared folder's are wanted.
VIDEOS = {
    "feat/single_face.mp4": ("man in black", 0, 72),
    "feat/WolfgangLanger_Pexels.mp4": ("woman in grey", 0, 472),
    "shared/talking_a.mp4": ("woman with fair hair", 0, 200),
    "shared/debate_cuts.mp4": ("woman in red", 97, 125),
    "shared/mosi/Raw/Oz06ZWiO20M/6.mp4": ("bearded man", 0, 225),
}
PHOTOS = ("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg", "15-f13-anc-ph.jpg", "45-m7-di-ph.jpg")


@dataclass(frozen=True)
class Shot:
    """A stretch of one person. box: the face's in the middle picture, x1 y1 x2 y2 px."""

    person: str
    pictures: Sequence[np.ndarray]
    box: np.ndarray

    def shown(self, at: tuple[float, float, float], span: slice = slice(None)) -> list[np.ndarray]:
        """Its pictures with the middle face at `at`: across, down and wide, in px of the clip."""
        x, y, wide = at
        left, top, right, bottom = self.box
        zoom = wide / (right - left)
        shift = x - zoom * (left + right) / 2, y - zoom * (top + bottom) / 2
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        warp = partial(
            cv2.warpAffine, M=matrix, dsize=SIZE, flags=cv2.INTER_AREA,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return [np.asarray(warp(rgb)) for rgb in self.pictures[span]]


@dataclass(frozen=True)
class Case:
    """A clip: cuts, the frames with which another shot begins; people: who is in each frame."""

    pictures: list[np.ndarray]
    cuts: tuple[int, ...]
    people: list[str]

    @classmethod
    def of(cls, parts: Sequence[tuple[str, list[np.ndarray]]]) -> Case:
        """Shots end to end, each with its person."""
        ends = np.cumsum([len(pictures) for _, pictures in parts])
        people = [person for person, pictures in parts for _ in pictures]
        return cls([p for _, some in parts for p in some], tuple(ends[:-1].tolist()), people)

    def each(self, change: Callable[[int, np.ndarray], np.ndarray]) -> Case:
        """The same with its pictures changed, float32 0..255 in and out."""
        changed = [change(i, rgb.astype(np.float32)) for i, rgb in enumerate(self.pictures)]
        pictures = [np.clip(rgb, 0, 255).astype(np.uint8) for rgb in changed]
        return Case(pictures, self.cuts, self.people)


def shots(detector: Detector, rng: np.random.Generator) -> list[Shot]:
    """The videos that are there in stretches, and the photos as if a hand held the camera."""
    spec = find_spec("feat")
    assert spec is not None
    assert spec.origin is not None
    roots = {"feat": Path(spec.origin).parent / "tests" / "data", "shared": SHARED}
    found = []
    for name, (person, first, last) in VIDEOS.items():
        root, _, inner = name.partition("/")
        if not (roots[root] / inner).is_file():
            print(f"{inner} is not there, and left out")
            continue
        pictures = [rgb for _, rgb in media.frames(str(roots[root] / inner))][first:last]
        starts = range(0, len(pictures) - SHOT // 2, SHOT)
        found += [_shot(detector, person, pictures[i : i + SHOT]) for i in starts]
    for name in PHOTOS:
        photo = cv2.cvtColor(cv2.imread(str(roots["feat"] / name)), cv2.COLOR_BGR2RGB)
        found.append(_shot(detector, name, list(_held(photo, rng))))
    return [shot for shot in found if shot is not None]


def _shot(detector: Detector, person: str, pictures: Sequence[np.ndarray]) -> Shot | None:
    (faces,) = detector.detect([pictures[len(pictures) // 2]])
    return Shot(person, pictures, faces.boxes[0]) if len(faces.boxes) else None


def _held(photo: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A photo filmed from the hand: it drifts, and its pixels have noise."""
    pace, size = rng.uniform(0.05, 0.2, 2), photo.shape[1::-1]
    for i in range(SHOT):
        drift = 0.004 * photo.shape[0] * np.sin(pace * i)
        matrix = np.array([[1 + 0.0005 * i, 0, drift[0]], [0, 1 + 0.0005 * i, drift[1]]])
        moved = cv2.warpAffine(photo, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        noise = rng.normal(0, 2, moved.shape)
        yield np.clip(moved + noise, 0, 255).astype(np.uint8)


# ---- clips of several shots --------------------------------------------------------------------


def cut_together(found: Sequence[Shot], rng: np.random.Generator, count: int) -> Case:
    """Shots of different people, each face somewhere else."""
    return Case.of(
        [(s.person, s.shown(_somewhere(rng), _part(rng))) for s in _mixed(found, rng, count)]
    )


def same_studio(found: Sequence[Shot], rng: np.random.Generator, count: int) -> Case:
    """People in the same seat before the same wall, in the same light."""
    wall = _wall(found[int(rng.integers(len(found)))])
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((x - FACE[0]) / 1.3, (y - FACE[1] - 20) / 1.6) / FACE[2]
    share = np.clip(1.5 - distance, 0, 1)[..., None].astype(np.float32)
    light = wall.mean((0, 1)), wall.std((0, 1))
    parts = []
    for shot in _mixed(found, rng, count):
        seat = (FACE[0] + rng.uniform(-12, 12), FACE[1] + rng.uniform(-8, 8), FACE[2])
        seen = [_lit(rgb, *light) for rgb in shot.shown(seat, _part(rng))]
        parts.append((shot.person, [share * rgb + (1 - share) * wall for rgb in seen]))
    return Case.of(parts).each(lambda i, rgb: rgb)


def two_cameras(found: Sequence[Shot], rng: np.random.Generator, count: int) -> Case:
    """One person now nearer, now farther, without a pause."""
    shot = found[int(rng.integers(len(found)))]
    step = len(shot.pictures) // 2
    near, far = _somewhere(rng), (FACE[0], FACE[1], 48.0)
    halves = [(near, slice(0, step)), (far, slice(step, None))]
    return Case.of([(shot.person, shot.shown(*halves[i % 2])) for i in range(count)])


def jumps(found: Sequence[Shot], rng: np.random.Generator, count: int) -> Case:
    """One person at one place, with a moment left out at each cut."""
    person = found[int(rng.integers(len(found)))].person
    own = [shot for shot in found if shot.person == person]
    seat = _somewhere(rng)
    order = rng.permutation(len(own))[:count]
    return Case.of([(person, own[i].shown(seat, slice(0, 24))) for i in order])


def dissolved(found: Sequence[Shot], rng: np.random.Generator, count: int) -> Case:
    """Shots that turn into each other within 12 frames, where a cut would be at their middle."""
    return _blended(found, rng, count, lambda share: (1 - share, share))


def faded(found: Sequence[Shot], rng: np.random.Generator, count: int) -> Case:
    """Shots that go to black and come from it within 12 frames."""
    return _blended(found, rng, count, lambda s: (max(1 - 2 * s, 0), max(2 * s - 1, 0)))


def _blended(
    found: Sequence[Shot],
    rng: np.random.Generator,
    count: int,
    weights: Callable[[float], tuple[float, float]],
) -> Case:
    whole = [shot for shot in found if len(shot.pictures) == SHOT]
    pictures: list[np.ndarray] = []
    people: list[str] = []
    cuts = []
    for shot in _mixed(whole, rng, count):
        shown = shot.shown(FACE)
        both = min(BLENDED, len(pictures))
        for i in range(both):
            old, new = weights((i + 1) / (both + 1))
            pictures[i - both] = cv2.addWeighted(pictures[i - both], old, shown[i], new, 0)
        if both:
            cuts.append(len(pictures) - both // 2)
            people[-(both // 2) :] = [shot.person] * (both // 2)
        pictures += shown[both:]
        people += [shot.person] * (SHOT - both)
    return Case(pictures, tuple(cuts), people)


# ---- clips of one shot -------------------------------------------------------------------------


def steady(shot: Shot, rng: np.random.Generator) -> Case:
    """One shot as it is."""
    return Case.of([(shot.person, shot.shown(_somewhere(rng)))])


def flashed(shot: Shot, rng: np.random.Generator) -> Case:
    """A photographer's flash, one or two frames, over all of the picture or a side of it."""
    at, length = int(rng.integers(6, len(shot.pictures) - 6)), int(rng.integers(1, 3))
    slope = np.linspace(rng.uniform(0.3, 1), rng.uniform(0.3, 1), WIDTH, dtype=np.float32)[
        None, :, None
    ]
    glare = rng.uniform(60, 200) * slope

    def lit(i: int, rgb: np.ndarray) -> np.ndarray:
        return rgb * (1 + slope) + glare if at <= i < at + length else rgb

    return steady(shot, rng).each(lit)


def whipped(shot: Shot, rng: np.random.Generator) -> Case:
    """The camera swings to the side and back within a third of a second, blurred by its motion."""
    at, length = len(shot.pictures) // 3, int(rng.integers(7, 11))
    swing = np.zeros(len(shot.pictures) + 1)
    swing[at : at + length] = np.sin(np.linspace(0, np.pi, length)) * rng.uniform(190, 380)
    x, y, wide = _somewhere(rng)
    pictures = []
    for i in range(len(shot.pictures)):
        blur = max(1, int(abs(swing[i + 1] - swing[i])))
        (rgb,) = shot.shown((x + swing[i], y, wide), slice(i, i + 1))
        pictures.append(cv2.blur(rgb, (blur, 1)))
    return Case.of([(shot.person, pictures)])


# ---- what the above are made of ----------------------------------------------------------------


def darkened(case: Case) -> Case:
    """At a quarter of the light."""
    return case.each(lambda i, rgb: rgb / 4)


def _mixed(found: Sequence[Shot], rng: np.random.Generator, count: int) -> list[Shot]:
    """Shots of which no two in a row show the same person."""
    chosen: list[Shot] = []
    people = sorted({shot.person for shot in found})
    while len(chosen) < count:
        person = people[rng.integers(len(people))]
        if not chosen or chosen[-1].person != person:
            own = [shot for shot in found if shot.person == person]
            chosen.append(own[rng.integers(len(own))])
    return chosen


def _part(rng: np.random.Generator) -> slice:
    """12 to 28 frames."""
    return slice(0, int(rng.integers(12, SHOT + 1)))


def _somewhere(rng: np.random.Generator) -> tuple[float, float, float]:
    return rng.uniform(165, 315), rng.uniform(95, 140), rng.uniform(56, 105)


def _wall(shot: Shot) -> np.ndarray:
    """A background, of which only colours and large shapes are left."""
    (rgb,) = shot.shown(FACE, slice(0, 1))
    return np.asarray(cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 25))


def _lit(rgb: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """With the mean and half of the contrast that the wall's light gives."""
    own = rgb.astype(np.float32)
    scale = 0.5 + 0.5 * deviation / np.maximum(own.std((0, 1)), 1)
    return np.clip((own - own.mean((0, 1))) * scale + mean, 0, 255)
