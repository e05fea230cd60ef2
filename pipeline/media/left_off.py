"""Videos that are open where a span of theirs ended, for spans that begin there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pipeline.dataset.span import Span
from pipeline.media.interlaced import Timed
from pipeline.media.pictures import Pictures

KEPT = 4  # videos that are open: as many clips as are gone through at once, or nearly
NEAR_S = 1.0  # from where one ended to where another begins; further on, a key frame is nearer


@dataclass(eq=False)
class GoneThrough:
    """A video as it is gone through. ahead: a picture that came and is of the next span."""

    path: str
    file: ExitStack
    pictures: Pictures
    steps: Iterator[Timed]
    notes: list[str]
    ahead: Timed | None = None
    ended_s: float = 0.0

    def __iter__(self) -> Iterator[Timed]:
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            yield ahead
        while step := next(self.steps, None):  # `yield from` would end them with this
            yield step

    def tell(self, take: Callable[[str], Any]) -> None:
        """Hand on what is to be said of the video so far."""
        for note in self.notes:
            take(note)


@dataclass
class LeftOff:
    """What may go on; what is not taken is closed with this."""

    _kept: deque[GoneThrough] = field(default_factory=lambda: deque(maxlen=KEPT))

    def keep(self, video: GoneThrough, span: Span) -> None:
        """Let a video go on that was gone through up to the span's end, unless it is over."""
        if video.ahead is not None:
            video.file, video.ended_s = video.file.pop_all(), span.end_s
            self._kept.append(video)

    def taken(self, path: str, span: Span) -> GoneThrough | None:
        """A video that is open at the span's start, or a little before it."""
        for video in list(self._kept):
            if video.path == path and 0 <= span.start_s - video.ended_s <= NEAR_S:
                try:
                    self._kept.remove(video)
                except ValueError:  # another thread was faster
                    continue
                video.pictures.begin_anew(came=1)
                return video
        return None
