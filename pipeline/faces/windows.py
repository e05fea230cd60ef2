"""A clip's frames in windows: some at a time, with the key frames among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.faces.scene_cuts import Frame, SceneCuts

WINDOW_PX = 18 * 1920 * 1080  # of the pictures of a window: 112 MB as rgb


@dataclass(frozen=True)
class Window:
    """Successive frames of one size.

    keys: indices of the key frames, the first and the last frame among them. cuts: of the frames
    that another scene begins with. follows: whether it begins with the last frame of the window
    before it.
    """

    frames: Sequence[Frame]
    keys: Sequence[int]
    cuts: frozenset[int]
    follows: bool

    @classmethod
    def of(cls, frames: Sequence[Frame], every: int, cuts: Iterable[int], follows: bool) -> Window:
        """With a key frame every so many frames, at the end and around cuts."""
        around = {i for cut in cuts for i in (cut - 1, cut) if i >= 0}
        keys = {*range(0, len(frames), every), len(frames) - 1, *around}
        return cls(frames, sorted(keys), frozenset(cuts), follows)


def windows(frames: Iterable[Frame], every: int, size: int, cuts: SceneCuts) -> Iterator[Window]:
    """All frames of a clip in windows of about `size` frames, with key frames at either end.

    Where pictures are large the key frames are closer together, so that few frames are held.
    """
    held: list[Frame] = []
    at_cuts: set[int] = set()
    follows, spacing = False, every
    for frame, is_cut in cuts.marked(frames):
        if held and frame[1].shape != held[0][1].shape:
            yield Window.of(held, spacing, at_cuts, follows)
            held, at_cuts, follows = [], set(), False
        if is_cut:
            at_cuts.add(len(held))
        held.append(frame)
        room = max(1, WINDOW_PX // frame[1][..., 0].size - 1)
        spacing = min(every, room)
        if len(held) > max(1, min(size, room) // spacing) * spacing:
            yield Window.of(held, spacing, at_cuts, follows)
            held, at_cuts, follows = held[-1:], set(), True
    if len(held) > follows:
        yield Window.of(held, spacing, at_cuts, follows)
