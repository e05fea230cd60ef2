"""The audio of a clip, decoded with soundfile or PyAV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from typing import Any, Self

import numpy as np

from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import opened
from pipeline.media.file import opened_file
from pipeline.media.limits import TIME_LIMIT_S, USUAL_SOUND, SoundLimits, TimeLimit
from pipeline.media.sound import Audio, Blocks
from pipeline.media.sound_stream import SoundStream
from pipeline.media.truncated import UNFINISHED, is_unfinished
from pipeline.media.video_span import PictureTimes
from pipeline.system import spans

AUDIO_FILES = (".wav", ".wave", ".flac", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf")
MALFORMED = 3  # libsndfile's code for a file of a known kind that is broken
UNKNOWN_FRAMES = (1 << 63) - 1  # in libsndfile < 1.2.2, of an Ogg file without its end mark
BLOCK_SAMPLES = 1 << 16  # read from an audio file at once
NOT_FINISHED = "the file was never finished: its sound may be cut off"
EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")  # in which each sample can be gone to


def is_audio_file(path: str) -> bool:
    """Whether libsndfile is asked for it first, by its name."""
    return path.lower().endswith(AUDIO_FILES)


class SoundReader:
    """Reads the sound of files, span by span; a context, since it keeps the last file open.

    Spans of one container that come in order and do not overlap are decoded in one pass.
    """

    def __init__(self) -> None:
        self._file = ExitStack()
        self._pass: SoundStream | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @spans.span("decode")
    def read(
        self,
        path: str,
        time_limit_s: float = TIME_LIMIT_S,
        limits: SoundLimits = USUAL_SOUND,
        span: Span = WHOLE,
        zero_s: float | None = None,
    ) -> Audio:
        """See `load_audio`."""
        limit = TimeLimit("audio", time_limit_s)
        is_one = is_audio_file(path)
        audio = _from_audio_file(path, limit, limits, span, zero_s) if is_one else None
        audio = audio or self._from_container(path, limit, limits, span, zero_s)
        return _sound(audio, path, span)

    @spans.span("decode")
    def read_with_pictures(
        self, path: str, time_limit_s: float = TIME_LIMIT_S, limits: SoundLimits = USUAL_SOUND
    ) -> tuple[Audio, PictureTimes | None]:
        """All of a container's sound, and when its pictures are shown, which go by in that pass.

        They can be asked for until something else is read.
        """
        self._close()
        limit = TimeLimit("audio", time_limit_s)
        container = self._file.enter_context(opened(path, "sound", limit, looks=False))
        pictures = PictureTimes.of(container, path)
        stream = SoundStream.begun(path, container, limit, limits, WHOLE, None, pictures)
        return _sound(stream.taken(WHOLE), path, WHOLE), pictures

    def _from_container(
        self, path: str, limit: TimeLimit, limits: SoundLimits, span: Span, zero_s: float | None
    ) -> Audio:
        going_on = self._pass if self._pass and self._pass.reaches(path, span, zero_s) else None
        if going_on is None:
            self._close()
            container = self._file.enter_context(opened(path, "sound", limit))
            going_on = SoundStream.begun(path, container, limit, limits, span, zero_s)
        self._pass = None  # where this fails, another pass begins
        audio = going_on.taken(span)
        self._pass = going_on
        return audio

    def _close(self) -> None:
        self._pass = None
        self._file.close()


def load_audio(
    path: str,
    time_limit_s: float = TIME_LIMIT_S,
    limits: SoundLimits = USUAL_SOUND,
    span: Span = WHOLE,
    zero_s: float | None = None,
) -> Audio:
    """The audio of a file for audio (soundfile) or of a container's default stream of it (PyAV).

    An encoder's priming samples are dropped as the container says. span: a stretch of it alone, the
    very samples that all of it has there; its clock has its zero at `zero_s`, where the container
    has pictures, else at the first sample. Lossy sound is decoded from its beginning: what decoders
    keep in mind, no seek brings back.

    Raises ClipError for a file that is not there, does not decode, stops before its announced end,
    is empty, holds samples that are no numbers, takes longer than `time_limit_s` to decode or is
    beyond the limits, before it is held; MissingModalityError where a container has no sound
    stream, or none in the span.
    """
    with SoundReader() as reader:
        return reader.read(path, time_limit_s, limits, span, zero_s)


def _sound(audio: Audio, path: str, span: Span) -> Audio:
    """The audio, with a doubt where it may lack its end; ClipError where there is none of use."""
    if not audio.samples.size:
        empty = ClipError if is_audio_file(path) else MissingModalityError
        raise empty(f"sound is empty{'' if span == WHOLE else f' from {span}'}: {path}")
    if not (is_number := np.isfinite(audio.samples)).all():
        broken = int(np.count_nonzero(~is_number))
        raise ClipError(f"{broken} of {audio.samples.size} samples are not finite: {path}")
    may_lack = span.end_s == inf and is_unfinished(path)
    return replace(audio, doubt=NOT_FINISHED) if may_lack else audio


def _from_audio_file(
    path: str, limit: TimeLimit, limits: SoundLimits, span: Span, zero_s: float | None
) -> Audio | None:
    """None where libsndfile does not know the kind of file: FFmpeg may."""
    import soundfile

    with ExitStack() as stack:
        # By its number: by its name libsndfile would look for files beside it, and guess.
        number = stack.enter_context(opened_file(path, "sound")).fileno()
        try:
            file = stack.enter_context(soundfile.SoundFile(number, closefd=False))
        except soundfile.LibsndfileError as error:
            if error.code == MALFORMED:
                raise ClipError(f"sound can't be decoded: {error.error_string}: {path}") from error
            return None
        blocks = Blocks(path, file.samplerate, limits, 0.0, span, zero_s)
        frames = file.frames if file.frames < UNKNOWN_FRAMES else 0
        if span == WHOLE:
            limits.require(frames, file.channels, file.samplerate, path)
        try:
            if blocks.first and file.subtype.startswith(EXACT):
                blocks.samples = file.seek(min(blocks.first, frames))
            for block in limit.within(_read(file), "sound", path):
                blocks.append(block.T)
                if blocks.is_full:
                    break
        except soundfile.LibsndfileError as error:
            raise ClipError(f"sound can't be decoded: {error.error_string}: {path}") from error
        announced_s = frames * _announced_share(file.extra_info) / blocks.rate_hz
    return blocks.joined(announced_s)


def _read(file: Any) -> Iterator[np.ndarray]:
    """Blocks until none is left; `file.blocks` goes by the announced length, there or not."""
    while len(block := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        yield block


def _announced_share(log: str) -> float:
    """How many times the bytes at hand a WAV, AIFF or AU header announces, by libsndfile's own log.

    libsndfile shortens a cut-off file without an error. A header that a pipe never completed
    announces nothing.
    """
    size = r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)"
    found = re.search(size, log, re.MULTILINE)
    if found is None or int(found[1]) >= UNFINISHED:
        return 1.0
    return int(found[1]) / max(int(found[2]), 1)
