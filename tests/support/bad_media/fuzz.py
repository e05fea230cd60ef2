"""Damage small clips at random and decode them: run in a process of its own, which may die of it.

`python -m tests.support.bad_media.fuzz FOLDER VARIANTS` prints how many were ok
and how many refused.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError
from pipeline.extractors.audio import Audio
from pipeline.stage.result import ClipInputs
from tests.support.bad_media.making import encoded, filmed, good, scaled, spoken, wav


def small() -> list[np.ndarray]:
    return list(scaled(filmed()[:6], 64, 36))


KINDS = {
    "h264.mp4": good(small),
    "h264.mkv": encoded(pictures=small, container="matroska"),
    "mpeg4.avi": encoded("mpeg4", pictures=small, container="avi", sound="libmp3lame"),
    "hevc.mp4": encoded("libx265", pictures=small, options={"x265-params": "log-level=0:pools=1"}),
    "sound.wav": wav(lambda: spoken(0.5)),
    "sound.flac": wav(lambda: spoken(0.5)),
}


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Flipped bytes, most of them in the headers; often the end is gone too."""
    changed = bytearray(content)
    reach = len(content) if rng.random() < 0.5 else min(len(content), 1500)
    for place in rng.integers(0, reach, rng.integers(1, 30)):
        changed[place] = rng.integers(256)
    return bytes(changed[: rng.integers(1, len(content))] if rng.random() < 0.3 else changed)


def outcome(path: Path) -> str:
    (sound,) = Audio(Audio.Settings()).extract([ClipInputs(Clip("a", video=str(path)))])
    try:
        pictures = sum(1 for _ in media.frames(str(path)))
    except ClipError:
        pictures = 0
    return f"{'pictures' if pictures else 'none'}, sound {sound.state}"


def main(folder: Path, variants: int) -> None:
    rng = np.random.default_rng(7)
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    for name, make in KINDS.items():
        make(folder / name)
        content = (folder / name).read_bytes()
        for number in range(variants // len(KINDS)):
            path = folder / f"{number}.{name}"
            path.write_bytes(damage(content, rng))
            begun_s = time.monotonic()
            outcomes[outcome(path)] += 1
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
    print(json.dumps({"outcomes": outcomes, "slowest_s": round(slowest_s, 2)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
