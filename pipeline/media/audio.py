"""The audio of a clip, decoded with soundfile or PyAV."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import (
    LOST_END_S,
    announced_s,
    best_stream,
    is_damage,
    opened,
    require_codec,
    which,
)
from pipeline.media.file import opened_file
from pipeline.media.limits import TIME_LIMIT_S, USUAL_SOUND, SoundLimits, TimeLimit
from pipeline.media.truncated import UNFINISHED, is_unfinished
from pipeline.system.spans import span

AUDIO_FILES = (".wav", ".wave", ".flac", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf")
MALFORMED = 3  # libsndfile's code for a file of a known kind that is broken
UNKNOWN_FRAMES = (1 << 63) - 1  # in libsndfile < 1.2.2, of an Ogg file without its end mark
BLOCK_SAMPLES = 1 << 16  # read from an audio file at once
MOST_LOST = 0.1  # of the sound; less of it may be damaged and is silence then
LONGEST_PACKET_S = 1.0
GAP_S = 0.1  # between times that follow each other; FFmpeg's own filters let as much pass
PLANES = 8
NOT_FINISHED = "the file was never finished: its sound may be cut off"
RATES_HZ = (1_000, 768_000)  # what is outside comes of a damaged header


@dataclass(frozen=True)
class Audio:
    """Decoded audio: float32 [channels, n], about −1..1.

    start_s: when its first sample is heard, on the clock of the media. note: what the user should
    know about what was taken; doubt: why it may not be all.
    """

    samples: np.ndarray
    rate_hz: int
    start_s: float = 0.0
    note: str = ""
    doubt: str = ""


@span("decode")
def load_audio(
    path: str, time_limit_s: float = TIME_LIMIT_S, limits: SoundLimits = USUAL_SOUND
) -> Audio:
    """The audio of a file for audio (soundfile) or of a container's default stream of it (PyAV).

    An encoder's priming samples are dropped as the container says. Raises ClipError for a file
    that is not there, does not decode, stops before its announced end, is empty, holds samples
    that are no numbers, takes longer than `time_limit_s` to decode or is beyond the limits, before
    it is held; MissingModalityError where a container has no sound stream or an empty one.
    """
    is_audio_file = path.lower().endswith(AUDIO_FILES)
    limit = TimeLimit("audio", time_limit_s)
    audio = _from_audio_file(path, limit, limits) if is_audio_file else None
    audio = audio or _from_container(path, limit, limits)
    if not audio.samples.size:
        empty = ClipError if is_audio_file else MissingModalityError
        raise empty(f"sound is empty: {path}")
    if not (is_number := np.isfinite(audio.samples)).all():
        broken = int(np.count_nonzero(~is_number))
        raise ClipError(f"{broken} of {audio.samples.size} samples are not finite: {path}")
    return replace(audio, doubt=NOT_FINISHED) if is_unfinished(path) else audio


def _from_audio_file(path: str, limit: TimeLimit, limits: SoundLimits) -> Audio | None:
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
        blocks = _Blocks(path, file.samplerate, limits)
        frames = file.frames if file.frames < UNKNOWN_FRAMES else 0
        limits.require(frames, file.channels, file.samplerate, path)
        try:
            for block in limit.within(_read(file), "sound", path):
                blocks.append(block.T)
        except soundfile.LibsndfileError as error:
            raise ClipError(f"sound can't be decoded: {error.error_string}: {path}") from error
        announced_s = frames * _announced_share(file.extra_info) / blocks.rate_hz
    return blocks.joined(announced_s)


def _read(file: Any) -> Iterator[np.ndarray]:
    """Blocks until none is left; `file.blocks` goes by the announced length, there or not."""
    while len(block := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        yield block


@dataclass
class _Blocks:
    """Decoded sound as it comes, float32 [channels, n] a block, and no more than memory holds.

    start_s: when it begins. lost: samples that did not decode and are silent here; gaps: samples
    that there never were, by the times of those around them.
    """

    path: str
    rate_hz: int
    limits: SoundLimits
    start_s: float = 0.0
    samples: int = 0
    lost: int = 0
    gaps: int = 0
    held: deque[np.ndarray] = field(default_factory=deque)

    def __post_init__(self) -> None:
        if not RATES_HZ[0] <= self.rate_hz <= RATES_HZ[1]:
            raise ClipError(f"sound can't be sampled at {self.rate_hz} Hz: {self.path}")

    @property
    def end_s(self) -> float:
        return self.start_s + self.samples / self.rate_hz

    def append(self, block: np.ndarray) -> None:
        """Raises ClipError where the channels change midway, and where it becomes too much."""
        if self.held and len(block) != len(self.held[0]):
            raise ClipError(f"the sound's rate or channels change midway: {self.path}")
        channels, samples = block.shape
        self.limits.require(self.samples + samples, channels, self.rate_hz, self.path)
        self.held.append(block)
        self.samples += block.shape[1]

    def lose(self, lost_s: float) -> None:
        """Silence in place of a packet that does not decode: what follows keeps its time."""
        self.lost += self._be_silent(lost_s)

    def wait_until(self, time_s: float) -> None:
        """Silence up to what is heard at `time_s`, where that is not at once."""
        if time_s > self.end_s + GAP_S:
            self.gaps += self._be_silent(time_s - self.end_s)

    def _be_silent(self, seconds: float) -> int:
        samples = round(seconds * self.rate_hz)
        # A view of one zero until all is joined, so that what is too much is refused for nothing.
        self.append(np.broadcast_to(np.float32(0), (len(self.held[0]), samples)))
        return samples

    def joined(self, announced_s: float, note: str = "") -> Audio:
        """Raises ClipError where it stops before `announced_s`, or too much of it was lost."""
        if self.end_s < announced_s - LOST_END_S:
            where = f"{self.end_s:.2f} s of {announced_s:.2f} s"
            raise ClipError(f"sound stops at {where}: {self.path}")
        lost = f"{self.lost / self.rate_hz:.2f} s of the sound are damaged"
        if self.lost > MOST_LOST * self.samples:
            raise ClipError(f"{lost}, of {self.end_s:.2f} s: {self.path}")
        gaps = f"{self.gaps / self.rate_hz:.2f} s of the sound are missing and silent"
        notes = [note, f"{lost} and silent" if self.lost else "", gaps if self.gaps else ""]
        return Audio(self._emptied(), self.rate_hz, self.start_s, "; ".join(filter(None, notes)))

    def _emptied(self) -> np.ndarray:
        """All of it in one piece; each block is let go once it is copied."""
        samples = np.empty((len(self.held[0]) if self.held else 1, self.samples), np.float32)
        begin = 0
        while self.held:
            block = self.held.popleft()
            samples[:, begin : begin + block.shape[1]] = block
            begin += block.shape[1]
        return samples


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


def _from_container(path: str, limit: TimeLimit, limits: SoundLimits) -> Audio:
    with opened(path, "sound", limit) as container:
        stream = best_stream(container, "audio")
        if stream is None:
            raise MissingModalityError(f"no sound stream: {path}")
        require_codec(stream, "sound", path)
        end_s = announced_s(stream, path)
        length_s = end_s - float((stream.start_time or 0) * stream.time_base)
        limits.require(round(length_s * stream.rate), stream.channels, stream.rate, path)
        decoded = limit.within(_decoded(container, stream), "sound", path)
        return _collected(decoded, limits, path).joined(end_s, which(container, stream))


def _collected(decoded: Iterable[Any], limits: SoundLimits, path: str) -> _Blocks:
    """All frames of a stream; damage before the first one is not sound yet."""
    blocks: _Blocks | None = None
    damaged = False
    for frame in decoded:
        if isinstance(frame, float):
            damaged = True
            if blocks:
                blocks.lose(frame)
            continue
        # The decoder knows the rate: the header of HE-AAC may tell half of it.
        blocks = blocks or _Blocks(path, frame.sample_rate, limits, float(frame.time or 0))
        if frame.sample_rate != blocks.rate_hz:
            raise ClipError(f"the sound's rate or channels change midway: {path}")
        if frame.time is not None and blocks.held:
            blocks.wait_until(float(frame.time))
        try:
            blocks.append(_as_float(frame))
        except ValueError as error:  # of samples that numpy has no type for
            raise ClipError(f"sound can't be decoded: {error}: {path}") from error
    if damaged and not blocks:
        raise ClipError(f"no packet of the sound can be decoded: {path}")
    return blocks or _Blocks(path, RATES_HZ[0], limits)


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
