"""A frame of a clip's video, decoded again, if the file is still the one that was extracted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import media
from pipeline.errors import ClipError
from pipeline.io.file_digests import FileDigests
from pipeline.store.clip_rows import Row

PATIENCE_S = 60.0  # of decoding up to the frame: a page is not worth more


def frame_at(row: Row, time_s: float, faces: Mapping[str, Any]) -> media.Frame:
    """The frame in which the face at `time_s` was found, by the identity of its stage; and when.

    Raises ClipError where the file is gone, is another now, or takes too long to decode so far.
    """
    path = row.clip.video
    if path is None:
        raise ClipError("the dataset names no video for this clip")
    _require_unchanged(path, row.digests.get("video"))
    nearest = None
    span, region = row.clip.span, row.clip.region
    for frame in media.frames(path, _fps(faces), PATIENCE_S, span=span, region=region):
        if nearest is None or abs(frame[0] - time_s) < abs(nearest[0] - time_s):
            nearest = frame
        if frame[0] >= time_s:
            break
    assert nearest is not None  # without a picture `frames` raises
    return nearest


def _require_unchanged(path: str, then: str | None) -> None:
    """then: the file's digest when it was extracted, None where none was taken."""
    if then is None:
        return
    with FileDigests() as digests:
        now = digests.see(path).digest
    if now is None:
        raise ClipError(f"the video is gone: {path}")
    if now != then:
        raise ClipError(f"the video has changed since it was extracted: {path}")


def _fps(identity: Mapping[str, Any]) -> float | None:
    """The rate at which the frames came to a stage."""
    upstream = identity.get("upstream", {}).values()
    rates = [one["settings"]["fps"] for one in upstream if "fps" in one["settings"]]
    return next(iter(rates), None)
