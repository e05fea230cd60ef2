"""The sound of a container, gone through once for spans that follow each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import announced_s, best_stream, is_damage, require_codec, which
from pipeline.media.limits import SoundLimits, TimeLimit
from pipeline.media.sound import RATES_HZ, Audio, Blocks, silence
from pipeline.media.video_span import PictureTimes

LONGEST_PACKET_S = 1.0
PLANES = 8


@dataclass
class SoundStream:
    """A stream of sound as it is gone through once, and how far that is.

    left: the frame in which the last span ended, or the seconds of a packet that did not decode,
    which begins at sample `_begin` and is gone through again.
    """

    path: str
    stream: Any
    limits: SoundLimits
    zero_s: float | None
    announced_s: float
    decoded: Iterator[Any]
    _left: tuple[Any, ...] = ()
    _begin: int = 0
    _blocks: Blocks | None = None

    @classmethod
    def begun(
        cls,
        path: str,
        container: Any,
        limit: TimeLimit,
        limits: SoundLimits,
        span: Span,
        zero_s: float | None,
        pictures: PictureTimes | None = None,
    ) -> SoundStream:
        """pictures: told of those that go by. MissingModalityError where there is no sound."""
        stream = best_stream(container, "audio")
        if stream is None:
            raise MissingModalityError(f"no sound stream: {path}")
        require_codec(stream, "sound", path)
        end_s = announced_s(stream, path)
        if span == WHOLE:
            length_s = end_s - float((stream.start_time or 0) * stream.time_base)
            limits.require(round(length_s * stream.rate), stream.channels, stream.rate, path)
        decoded = limit.within(_decoded(container, stream, pictures), "sound", path)
        return cls(path, stream, limits, zero_s, end_s, decoded)

    def reaches(self, path: str, span: Span, zero_s: float | None) -> bool:
        """Whether the span is of this file, and not gone through yet."""
        if (path, zero_s) != (self.path, self.zero_s) or not self._blocks or span == WHOLE:
            return False
        return self._from(self._blocks, span).first >= self._begin

    def taken(self, span: Span) -> Audio:
        """The sound of a span, which is gone through up to its end."""
        return self._collected(span).joined(
            self.announced_s, which(self.stream.container, self.stream)
        )

    def _from(self, blocks: Blocks, span: Span) -> Blocks:
        return replace(blocks, span=span, samples=self._begin, lost=0, gaps=0, held=deque())

    def _collected(self, span: Span) -> Blocks:
        """The frames up to the span's end; damage before the first one is not sound yet."""
        blocks = self._from(self._blocks, span) if self._blocks else None
        damaged = False
        for item in chain(self._left, self.decoded):
            if isinstance(item, float):
                damaged = True
                if not blocks:
                    continue
            # The decoder knows the rate: the header of HE-AAC may tell half of it.
            blocks = blocks or self._first(item, span)
            self._begin, self._left = blocks.samples, (item,)
            _append(blocks, item)
            if blocks.is_full:
                break
        else:
            self._left, self._begin = (), blocks.samples if blocks else 0
        if damaged and not blocks:
            raise ClipError(f"no packet of the sound can be decoded: {self.path}")
        self._blocks = blocks
        return blocks or Blocks(self.path, RATES_HZ[0], self.limits)

    def _first(self, frame: Any, span: Span) -> Blocks:
        starts_s = float(frame.time or 0)
        return Blocks(self.path, frame.sample_rate, self.limits, starts_s, span, self.zero_s)


def _append(blocks: Blocks, item: Any) -> None:
    """A frame, or the seconds of a packet that did not decode."""
    if isinstance(item, float):
        blocks.lose(item)
        return
    if item.sample_rate != blocks.rate_hz:
        raise ClipError(f"the sound's rate or channels change midway: {blocks.path}")
    if item.time is not None and blocks.channels:
        blocks.wait_until(float(item.time))
    is_early = blocks.samples + item.samples <= blocks.first
    try:
        blocks.append(
            silence(item.layout.nb_channels, item.samples) if is_early else _as_float(item)
        )
    except ValueError as error:  # of samples that numpy has no type for
        raise ClipError(f"sound can't be decoded: {error}: {blocks.path}") from error


def _decoded(container: Any, stream: Any, pictures: PictureTimes | None) -> Iterator[Any]:
    """The frames of a stream, and how many seconds each packet is that does not decode."""
    import av

    for packet in container.demux(stream, *([pictures.stream] if pictures else [])):
        if packet.stream is not stream and pictures:
            pictures.take(packet)
            continue
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
