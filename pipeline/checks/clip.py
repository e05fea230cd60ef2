"""What is wrong with one clip of a dataset, by its row and its files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.dataset.span import WHOLE
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import LOST_END_S
from pipeline.media.probe import Probe, probe

FEW_FPS = 0.01  # every frame is decoded, hardly any is converted


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong. where: the clip, the line or the file.

    fails: an error, on which an extraction or a training would fail; else it is a warning.
    """

    kind: str
    where: str
    what: str
    fails: bool = False


@dataclass(frozen=True)
class CheckedClip:
    """What one clip turned out to be. seconds: how long it lasts, 0 where nobody knows."""

    clip: Clip
    pictures: bool
    sound: bool
    seconds: float
    issues: tuple[Issue, ...]


def check_clip(clip: Clip, decode: bool, has_media: bool) -> CheckedClip:
    """Open a clip's media, or with `decode` decode it. has_media: whether any clip has some."""
    issues: list[Issue] = []

    def found(kind: str, what: str, fails: bool = False) -> None:
        issues.append(Issue(kind, clip.id, what, fails))

    probes: dict[str, Probe] = {}
    for part, path in (("video", clip.video), ("audio", clip.audio)):
        if path is None:
            continue
        if not os.path.exists(path):
            near = _near(Path(path))
            hint = f"; there is {near}" if near else ""
            found("missing file", f"{part} not found: {path}{hint}", fails=True)
            continue
        try:
            probes[part] = probe(path, part)
        except ClipError as error:
            found("unreadable", str(error), fails=True)
    pictures = "video" in probes and probes["video"].video
    of_sound = probes.get("audio" if clip.audio else "video")
    sound = of_sound is not None and of_sound.audio
    if "video" in probes and not pictures:
        found("no pictures", f"no video stream: {clip.video}")
    if of_sound and not sound:
        found("no sound", f"no audio stream: {clip.sound}")
    if has_media and clip.sound is None:
        found("no media", "the row names neither video nor audio")
    for reason in _undecodable(clip, pictures, sound) if decode else ():
        found("unreadable", reason, fails=True)
    if not clip.text.strip():
        found("empty text", "no transcript; the stage `asr` can write one")
    seconds = max((p.seconds or 0.0 for p in probes.values()), default=0.0)
    if seconds and clip.span != WHOLE:
        if max(clip.span.start_s, clip.end_s or 0.0) > seconds + LOST_END_S:
            what = f"{clip.span}, but {clip.sound} is over at {seconds:.2f} s"
            found("beyond the end", what, fails=True)
        seconds = max(0.0, min(clip.span.end_s, seconds) - clip.span.start_s)
    return CheckedClip(clip, pictures, sound, seconds, tuple(issues))


def _undecodable(clip: Clip, pictures: bool, sound: bool) -> Iterator[str]:
    """Why the stages could not decode it."""
    if pictures and clip.video:
        try:
            deque(media.frames(clip.video, FEW_FPS, span=clip.span), maxlen=0)
        except ClipError as error:
            yield str(error)
    if sound and clip.sound:
        try:
            media.load_audio(clip.sound, span=clip.span)
        except MissingModalityError:  # an empty stream is no fault
            return
        except ClipError as error:
            yield str(error)


def _near(path: Path) -> str:
    """A file beside it whose name differs in its case, its suffix or leading zeros alone."""
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return ""
    plain = path.stem.lower().lstrip("0")
    return next((name for name in names if Path(name).stem.lower().lstrip("0") == plain), "")
