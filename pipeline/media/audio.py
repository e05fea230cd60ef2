"""The audio of a clip, decoded with soundfile or PyAV."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import (
    announced_s,
    best_stream,
    is_damage,
    opened,
    require_codec,
    which,
)
from pipeline.media.file import opened_file
from pipeline.media.limits import TIME_LIMIT_S, USUAL_SOUND, SoundLimits, TimeLimit
from pipeline.media.sound import RATES_HZ, Audio, Blocks, silence
from pipeline.media.truncated import UNFINISHED, is_unfinished
from pipeline.system import spans

AUDIO_FILES = (".wav", ".wave", ".flac", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf")
MALFORMED = 3  # libsndfile's code for a file of a known kind that is broken
UNKNOWN_FRAMES = (1 << 63) - 1  # in libsndfile < 1.2.2, of an Ogg file without its end mark
BLOCK_SAMPLES = 1 << 16  # read from an audio file at once
LONGEST_PACKET_S = 1.0
PLANES = 8
NOT_FINISHED = "the file was never finished: its sound may be cut off"
EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")  # in which each sample can be gone to


@spans.span("decode")
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
    is_audio_file = path.lower().endswith(AUDIO_FILES)
    limit = TimeLimit("audio", time_limit_s)
    audio = _from_audio_file(path, limit, limits, span, zero_s) if is_audio_file else None
    audio = audio or _from_container(path, limit, limits, span, zero_s)
    if not audio.samples.size:
        empty = ClipError if is_audio_file else MissingModalityError
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


def _from_container(
    path: str, limit: TimeLimit, limits: SoundLimits, span: Span, zero_s: float | None
) -> Audio:
    with opened(path, "sound", limit) as container:
        stream = best_stream(container, "audio")
        if stream is None:
            raise MissingModalityError(f"no sound stream: {path}")
        require_codec(stream, "sound", path)
        end_s = announced_s(stream, path)
        if span == WHOLE:
            length_s = end_s - float((stream.start_time or 0) * stream.time_base)
            limits.require(round(length_s * stream.rate), stream.channels, stream.rate, path)
        decoded = limit.within(_decoded(container, stream), "sound", path)
        blocks = _collected(decoded, limits, path, span, zero_s)
        return blocks.joined(end_s, which(container, stream))


def _collected(
    decoded: Iterable[Any], limits: SoundLimits, path: str, span: Span, zero_s: float | None
) -> Blocks:
    """The frames of a stream up to the span's end; damage before the first is not sound yet."""
    blocks: Blocks | None = None
    damaged = False
    for frame in decoded:
        if isinstance(frame, float):
            damaged = True
            if blocks:
                blocks.lose(frame)
            continue
        if not blocks:
            # The decoder knows the rate: the header of HE-AAC may tell half of it.
            starts_s = float(frame.time or 0)
            blocks = Blocks(path, frame.sample_rate, limits, starts_s, span, zero_s)
        if frame.sample_rate != blocks.rate_hz:
            raise ClipError(f"the sound's rate or channels change midway: {path}")
        if frame.time is not None and blocks.held:
            blocks.wait_until(float(frame.time))
        is_early = blocks.samples + frame.samples <= blocks.first
        try:
            blocks.append(
                silence(frame.layout.nb_channels, frame.samples) if is_early else _as_float(frame)
            )
        except ValueError as error:  # of samples that numpy has no type for
            raise ClipError(f"sound can't be decoded: {error}: {path}") from error
        if blocks.is_full:
            break
    if damaged and not blocks:
        raise ClipError(f"no packet of the sound can be decoded: {path}")
    return blocks or Blocks(path, RATES_HZ[0], limits)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream, and how many seconds each packet is that does not decode."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.FFmpegError as error:
            if not is_damage(error):
                raise
            yield min(float((packet.duration or 0) * stream.time_base), LONGEST_PACKET_S)


def _as_float(frame: Any) -> np.ndarray:
    """A decoded frame as float32 [channels, n], full scale ±1."""
    import av

    # A frame has room for the addresses of eight planes; PyAV looks for the end of the list beyond
    # the eighth, and crashes the process.
    if frame.format.is_planar and frame.layout.nb_channels >= PLANES:
        packer = av.AudioResampler(frame.format.packed.name, frame.layout, frame.sample_rate)
        frame = packer.resample(frame)[0]
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    limits = np.iinfo(values.dtype)
    full_scale = (int(limits.max) - int(limits.min) + 1) / 2
    middle = int(limits.min) + full_scale  # 128 where samples are unsigned bytes, else 0
    return ((values - middle) / full_scale).astype(np.float32)
