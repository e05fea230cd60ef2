"""A chain of FFmpeg's filters that frames go through, on one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

Filter = tuple[str, Mapping[str, str]]  # its name and its options
ANY_CLOCK = Fraction(1, 1000)  # the times of frames are kept beside them


class Chain:
    """Filters in a row, for frames of the size and format of `frame`."""

    def __init__(self, filters: Sequence[Filter], frame: Any) -> None:
        import av

        self._graph = av.filter.Graph()
        self._graph.threads = 1
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=ANY_CLOCK
        )
        middle = [self._graph.add(name, **options) for name, options in filters]
        self._graph.link_nodes(source, *middle, self._graph.add("buffersink")).configure()

    def push(self, frame: Any | None) -> list[Any]:
        """The frames that are ready after this one; after None, which is the end, those left."""
        self._graph.push(frame)
        ready = []
        try:
            while True:
                ready.append(self._graph.pull())
        except (BlockingIOError, EOFError):
            return ready
