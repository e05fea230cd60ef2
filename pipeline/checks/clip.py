"""What is wrong with one clip of a dataset, by its row and its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.probe import Probe, probe

FEW_FPS = 0.01  # all pictures are decoded, hardly any is converted


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. where: the clip, the line or the file.

    fails: whether an extraction or a training would fail on it; else it is for the user to judge.
    """

    kind: str
    where: str
    what: str
    fails: bool = False


@dataclass(frozen=True)
class Look:
    """What one clip turned out to be. seconds: how long it lasts, 0 where nobody knows."""

    clip: Clip
    pictures: bool
    sound: bool
    seconds: float
    findings: tuple[Finding, ...]


def look(clip: Clip, decode: bool, has_media: bool) -> Look:
    """Open a clip's media, or with `decode` decode it. has_media: whether any clip has some."""
    findings: list[Finding] = []

    def found(kind: str, what: str, fails: bool = False) -> None:
        findings.append(Finding(kind, clip.id, what, fails))

    probes: dict[str, Probe] = {}
    for part, place in (("video", clip.video), ("audio", clip.audio)):
        if place is None:
            continue
        try:
            probes[part] = _probed(part, place)
        except _AbsentError as error:
            found("missing file", str(error), fails=True)
        except ClipError as error:
            found("unreadable", str(error), fails=True)
    pictures = "video" in probes and probes["video"].video
    of_sound = probes.get("audio" if clip.audio else "video")
    sound = of_sound is not None and of_sound.audio
    if "video" in probes and not pictures:
        found("no pictures", f"no picture stream: {clip.video}")
    if of_sound and not sound:
        found("no sound", f"no sound stream: {clip.sound}")
    if has_media and clip.sound is None:
        found("no media", "the row names neither video nor audio")
    for reason in _undecodable(clip, pictures, sound) if decode else ():
        found("unreadable", reason, fails=True)
    if not clip.text.strip():
        found("empty text", "no transcript; the stage `asr` can write one")
    seconds = max((p.seconds or 0.0 for p in probes.values()), default=0.0)
    return Look(clip, pictures, sound, seconds, tuple(findings))


class _AbsentError(ClipError):
    """There is no such file."""


def _probed(part: str, path: str) -> Probe:
    if "://" not in path and not os.path.exists(path):
        near = _near(Path(path))
        raise _AbsentError(f"{part} not found: {path}" + (f"; there is {near}" if near else ""))
    return probe(path, part)


def _undecodable(clip: Clip, pictures: bool, sound: bool) -> Iterator[str]:
    """Why what the stages would decode does not."""
    if pictures and clip.video:
        try:
            for _ in media.frames(clip.video, FEW_FPS):
                pass
        except ClipError as error:
            yield str(error)
    if sound and clip.sound:
        try:
            media.load_audio(clip.sound)
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
